# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Saved pipelines, and measured numbers and pictures, into a repository on the Hub."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    EvalResult,
    HfApi,
    get_token,
    hf_hub_download,
)
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, RepositoryNotFoundError

from ..storage.checksums import CHECKSUMS, verify_checksums
from ..storage.reading import read_json
from ..storage.writing import INDEX, current_folder
from .cards import METHODS, SAMPLES
from .repository import CARD, MEASUREMENTS, record_measurements


# What is published of a folder. The rest may be checkpoints, logs, or files that name places on this machine.
_FILES = (CARD, MEASUREMENTS, CHECKSUMS, INDEX, "pipeline.py", "training.yaml", SAMPLES)
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
    _check_token(token)
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
    _check_token(token)
    api = HfApi(token=token)
    with _one_error(repo_id):
        name = api.create_repo(repo_id, private=private or None, exist_ok=True).repo_id
        api.auth_check(name, write=True)
        info = api.model_info(name)
        files = {each.rfilename for each in info.siblings or ()}
        index = read_json(Path(api.hf_hub_download(name, INDEX, revision=info.sha))) if INDEX in files else {}
    if private and not info.private:
        raise ValueError(
            f"`repo_id` must be a private repository, got {name!r}, which exists and is public. Change that in its "
            "settings, or choose another name."
        )
    if files - {CARD, ".gitattributes", "LICENSE"} and index.get("_class_name") not in METHODS:
        raise ValueError(
            f"`repo_id` must be a new or empty repository, or one with a pipeline of gan_diffusion, got {name!r}, which "
            "holds other files. Choose another name."
        )
    return name


def push_repository(
    folder: str | Path,
    repo_id: str,
    private: bool = False,
    token: str | None = None,
    commit_message: str = "Add the pipeline",
) -> str:
    """
    Publishes a saved pipeline: weights, discriminator, configs, model card and measurements, in one commit.

    The repository then holds this pipeline and nothing of an older one, which stays in its history. Of the folder it
    gets what [`save_repository`] writes, and never checkpoints, logs or the record of a run. If anything fails, the
    repository is as before.

    Args:
        folder (`str` or `Path`): The folder of the pipeline, with a model card.
        repo_id (`str`): Name of the repository, which is made if there is none. See [`open_repository`].
        private (`bool`, defaults to `False`): See [`open_repository`].
        token (`str`, *optional*): Token of the Hub. Default: `HF_TOKEN`, or that of `hf auth login`.
        commit_message (`str`, defaults to `"Add the pipeline"`): First line of the commit.

    Returns:
        `str`: address of the new commit, or of the newest one if nothing is new.

    Raises:
        OSError: If the Hub cannot be reached, or does not do what it is asked for.
        ValueError: If the folder is no whole saved pipeline, or differs from its checksums, or the repository cannot
            be written to.
    """
    files = _published_files(Path(folder))
    name = open_repository(repo_id, private, token)
    api = HfApi(token=token)
    with _one_error(name):
        info = api.model_info(name)
        ours = {*_FILES, *_PARTS, _MEASURED}
        there = [each.rfilename for each in info.siblings or ()]
        old = [path for path in there if path.split("/")[0] in ours and path not in files]
        # Not `upload_folder`, which makes several commits of a large folder.
        commit = api.create_commit(
            name,
            [
                *(CommitOperationDelete(path_in_repo=path, is_folder=False) for path in old),
                *(CommitOperationAdd(path_in_repo=path, path_or_fileobj=file) for path, file in files.items()),
            ],
            commit_message=commit_message,
            parent_commit=info.sha,
        )
    return str(commit.commit_url)


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


def _check_token(token: str | None) -> None:
    if (token or get_token()) is None:
        raise ValueError("`hub_token` must be given to write to the Hub, got none. Or run `hf auth login` once.")


@contextmanager
def _one_error(repo_id: str) -> Iterator[None]:
    """Whatever the Hub's client raises becomes one line that says what to do."""
    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"`repo_id` must be NAME or OWNER/NAME on the Hub, got {repo_id!r}.") from error
    except Exception as error:  # Also those of its HTTP library, its threads and its transfer of large files.
        # A file that cannot be uploaded is an error of a thread, with the answer of the Hub as its cause.
        cause = error if hasattr(error, "response") else error.__cause__ or error
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status == 401:
            raise ValueError(
                "`hub_token` must be a valid token of the Hub, got one that the Hub refuses. It may have expired: make a "
                "new one that may write, or run `hf auth login`."
            ) from error
        if status == 403:
            raise ValueError(
                f"`repo_id` must be a repository that the token may write to, got {repo_id!r}. Choose a name of your own, "
                "or take a token with the right to write."
            ) from error
        reason = f"{type(cause).__name__}: {' '.join(str(cause).split())}".rstrip(": .")
        raise OSError(
            f"The Hub did not take {repo_id!r} ({reason}). Nothing on this machine has changed: run the same command again."
        ) from error
