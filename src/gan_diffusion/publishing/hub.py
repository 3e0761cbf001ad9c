# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Saved pipelines, and measured numbers and pictures, into a repository on the Hub."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, EvalResult, HfApi, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from ..storage.checksums import CHECKSUMS, verify_checksums
from ..storage.reading import read_json
from ..storage.writing import INDEX, current_folder
from .cards import METHODS, SAMPLES
from .hub_errors import check_token, one_error
from .modular import MODULAR_FILES, MODULAR_INDEX, modular_index_for
from .repository import CARD, MEASUREMENTS, record_measurements
from .variants import check_variant, variant_files


# What is published of a folder. The rest may be checkpoints, logs, or files that name places on this machine.
_FILES = (CARD, MEASUREMENTS, CHECKSUMS, INDEX, "pipeline.py", *MODULAR_FILES, "training.yaml", SAMPLES)
_PARTS = ("generator", "discriminator", "scheduler")
_SUFFIXES = (".json", ".safetensors")
# Numbers and pictures of `push_measurements`, which tell of the weights that they were measured with.
_MEASURED = "evaluation"


def find_revision(repo_id: str, token: str | None = None) -> str:
    """
    The newest commit of a repository that is going to be written to.

    Args:
        repo_id (`str`): Its name.
        token (`str`, *optional*): Token of the Hub. Default: `HF_TOKEN`, or that of `hf auth login`.

    Returns:
        `str`: hash of the commit.

    Raises:
        OSError: If the Hub cannot be reached.
        ValueError: If there is no token, no such repository, or no model card in it.
    """
    check_token(token)
    with one_error(repo_id):
        revision = str(HfApi().model_info(repo_id, token=token).sha)
        has_card = HfApi().file_exists(repo_id, CARD, revision=revision, token=token)
    if not has_card:
        raise ValueError(f"`repo_id` must be a repository with a {CARD}, got {repo_id!r}. Give it a model card first.")
    return revision


