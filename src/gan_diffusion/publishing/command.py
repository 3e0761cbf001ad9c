# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From a command line to a pipeline on the Hub, and to its model card."""

import argparse
from collections.abc import Sequence

from .hub import push_repository
from .rewriting import rewrite_card


_PUSH_EXAMPLES = """\
examples:
  gan-diffusion push runs/digits my-digits --private
  gan-diffusion push runs/digits/best somebody/digits --create_pr
  gan-diffusion push raw-weights my-digits --variant raw
"""
_CARD_EXAMPLES = """\
examples:
  gan-diffusion card runs/digits
  gan-diffusion card runs/birds --license cc-by-4.0 --dataset_id somebody/birds
"""


def run_push(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """
    Pushes as a command line says, and prints where the pipeline is.

    Args:
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.
        prog (`str`, *optional*): Name of the command in messages.

    Raises:
        SystemExit: With a message, if the pipeline cannot be pushed. See [`push_repository`].
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s FOLDER REPO_ID [options]; --help explains all options",
        description="Publishes a saved pipeline on the Hub, in one commit: weights, discriminator, configs, model card and "
        "measurements. Nothing else of the folder is published.",
        epilog=_PUSH_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", help="Folder of the pipeline, such as the output folder of a training.")
    parser.add_argument("repo_id", help="NAME or OWNER/NAME of the repository, which is made if there is none.")
    parser.add_argument("--private", action="store_true", help="Make it private; an existing public one is refused.")
    parser.add_argument("--revision", help="Branch that gets the commit, made from main if it is new. Default: main.")
    parser.add_argument(
        "--create_pr",
        action="store_true",
        help="Open a pull request instead, also in a repository of somebody else's.",
    )
    parser.add_argument(
        "--variant",
        help="Add the weights alone, under this name, to a repository that holds the same networks already.",
    )
    parser.add_argument(
        "--hub_token",
        help="Token of the Hub, which others on this machine can see. Default: HF_TOKEN, or that of `hf auth login`.",
    )
    given = parser.parse_args(argv)
    try:
        url = push_repository(
            given.folder,
            given.repo_id,
            given.private,
            given.hub_token,
            revision=given.revision,
            create_pr=given.create_pr,
            variant=given.variant,
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"Pushed the pipeline: {url}")


def run_card(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """
    Writes the model card of a trained model again as a command line says, and prints what is on it.

    Args:
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.
        prog (`str`, *optional*): Name of the command in messages.

    Raises:
        SystemExit: With a message, if the card cannot be written. See [`rewrite_card`].
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s FOLDER [options]; --help explains all options",
        description="Writes the model card (README.md) of a trained model again, from the settings, the record of its run, "
        "the measurements and the picture in its folder. Metadata, measured numbers and further sections of the old card "
        "stay. A card whose other text was changed by hand is left alone.",
        epilog=_CARD_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", help="Folder of the model, in that of its run or with a copy of its run.yaml.")
    parser.add_argument("--license", help="Licence of the weights by its name on the Hub. Default: as it is now.")
    parser.add_argument("--dataset_id", help="OWNER/NAME of the training data on the Hub. Default: as it is now.")
    parser.add_argument("--overwrite", action="store_true", help="Write it anew: nothing of the old card stays.")
    given = parser.parse_args(argv)
    try:
        lines = rewrite_card(given.folder, given.license, given.dataset_id, given.overwrite)
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))
    print(*lines, sep="\n")
