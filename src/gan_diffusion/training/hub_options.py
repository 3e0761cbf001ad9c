# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The options of a push to the Hub: what goes together, and how the token stays out of all records."""

from collections.abc import Sequence
from typing import Any


# Only the command line sets them: a recipe of somebody else's must not say where a model goes. No file holds them.
HUB_OPTIONS = ("push_to_hub", "hub_model_id", "hub_token", "hub_private_repo")
_TOKEN = "--hub_token"
# Trackers that record neither the command line nor anything else that could hold the token.
_SILENT_TRACKERS = ("none", "tensorboard")


def check_hub_options(run: Any) -> None:
    """
    Checks that the options of a push have an effect, and that nothing will record the token.

    Args:
        run ([`RunArguments`]): The options of a run.

    Raises:
        ValueError: If an option is given without `push_to_hub`, or a token together with a tracker that records it.
    """
    for name in HUB_OPTIONS[1:]:
        if getattr(run, name) and not run.push_to_hub:
            raise ValueError(f"`--{name}` must be given with `--push_to_hub`; alone it has no effect.")
    if run.hub_token is not None and run.report_to not in _SILENT_TRACKERS:
        raise ValueError(
            f"`--hub_token` must not be given with `--report_to {run.report_to}`, because a tracker may record the command "
            "line. Run `hf auth login` once instead."
        )


def without_token(words: Sequence[str]) -> list[str]:
    """
    A command line as it may be recorded.

    Args:
        words (`Sequence[str]`): What was typed.

    Returns:
        `list[str]`: the same, with "..." in place of the token.
    """
    kept, is_token = [], False
    for word in words:
        name, equals, _ = word.partition("=")
        kept.append("..." if is_token else f"{_TOKEN}=..." if equals and name == _TOKEN else word)
        is_token = word == _TOKEN
    return kept
