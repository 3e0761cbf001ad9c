# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From what was found to what is used: labels, the random subset, the check of every image, and the account."""

from collections import Counter
from pathlib import Path

import numpy as np

from .arguments import DataArguments
from .check import ImageFacts, check_images
from .labels import resolve_labels
from .listing import Listing
from .report import DataReport, examples, make_identity
from .storage import TableStorage


BAD_IMAGES = "images that cannot be read"
# More of an image than three quarters is cut away beyond this ratio of its proportions to those asked for.
_EXTREME = 4.0


def select_images(
    listing: Listing,
    arguments: DataArguments,
    channels: int,
    size: tuple[int, int],
    seed: int,
    record_dir: Path | None,
    show_progress: bool,
) -> tuple[list[str], list[int] | None, DataReport]:
    """
    Decides which images are used, and with which labels.

    Args:
        listing ([`~data.listing.Listing`]): What was found.
        arguments ([`DataArguments`]): The options.
        channels (`int`): Channels that the images get.
        size (`tuple[int, int]`): Height and width that they get.
        seed (`int`): Seed of the random subset.
        record_dir (`Path`, *optional*): See [`~data.check.check_images`].
        show_progress (`bool`): Show a progress bar.

    Returns:
        tuple: names, numbers of the classes or `None`, and the account of both.

    Raises:
        ValueError: If images cannot be read, do not fit the options, or have no labels although they are asked for.
    """
    rules, left_out = list(listing.rules), dict(listing.left_out)
    labels, class_names = _labels(listing, arguments, rules)
    chosen = list(range(len(listing.names)))
    if arguments.max_train_samples is not None and arguments.max_train_samples < len(chosen):
        chosen = sorted(np.random.default_rng(seed).permutation(len(chosen))[: arguments.max_train_samples].tolist())
        rules.append(f"{len(chosen)} of {len(listing.names)} images are used, drawn at random with seed {seed}")
    facts = check_images(listing.storage, [listing.names[index] for index in chosen], record_dir, show_progress)
    bad = [(listing.names[index], fact.problem) for index, fact in zip(chosen, facts, strict=True) if fact.problem]
    bad += [(name, "a format that is not supported") for name in listing.foreign]
    if bad:
        left_out[BAD_IMAGES] = _bad_images(bad, arguments.on_bad_image)
    chosen = [index for index, fact in zip(chosen, facts, strict=True) if fact.problem is None]
    facts = [fact for fact in facts if fact.problem is None]
    if not chosen:
        raise ValueError("`dataset_name` or `train_data_dir` must name at least one image that can be read, got none.")
    names = [listing.names[index] for index in chosen]
    numbers = None if labels is None else [labels[index] for index in chosen]
    _check_pixel_range(names, facts, arguments.pixel_range)
    _check_sizes(names, facts, arguments.resize_mode, size)
    rules += _rules(names, facts, channels, size, arguments.resize_mode)
    counts = None if numbers is None else Counter(numbers)
    report = DataReport(
        source=listing.storage.source,
        identity=_identity(listing, names, facts, numbers, class_names),
        num_samples=len(names),
        sizes=_sizes(facts),
        value_range=_value_range(facts, arguments.pixel_range),
        classes=None if counts is None else {name: counts[n] for n, name in enumerate(class_names or [])},
        licence=listing.licence,
        used=names,
        left_out=left_out,
        modes=dict(Counter(fact.mode for fact in facts).most_common()),
        duplicates=len(facts) - len({fact.digest for fact in facts}),
        rules=rules,
    )
    return names, numbers, report


def _bad_images(bad: list[tuple[str, str]], on_bad_image: str) -> list[str]:
    """What to write of images that are left out; an error if none may be."""
    told = [f"{name} ({problem})" for name, problem in bad]
    if on_bad_image == "error":
        raise ValueError(
            f"`train_data_dir` must hold readable images, got {len(bad)} unreadable images: {examples(told, 5)}. Mend, "
            "convert or remove them, or leave them out by --on_bad_image skip."
        )
    return told


