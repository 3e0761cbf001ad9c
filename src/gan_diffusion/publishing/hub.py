# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Measured numbers and pictures into a repository on the Hub."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitOperationAdd, EvalResult, HfApi, get_token, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

from .repository import CARD, MEASUREMENTS, record_measurements


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
    if (token or get_token()) is None:
        raise ValueError("`hub_token` must be given to write to the Hub, got none. Or run `hf auth login` once.")
    try:
        revision = str(HfApi().model_info(repo_id, token=token).sha)
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"`repo_id` must be a repository on the Hub that the token may read, got {repo_id!r}. Check name and token."
        ) from error
    if not HfApi().file_exists(repo_id, CARD, revision=revision, token=token):
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
