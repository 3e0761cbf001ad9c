# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The command `gan-diffusion`, also `python -m gan_diffusion`."""

import argparse
import os
import sys
from collections.abc import Sequence

from .conversion import run_conversion
from .demo import run_demo
from .environment import describe_environment
from .evaluation import run_evaluation
from .pipelines.command import run_sampling
from .publishing import run_card, run_push
from .training import METHODS, export_checkpoint, train
from .training.listing import run_recipes


_EXAMPLES = """\
examples:
  gan-diffusion recipes
  gan-diffusion train ddgan --recipe ddgan-digits --output_dir runs/digits
  gan-diffusion train ddgan --recipe ddgan-cifar10 --help
  gan-diffusion train ddgan --recipe runs/digits/run.yaml --output_dir runs/again
  gan-diffusion export runs/digits/checkpoint-500 --output_dir runs/early
  gan-diffusion sample runs/digits --num_images 64 --output_dir digits
  gan-diffusion demo runs/digits
  gan-diffusion evaluate runs/digits --dataset_name digits
  gan-diffusion convert netG_1200.pth --preset ddgan-cifar10 --output_dir converted
  gan-diffusion card runs/digits --license apache-2.0
  gan-diffusion push runs/digits my-digits
"""
# The commands that read their own options, each with its line in `--help`.
_COMMANDS = {
    "sample": (run_sampling, "draw images from a pipeline"),
    "demo": (run_demo, "draw images from a pipeline on a page in the browser"),
    "evaluate": (run_evaluation, "measure a pipeline against real data"),
    "convert": (run_conversion, "make a pipeline of a checkpoint of the authors' code"),
    "card": (run_card, "write the model card of a trained model again"),
    "push": (run_push, "publish a pipeline on the Hub"),
    "recipes": (run_recipes, "list the recipes, or show one"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """
    Runs the command.

    Args:
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.

    Raises:
        SystemExit: After a mistake, with a message; without one if the reader of the output, such as `head`, has gone.
    """
    try:
        _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still to be written goes nowhere: Python would complain of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _run(argv: Sequence[str] | None) -> None:
    parser, parsers = _parser()
    arguments, options = parser.parse_known_args(argv)
    if arguments.command == "train":
        train(arguments.method, options, prog=f"gan-diffusion train {arguments.method}")
        return
    if arguments.command in _COMMANDS:
        run, _ = _COMMANDS[arguments.command]
        run(options, prog=f"gan-diffusion {arguments.command}")
        return
    if options:
        parsers[arguments.command].error(f"unrecognized arguments: {' '.join(options)}")
    if arguments.command == "env":
        print(*(f"{name}: {value}" for name, value in describe_environment().items()), sep="\n")
        return
    try:
        export_checkpoint(arguments.checkpoint, arguments.output_dir)
    except (OSError, ValueError) as error:
        parsers["export"].error(str(error))
    print(f"Saved the pipeline in {arguments.output_dir}")


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of the command, and those of its commands."""
    parser = argparse.ArgumentParser(
        prog="gan-diffusion",
        usage=f"gan-diffusion {{{','.join(('train', 'export', *_COMMANDS, 'env'))}}} ...; --help explains them",
        description="Trains diffusion GANs, draws images from them, measures them, publishes them, and converts others' "
        "checkpoints.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    training = commands.add_parser(
        "train",
        prog="gan-diffusion train",
        usage="gan-diffusion train METHOD --recipe RECIPE --output_dir FOLDER [options]",
        help="train a model from a recipe, or repeat or continue a run",
        description="Trains a model. `gan-diffusion train METHOD --help` explains the options of a method; with "
        "`--recipe RECIPE` it shows the values of a recipe.",
        allow_abbrev=False,
    )
    methods = training.add_subparsers(title="methods", dest="method", metavar="METHOD", required=True)
    for name, method in METHODS.items():
        methods.add_parser(name, help=method.description, add_help=False, allow_abbrev=False)
    export = commands.add_parser(
        "export",
        prog="gan-diffusion export",
        help="save the pipeline of a checkpoint",
        description="Saves the pipeline of a checkpoint, with the averaged weights and a model card.",
        allow_abbrev=False,
    )
    export.add_argument("checkpoint", help="Folder of the checkpoint, in the folder of its run.")
    export.add_argument("--output_dir", required=True, help="Folder for the pipeline.")
    for name, (_, description) in _COMMANDS.items():
        commands.add_parser(name, help=description, add_help=False, allow_abbrev=False)
    commands.add_parser("env", prog="gan-diffusion env", help="print versions and devices", allow_abbrev=False)
    return parser, commands.choices
