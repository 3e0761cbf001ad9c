# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The errors of writing to the Hub, one line each."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import get_token
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError


def check_token(token: str | None) -> None:
    """
    Refuses to go on without a token.

    Args:
        token (`str`, *optional*): The one that was given.

    Raises:
        ValueError: If there is none, neither given nor in `HF_TOKEN` nor from `hf auth login`.
    """
    if (token or get_token()) is None:
        raise ValueError("`hub_token` must be given to write to the Hub, got none. Or run `hf auth login` once.")


@contextmanager
def one_error(repo_id: str, revision: str | None = None) -> Iterator[None]:
    """
    Whatever the Hub's client raises in the block becomes one line that says what to do.

    Args:
        repo_id (`str`): Name of the repository.
        revision (`str`, *optional*): Branch of it that is looked for.

    Raises:
        OSError: If the Hub cannot be reached, or does not do what it is asked for.
        ValueError: If the name, the branch or the token cannot be used.
    """
    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"`repo_id` must be NAME or OWNER/NAME on the Hub, got {repo_id!r}.") from error
    except RevisionNotFoundError as error:
        raise ValueError(
            f"`revision` must be a branch of {repo_id!r} on the Hub, got {revision!r}. Check its name."
        ) from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"`repo_id` must be a repository on the Hub that the token may read, got {repo_id!r}. Check name and token."
        ) from error
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