def _labels(listing: Listing, arguments: DataArguments, rules: list[str]) -> tuple[list[int] | None, list[str] | None]:
    """The numbers of the classes of all images, where each has one, and the names of the classes."""
    if listing.labels is None:
        if arguments.class_conditional:
            raise ValueError(
                f"`class_conditional` must be off for data without labels, got on: {listing.no_labels}. Sort the images "
                "into folders, or name the column of the labels by `label_column`."
            )
        return None, None
    try:
        numbers, names = resolve_labels(listing.labels, listing.names, listing.class_names)
    except ValueError as error:
        if arguments.class_conditional:
            raise
        rules.append(f"labels are not read, because they are incomplete: {error}")
        return None, None
    if arguments.class_conditional and len(names) < 2:
        raise ValueError(
            f"`class_conditional` must be given data with at least two classes, got only {names}. Name the folder whose "
            "subfolders are the classes, or leave the option out."
        )
    if listing.class_names is None and names != [str(number) for number in range(len(names))]:
        pairs = [f"{name} = {number}" for number, name in enumerate(names)]
        rules.append(f"classes are numbered in the order of their names: {examples(pairs, 10)}")
    if not arguments.class_conditional:
        rules.append("labels are used only for class-conditional models")
    return numbers, names


def _identity(
    listing: Listing,
    names: list[str],
    facts: list[ImageFacts],
    numbers: list[int] | None,
    class_names: list[str] | None,
) -> str:
    labels = [""] * len(names) if numbers is None or class_names is None else [class_names[n] for n in numbers]
    if isinstance(listing.storage, TableStorage):
        known = [fact.digest for fact in facts]
    else:
        known = [listing.storage.files[name].size for name in names]
    return make_identity(zip(names, known, labels, strict=True))


def _check_pixel_range(names: list[str], facts: list[ImageFacts], pixel_range: list[float] | None) -> None:
    """Refuses values that cannot be brought to 8 bits by a stated rule."""
    pairs = list(zip(names, facts, strict=True))
    if pixel_range is not None:
        wrong = [name for name, fact in pairs if fact.depth in ("8", "16 colour")]
        if wrong:
            raise ValueError(
                f"`pixel_range` must be given only if all images are grey with more than 8 bits, got {len(wrong)} others: "
                f"{examples(wrong)}. Leave it out, or separate the images."
            )
        outside = [f"{name} ({f.low:g} to {f.high:g})" for name, f in pairs if not _inside(f, pixel_range)]
        if outside:
            low, high = min(fact.low for fact in facts), max(fact.high for fact in facts)
            raise ValueError(
                f"`pixel_range` must hold all values, got {len(outside)} images with others: {examples(outside)}. All "
                f"values are from {low:g} to {high:g}."
            )
        return
    wide = [(name, fact) for name, fact in pairs if fact.depth in ("32", "float")]
    if wide:
        low, high = min(fact.low for _, fact in wide), max(fact.high for _, fact in wide)
        raise ValueError(
            f"`pixel_range` must be given for images of 32 bits or floats, got {len(wide)}: "
            f"{examples([name for name, _ in wide])}. Their values are from {low:g} to {high:g}; give the two values that "
            "become black and white."
        )
    highest = max((fact.high for fact in facts if fact.depth == "16"), default=65535)
    bits = next((bits for bits in (8, 10, 12, 14) if highest < 2**bits), None)
    if bits is not None:
        raise ValueError(
            f"`pixel_range` must be given, because no value of the 16-bit images is above {highest:g}, as if they had "
            f"{bits} bits. Give --pixel_range 0 {2**bits - 1}, or 0 65535 if they are that dark."
        )
    brightest = max((fact.high for fact in facts if fact.depth == "16 colour"), default=255)
    if brightest < 64:
        raise ValueError(
            f"`train_data_dir` must hold colour images that use their range, got images of 16 bits with no value above "
            f"{brightest * 256 + 255:g} of 65535, as if they had fewer bits. Convert them to 8 bits."
        )


