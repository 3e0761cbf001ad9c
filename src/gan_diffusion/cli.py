# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The command `gan-diffusion`, also `python -m gan_diffusion`."""

import argparse
from collections.abc import Sequence

from .training import METHODS, train


def main(argv: Sequence[str] | None = None) -> None:
    """
    Runs the command.

    Args:
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.
    """
    parser = argparse.ArgumentParser(prog="gan-diffusion", description="Diffusion GANs.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="Train a model from a recipe.", add_help=False)
    training.add_argument("method", choices=METHODS)
    arguments, options = parser.parse_known_args(argv)
    train(arguments.method, options, prog=f"gan-diffusion train {arguments.method}")
