# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The parser of all commands: dataclasses of options, declared by [`~data.arguments.option`]."""

import copy
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from transformers import HfArgumentParser


class OptionParser(HfArgumentParser):
    """
    Takes the help text alone from a field's metadata, where the base class takes all of it.

    Args:
        groups (`Sequence[type]`): Dataclasses of options.
        options (`Any`): Arguments of `argparse.ArgumentParser`.
    """

    def __init__(self, groups: Sequence[type], **options: Any):
        # The base class takes a sequence, and says that it takes `None`.
        super().__init__(groups, **options)  # pyright: ignore[reportArgumentType]

    @staticmethod
    def _parse_dataclass_field(parser, field):
        plain = copy.copy(field)
        plain.metadata = MappingProxyType({"help": field.metadata["help"]})
        HfArgumentParser._parse_dataclass_field(parser, plain)
