# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What the tests' own Hub must refuse, for a push that passes to mean something."""

import hashlib
import json
import threading
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from hub_server import HubServer


def ask(hub: HubServer, method: str, path: str, body=None, token: str | None = "any"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urlopen(Request(hub.url + path, data, headers, method=method), timeout=10) as response:
        return response.read(), response.headers


def refused(*arguments, **options) -> tuple[int, str | None]:
    with pytest.raises(HTTPError) as error:
        ask(*arguments, **options)
    error.value.close()
    return error.value.code, error.value.headers["X-Error-Code"]


@pytest.fixture
def repository(hub):
    hub.repositories.clear()
    ask(hub, "POST", "/api/repos/create", {"name": "tiny", "organization": "user"})
    return hub.repository("user/tiny")


def test_server_is_local_and_leaves_no_threads():
    before = set(threading.enumerate())
    with HubServer() as hub:
        assert hub.url.startswith("http://127.0.0.1:")
        assert refused(hub, "GET", "/api/models/user/none") == (404, "RepoNotFound")
    assert set(threading.enumerate()) <= before
    with pytest.raises(OSError):
        ask(hub, "GET", "/api/models/user/none")


def test_files_are_read_by_revision(hub, repository):
    first = repository.head
    header = {"key": "header", "value": {"summary": "Add a file"}}
    file = {"key": "file", "value": {"path": "a.txt", "content": "aGk=", "encoding": "base64"}}
    body = f"{json.dumps(header)}\n{json.dumps(file)}\n".encode()
    second = json.loads(ask(hub, "POST", "/api/models/user/tiny/commit/main", body)[0])["commitOid"]
    for revision in ("main", second):
        content, headers = ask(hub, "GET", f"/user/tiny/resolve/{revision}/a.txt")
        assert (content, headers["X-Repo-Commit"], headers["Content-Length"]) == (b"hi", second, "2")
        # As `printf hi | git hash-object --stdin` says.
        assert headers["ETag"] == '"32f95c0d1244a78b2be1bab8de17906fabb2c4a8"'
    assert refused(hub, "HEAD", f"/user/tiny/resolve/{first}/a.txt") == (404, "EntryNotFound")
    assert refused(hub, "HEAD", "/user/tiny/resolve/v2/a.txt") == (404, "RevisionNotFound")


def test_writing_needs_a_token(hub, repository):
    for path in ("/api/repos/create", "/api/models/user/tiny/preupload/main", "/api/models/user/tiny/commit/main"):
        assert refused(hub, "POST", path, {"name": "other", "files": []}, token=None)[0] == 401
    assert list(hub.repositories) == ["user/tiny"]


def test_creating_twice_is_a_conflict(hub, repository):
    assert refused(hub, "POST", "/api/repos/create", {"name": "tiny", "organization": "user"})[0] == 409


def test_weights_must_be_uploaded_whole_before_their_commit(hub, repository):
    oid = hashlib.sha256(b"weights").hexdigest()
    file = {"path": "w.safetensors", "algo": "sha256", "oid": oid, "size": 7}
    body = json.dumps({"key": "lfsFile", "value": file}).encode()
    assert refused(hub, "POST", "/api/models/user/tiny/commit/main", body)[0] == 400
    assert refused(hub, "PUT", f"/lfs/{oid}", b"weigh")[0] == 400
    assert len(repository.commits) == 1
    ask(hub, "PUT", f"/lfs/{oid}", b"weights")
    ask(hub, "POST", "/api/models/user/tiny/commit/main", body)
    assert hub.files("user/tiny")["w.safetensors"] == b"weights"


def test_requests_outside_the_api_are_noted(hub):
    assert refused(hub, "GET", "/api/whoami-v2")[0] == 501
    assert hub.unknown_requests == ["GET /api/whoami-v2"]