def push_measurements(
    repo_id: str,
    files: Mapping[str, Path],
    measurements: Mapping[str, str | int | float],
    results: Sequence[EvalResult],
    revision: str,
    token: str | None = None,
) -> str:
    """
    Adds measured numbers to the model card of a repository, and files, in one commit.

    Args:
        repo_id (`str`): Its name.
        files (`Mapping[str, Path]`): Files on this machine, by their names in the repository.
        measurements (`Mapping[str, str | int | float]`): See [`record_measurements`].
        results (`Sequence[EvalResult]`): See [`record_measurements`].
        revision (`str`):
            The commit that was measured. If there is a newer one, nothing is written.
        token (`str`, *optional*): Token of the Hub. Default: `HF_TOKEN`, or that of `hf auth login`.

    Returns:
        `str`: address of the new commit.

    Raises:
        OSError: If the Hub refuses the commit or cannot be reached.
        ValueError: If the repository has no model card, or its metadata or its measurements.json are damaged.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in (CARD, MEASUREMENTS):
            try:
                shutil.copyfile(hf_hub_download(repo_id, name, revision=revision, token=token), folder / name)
            except EntryNotFoundError:
                pass  # Then there are no earlier numbers.
        record_measurements(folder, measurements, results)
        new = {name: folder / name for name in (CARD, MEASUREMENTS)} | dict(files)
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in new.items()]
        commit = HfApi().create_commit(
            repo_id, operations, commit_message="Add measurements", token=token, parent_commit=revision
        )
    return str(commit.commit_url)


def open_repository(repo_id: str, private: bool = False, token: str | None = None) -> str:
    """
    Makes a repository on the Hub for a pipeline, or checks that the existing one can take it.

    Args:
        repo_id (`str`): Its name. Without an owner it is one of the token's user.
        private (`bool`, defaults to `False`): Whether nobody else may see it.
        token (`str`, *optional*): Token of the Hub. Default: `HF_TOKEN`, or that of `hf auth login`.

    Returns:
        `str`: the name with its owner.

    Raises:
        OSError: If the Hub cannot be reached, or does not do what it is asked for.
        ValueError: If there is no token that may write, or the repository is another's, holds other files than a
            pipeline of this package, or is public although `private` is asked for.
    """
    check_token(token)
    api = HfApi(token=token)
    with one_error(repo_id):
        name = api.create_repo(repo_id, private=private or None, exist_ok=True).repo_id
        api.auth_check(name, write=True)
    _look_into(api, name, None, private)
    return name


def push_repository(
    folder: str | Path,
    repo_id: str,
    private: bool = False,
    token: str | None = None,
    commit_message: str = "Add the pipeline",
    revision: str | None = None,
    create_pr: bool = False,
    variant: str | None = None,
) -> str:
    """
    Publishes a saved pipeline: weights, discriminator, configs, model card and measurements, in one commit.

    The repository then holds this pipeline and nothing of an older one, which stays in its history. Of the folder it
    gets what [`save_repository`] writes, and never checkpoints, logs or the record of a run. If anything fails, the
    files of the repository are as before.

    Args:
        folder (`str` or `Path`): The folder of the pipeline, with a model card.
        repo_id (`str`): Name of the repository, which is made if there is none. See [`open_repository`].
        private (`bool`, defaults to `False`): See [`open_repository`].
        token (`str`, *optional*): Token of the Hub. Default: `HF_TOKEN`, or that of `hf auth login`.
        commit_message (`str`, defaults to `"Add the pipeline"`): First line of the commit.
        revision (`str`, *optional*):
            Branch that gets the commit. A new one starts from `main`, which is also the default.
        create_pr (`bool`, defaults to `False`):
            Whether to open a pull request instead. Repository and branch must exist, and may be somebody else's.
        variant (`str`, *optional*):
            Adds the weights alone, under this name, to a repository that holds the same networks already:
            `from_pretrained(repo_id, variant=variant)` loads them. Its card and its other weights stay.

    Returns:
        `str`: address of the new commit or pull request, or of the newest commit if nothing is new.

    Raises:
        OSError: If the Hub cannot be reached, or does not do what it is asked for.
        ValueError: If the folder is no whole saved pipeline, or differs from its checksums, or the repository cannot
            be written to, or has other networks than the variant.
    """
    files = _published_files(Path(folder))
    if variant is not None:
        check_variant(variant, files)
    api = HfApi(token=token)
    if create_pr:
        check_token(token)
        name = repo_id
    else:
        name = open_repository(repo_id, private, token)
        if revision is not None and not revision.startswith("refs/"):
            with one_error(name):
                api.create_branch(name, branch=revision, exist_ok=True)
    commit, there = _look_into(api, name, revision, private)
    with TemporaryDirectory() as temporary:
        if variant is None:
            if MODULAR_INDEX in files:
                index = Path(temporary) / MODULAR_INDEX
                index.write_text(modular_index_for(files[MODULAR_INDEX], name), encoding="utf-8")
                files |= {MODULAR_INDEX: index}
            ours = {*_FILES, *_PARTS, _MEASURED}
            old = [path for path in there if path.split("/")[0] in ours and path not in files]
        else:
            files, old = variant_files(api, name, commit, there, files, variant, Path(temporary)), []
        operations = [
            *(CommitOperationDelete(path_in_repo=path, is_folder=False) for path in old),
            *(CommitOperationAdd(path_in_repo=path, path_or_fileobj=file) for path, file in files.items()),
        ]
        with one_error(name):
            # Not `upload_folder`, which makes several commits of a large folder.
            made = api.create_commit(
                name,
                operations,
                commit_message=commit_message,
                revision=revision,
                create_pr=create_pr,
                parent_commit=commit,
            )
    return str(made.pr_url or made.commit_url)


def _look_into(api: HfApi, name: str, revision: str | None, private: bool) -> tuple[str, list[str]]:
    """Newest commit and files of a repository, or of a branch of it, that can take a pipeline."""
    with one_error(name, revision):
        info = api.model_info(name, revision=revision)
        files = [each.rfilename for each in info.siblings or ()]
        index = read_json(Path(api.hf_hub_download(name, INDEX, revision=info.sha))) if INDEX in files else {}
    if private and not info.private:
        raise ValueError(
            f"`repo_id` must be a private repository, got {name!r}, which exists and is public. Change that in its "
            "settings, or choose another name."
        )
    if {*files} - {CARD, ".gitattributes", "LICENSE"} and index.get("_class_name") not in METHODS:
        raise ValueError(
            f"`repo_id` must be a new or empty repository, or one with a pipeline of gan_diffusion, got {name!r}, which "
            "holds other files. Choose another name."
        )
    return str(info.sha), files


def _published_files(folder: Path) -> dict[str, Path]:
    """The files of a saved pipeline by their names in a repository, compared with their checksums."""
    folder = current_folder(folder)
    files = {name: folder / name for name in _FILES if (folder / name).is_file()}
    for part in _PARTS:
        paths = sorted((folder / part).glob("*"))
        files |= {f"{part}/{path.name}": path for path in paths if path.suffix in _SUFFIXES and path.is_file()}
    needed = [INDEX, CARD]
    if {INDEX, CHECKSUMS} <= files.keys():
        for part in (INDEX, *_PARTS):
            verify_checksums(folder, part)
        needed += read_json(folder / CHECKSUMS)["files"]
    missing = [name for name in needed if name not in files]
    if not any(name.startswith("generator/") and name.endswith(".safetensors") for name in files):
        missing.append("generator/*.safetensors")
    if missing:
        raise ValueError(
            f"`folder` must be that of a whole saved pipeline with a model card, got {str(folder)!r} without {missing[0]}."
        )
    return files