def _inside(fact: ImageFacts, pixel_range: list[float]) -> bool:
    return pixel_range[0] <= fact.low and fact.high <= pixel_range[1]


def _check_sizes(names: list[str], facts: list[ImageFacts], resize_mode: str, size: tuple[int, int]) -> None:
    if resize_mode != "pad":
        return
    height, width = size
    large = [
        f"{name} ({fact.width}x{fact.height})"
        for name, fact in zip(names, facts, strict=True)
        if fact.width > width or fact.height > height
    ]
    if large:
        raise ValueError(
            f"`resize_mode` 'pad' must be given images of at most {width}x{height} pixels, got {len(large)} larger ones: "
            f"{examples(large, 5)}. Use 'crop' or 'fit'."
        )


def _rules(
    names: list[str], facts: list[ImageFacts], channels: int, size: tuple[int, int], resize_mode: str
) -> list[str]:
    """What is done to how many images."""
    height, width = size
    done = {
        "crop": f"the largest centre part is scaled to {width}x{height}",
        "fit": f"scaled to fit into {width}x{height}, black around",
        "stretch": f"stretched to {width}x{height}",
        "pad": f"not scaled, black around up to {width}x{height}",
    }
    rules = [f"resize mode {resize_mode}: {done[resize_mode]}"]
    grey = [fact.mode in ("1", "L", "LA", "I", "F") or fact.mode.startswith("I;") for fact in facts]
    counted = {
        "enlarged": sum(f.width < width or f.height < height for f in facts) * (resize_mode != "pad"),
        "turned or mirrored as their EXIF data says": sum(fact.turned for fact in facts),
        "transparent, on white": sum(fact.transparent for fact in facts),
        "animated or with several pages, of which the first is used": sum(fact.animated for fact in facts),
        "made grey": grey.count(False) * (channels == 1),
        "grey, made RGB": grey.count(True) * (channels == 3),
        "CMYK, converted without a colour profile": sum(fact.mode == "CMYK" for fact in facts),
        "16-bit colour, of which the upper 8 bits are read": sum(fact.depth == "16 colour" for fact in facts),
    }
    rules += [f"{what}: {count} of {len(facts)} images" for what, count in counted.items() if count]
    shape = width / height
    extreme = [
        f"{name} ({fact.width}x{fact.height})"
        for name, fact in zip(names, facts, strict=True)
        if not 1 / _EXTREME <= fact.width / fact.height / shape <= _EXTREME
    ]
    if extreme and resize_mode != "pad":
        rules.append(f"proportions far from {width}x{height}: {len(extreme)} images, such as {examples(extreme)}")
    return rules


def _sizes(facts: list[ImageFacts]) -> str:
    sizes = sorted({(fact.width, fact.height) for fact in facts}, key=lambda size: (size[0] * size[1], size))
    (low_width, low_height), (high_width, high_height) = sizes[0], sizes[-1]
    if len(sizes) == 1:
        return f"{low_width}x{low_height}"
    return f"from {low_width}x{low_height} to {high_width}x{high_height} pixels"


def _value_range(facts: list[ImageFacts], pixel_range: list[float] | None) -> str:
    """The values of the images of each depth, and which of them become 0 and 255."""
    told = []
    for depths, what, ends in (
        (("8",), "8 bits", "0 and 255"),
        (("16 colour",), "16 bits in colour, the upper 8 of them", "0 and 255"),
        (("16", "32", "float"), "more than 8 bits", "0 and 65535"),
    ):
        values = [fact for fact in facts if fact.depth in depths]
        if values and pixel_range is not None:
            ends = f"{pixel_range[0]:g} and {pixel_range[1]:g}"
        if values:
            low, high = min(fact.low for fact in values), max(fact.high for fact in values)
            told.append(f"from {low:g} to {high:g} ({what}), of which {ends} become black and white")
    return "; ".join(told)
