# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
A small Hub on this machine: the part of its HTTP API that pushing and loading models needs.

Model repositories live in memory; every commit can be read by its hash. Weights (`*.safetensors`) go through LFS and
other files into the commit, as on the real Hub. The YAML of model cards is not checked, because the standard library
has no parser for it. Names of `user` alone can be written to, others only get pull requests; a token may be made
invalid, and requests may be made to fail.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


_NOT_FOUND = {
    "RepoNotFound": "Repository not found",
    "RevisionNotFound": "Invalid rev id",
    "EntryNotFound": "Entry not found",
}


class HubError(Exception):
    """Becomes the answer to a request; `body` joins the message in its JSON."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None, **body: str):
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, **(headers or {})}
        self.body = {"error": message, **body}


def not_found(code: str, **headers: str) -> HubError:
    """With the code by which clients tell apart what was not found."""
    return HubError(404, _NOT_FOUND[code], {"X-Error-Code": code, **headers})


def is_lfs(path: str) -> bool:
    return path.endswith(".safetensors")


def object_id(path: str, content: bytes) -> str:
    """What tells clients whether a file changed: SHA-256 of LFS files, git's blob id of others."""
    if is_lfs(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """Snapshots of a model repository, path to content, by commit hash in the order of their making."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.commit({".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})

    @property
    def head(self) -> str:
        return self.branches["main"]

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        listing = sorted((path, object_id(path, content)) for path, content in files.items())
        commit = hashlib.sha1(json.dumps([len(self.commits), listing]).encode()).hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        return commit

    def resolve(self, revision: str) -> str:
        """Commit hash of a revision."""
        revision = self.branches.get(revision, revision)
        if revision not in self.commits:
            raise not_found("RevisionNotFound")
        return revision


class HubServer:
    """
    Serves repositories from a free port of 127.0.0.1 while its context is open.

    Attributes:
        url: Value for `HF_ENDPOINT`.
        repositories: By name.
        requests: "METHOD /path" of every request so far.
        unknown_requests: Those outside the API that is spoken here.
        faults: Patterns of "METHOD /path"; such requests fail with a status, or with 0 after half of their body.
        expired_tokens: Tokens that are refused.
    """

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.unknown_requests: list[str] = []
        self.lfs_objects: dict[str, bytes] = {}
        self.faults: dict[str, int] = {}
        self.expired_tokens: set[str] = set()
        self.lock = threading.Lock()

    def __enter__(self) -> "HubServer":
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        # Not daemons, so that closing waits for them.
        self._http.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """Path to content at a revision."""
        repository = self.repository(name)
        return repository.commits[repository.resolve(revision)]

    def repository(self, name: str) -> Repository:
        if name not in self.repositories:
            raise not_found("RepoNotFound")
        return self.repositories[name]


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.0: a connection per request, so that no thread waits for a client that is done."""

    hub: HubServer
    timeout = 30

    def handle_request(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        # Clients quote slashes inside a revision.
        path, length = url.path, int(self.headers.get("Content-Length", 0))
        faults = self.hub.faults.items()
        fault = next((status for pattern, status in faults if re.fullmatch(pattern, f"{self.command} {path}")), None)
        if fault == 0:
            self.rfile.read(length // 2)
            self.connection.shutdown(socket.SHUT_RDWR)
            self.hub.requests.append(f"{self.command} {path}")
            return
        self.body = self.rfile.read(length)
        with self.hub.lock:
            self.hub.requests.append(f"{self.command} {path}")
            try:
                if fault is not None:
                    raise HubError(fault, "This request was made to fail")
                for methods, pattern, answer in _ROUTES:
                    match = re.fullmatch(pattern, path)
                    if match and self.command in methods.split():
                        groups = {key: unquote(value) for key, value in match.groupdict().items()}
                        content, headers = answer(self, **groups)
                        break
                else:
                    self.hub.unknown_requests.append(f"{self.command} {path}")
                    raise HubError(501, f"Not part of this server: {self.command} {path}")
                status = 200
            except HubError as error:
                status, content, headers = error.status, error.body, error.headers
        if not isinstance(content, bytes):
            content, headers = json.dumps(content).encode(), {"Content-Type": "application/json", **headers}
        self.send_response(status)
        for key, value in {**headers, "Content-Length": len(content)}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def log_message(self, format, *args) -> None:
        pass

    def require_token(self) -> None:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or token in self.hub.expired_tokens:
            raise HubError(401, "Invalid credentials in Authorization header")

    def require_write(self, name: str) -> None:
        self.require_token()
        if not name.startswith("user/"):
            raise HubError(403, f"You don't have the rights to write to {name}")

    def require_commit(self, name: str) -> None:
        """Anybody with a token may open a pull request."""
        self.require_token() if "create_pr" in self.query else self.require_write(name)

    # Each answer returns a body, bytes or something for JSON, and headers.

    def create(self):
        request = json.loads(self.body)
        if request.get("type", "model") != "model":
            raise HubError(400, "This server holds models only.")
        name = f"{request.get('organization') or 'user'}/{request['name']}"
        self.require_write(name)
        url = f"{self.hub.url}/{name}"
        if name in self.hub.repositories:
            raise HubError(409, "You already created this model repo", url=url)
        self.hub.repositories[name] = Repository(private=request.get("visibility") == "private")
        return {"url": url, "name": name}, {}

    def validate_card(self):
        return {"errors": [], "warnings": []}, {}

    def auth_check(self, name):
        self.require_token()
        self.hub.repository(name)
        self.require_write(name)
        return {}, {}

    def info(self, name, revision="main"):
        repository = self.hub.repository(name)
        commit, private = repository.resolve(revision), repository.private
        siblings = [{"rfilename": path} for path in sorted(self.hub.files(name, commit))]
        return {"id": name, "modelId": name, "sha": commit, "private": private, "tags": [], "siblings": siblings}, {}

    def tree(self, name, revision):
        if self.query.get("recursive", ["false"])[0].lower() != "true":
            raise HubError(501, "This server lists files only with `recursive`.")
        entries = []
        for path, content in sorted(self.hub.files(name, revision).items()):
            oid, size = object_id(path, content), len(content)
            entry = {"type": "file", "path": path, "size": size, "oid": oid}
            if is_lfs(path):
                entry["lfs"] = {"oid": oid, "size": size, "pointerSize": 134}
            entries.append(entry)
        return entries, {}

    def make_branch(self, name, revision):
        self.require_write(name)
        repository = self.hub.repository(name)
        if revision in repository.branches:
            raise HubError(409, "Reference already exists")
        repository.branches[revision] = repository.head
        return {}, {}

    def preupload(self, name, revision):
        self.require_commit(name)
        known = self.hub.files(name, revision)
        files = []
        for path in (file["path"] for file in json.loads(self.body)["files"]):
            answer = {"path": path, "uploadMode": "lfs" if is_lfs(path) else "regular", "shouldIgnore": False}
            if path in known:
                answer["oid"] = object_id(path, known[path])
            files.append(answer)
        return {"files": files}, {}

    def lfs_batch(self, name):
        self.require_token()  # It does not say whether this is for a pull request.
        self.hub.repository(name)
        objects = []
        for item in json.loads(self.body)["objects"]:
            answer = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.lfs_objects:
                answer["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}
            objects.append(answer)
        return {"transfer": "basic", "objects": objects}, {}

    def lfs_upload(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise HubError(400, f"The content is not that of {oid}.")
        self.hub.lfs_objects[oid] = self.body
        return b"", {}

    def commit(self, name, revision):
        self.require_commit(name)
        repository = self.hub.repository(name)
        if revision not in repository.branches:
            raise not_found("RevisionNotFound")
        files = dict(self.hub.files(name, revision))
        for item in map(json.loads, self.body.splitlines()):
            key, value = item["key"], item["value"]
            if key == "header" and value.get("parentCommit") not in (None, repository.resolve(revision)):
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.hub.lfs_objects:
                    raise HubError(400, f"{value['path']} was not uploaded before its commit.")
                files[value["path"]] = self.hub.lfs_objects[value["oid"]]
            elif key == "deletedFile":
                files.pop(value["path"], None)
            elif key == "deletedFolder":
                folder = value["path"].rstrip("/") + "/"
                files = {path: content for path, content in files.items() if not path.startswith(folder)}
        answer = {"success": True}
        if "create_pr" in self.query:
            number = 1 + sum(branch.startswith("refs/pr/") for branch in repository.branches)
            revision = f"refs/pr/{number}"
            answer["pullRequestUrl"] = f"{self.hub.url}/{name}/discussions/{number}"
        commit = repository.commit(files, revision)
        return answer | {"commitOid": commit, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}"}, {}

    def download(self, name, revision, path):
        commit = self.hub.repository(name).resolve(revision)
        files = self.hub.files(name, commit)
        if path not in files:
            raise not_found("EntryNotFound", **{"X-Repo-Commit": commit})
        etag = f'"{object_id(path, files[path])}"'
        return files[path], {"X-Repo-Commit": commit, "ETag": etag, "Content-Type": "application/octet-stream"}

    def agent_harnesses(self):
        # A list that newer clients ask for once a day and do without.
        raise HubError(404, "Not found")


_NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
_REVISION = r"(?P<revision>[^/]+)"
_ROUTES = [
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate_card),
    ("GET", "/api/agent-harnesses", _Handler.agent_harnesses),
    ("GET", r"/api/models/(?P<name>[\w.-]+(/[\w.-]+)?)", _Handler.info),
    ("GET", f"/api/models/{_NAME}/auth-check/write", _Handler.auth_check),
    ("GET", f"/api/models/{_NAME}/revision/{_REVISION}", _Handler.info),
    ("GET", f"/api/models/{_NAME}/tree/{_REVISION}", _Handler.tree),
    ("POST", f"/api/models/{_NAME}/branch/{_REVISION}", _Handler.make_branch),
    ("POST", f"/api/models/{_NAME}/preupload/{_REVISION}", _Handler.preupload),
    ("POST", f"/api/models/{_NAME}/commit/{_REVISION}", _Handler.commit),
    ("POST", rf"/{_NAME}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.lfs_upload),
    ("GET HEAD", f"/{_NAME}/resolve/{_REVISION}/(?P<path>.+)", _Handler.download),
]
