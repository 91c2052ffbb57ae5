"""A loopback stand-in for the model hub: the part of its API that huggingface_hub's client uses to
create a repository, commit files (regular and LFS, without xet) and download them.

    with HubServer() as hub:  # then HF_ENDPOINT=hub.url, HF_TOKEN=hub.token, HF_HUB_DISABLE_XET=1
        ...  # then hub.repos["org/name"].files
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

TOKEN = "hf_stand_in_token_of_alice"
LFS_SUFFIXES = (".safetensors", "tokenizer.json")
DROP = 0
"""A fault that closes the connection instead of answering with a status."""


@dataclass
class Repo:
    """A repository; `commits` are summary and content (path -> bytes), oldest first."""

    private: bool
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    @property
    def files(self) -> dict[str, bytes]:
        """Content of the newest commit."""
        return self.commits[-1][1]

    @property
    def sha(self) -> str:
        """Name of the newest commit."""
        return self.name(len(self.commits) - 1)

    def name(self, commit: int) -> str:
        """Return the SHA-1 by which a commit is known."""
        return hashlib.sha1(f"{id(self)} {commit}".encode()).hexdigest()

    def at(self, revision: str) -> dict[str, bytes]:
        """Return the content of a revision."""
        names = [self.name(number) for number in range(len(self.commits))]
        return self.files if revision == "main" else self.commits[names.index(revision)][1]

    def commit(self, summary: str, changes: Mapping[str, bytes | None]) -> None:
        """Add a commit; None deletes a file."""
        content = (self.files if self.commits else {}) | changes
        self.commits.append((summary, {k: v for k, v in content.items() if v is not None}))


@dataclass
class Fault:
    """Answers the first `times` requests whose "METHOD path" matches with `status`, or DROP."""

    pattern: str
    status: int
    times: int = 1


class HubServer:
    """The server, in a thread during the `with` block.

    Attributes:
        repos: by id.
        requests: "METHOD path" of each request, in order.
        orgs, role: of the owner of TOKEN, alice; role "read" cannot write.
        faults: see `Fault`.
    """

    token = TOKEN

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.requests: list[str] = []
        self.orgs = ["acme"]
        self.role = "write"
        self.faults: list[Fault] = []
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Refusal(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        self.status, self.message, self.code = status, message, code


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        line = f"{self.command} {path}"
        with self.hub.lock:
            self.hub.requests.append(line)
            try:
                self._fault(line)
                reply = self._route(path, body)
            except _Refusal as refusal:
                if refusal.status == DROP:
                    self.close_connection = True
                    return
                headers = {"X-Error-Message": refusal.message}
                headers |= {"X-Error-Code": refusal.code} if refusal.code else {}
                self._send(refusal.status, {"error": refusal.message}, headers)
                return
        self._send(200, *reply)

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _fault(self, line: str) -> None:
        for fault in self.hub.faults:
            if fault.times and re.search(fault.pattern, line):
                fault.times -= 1
                raise _Refusal(fault.status, "a fault of the test")

    def _send(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _route(self, path: str, body: bytes) -> tuple[Any, dict[str, str]]:
        known = self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        if self.command == "PUT":  # a signed address, without a token
            self.hub.objects[path.rpartition("/")[2]] = body
            return {}, {}
        if path == "/api/whoami-v2":
            return self._whoami(known), {}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}, {}
        if path == "/api/repos/create":
            return self._create(json.loads(body), known), {}
        found = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/.]+)(?:\.git/info/lfs)?(/.*)?", path)
        if found is None:
            raise _Refusal(404, f"no such route: {path}")
        id, rest = found[1], found[2] or ""
        repo = self.hub.repos.get(id)
        if repo is None or (repo.private and not known):
            raise _Refusal(404 if known else 401, "Repository not found", "RepoNotFound")
        if rest.startswith("/resolve/"):
            return self._file(repo, *rest.removeprefix("/resolve/").split("/", 1))
        if rest.startswith("/tree/"):
            return [_entry(*item) for item in repo.at(rest.split("/")[2]).items()], {}
        if rest and not rest.startswith("/revision/"):
            self._may_write(id.partition("/")[0], known)
        if rest.startswith("/preupload/"):
            return {"files": [_mode(repo, one) for one in json.loads(body)["files"]]}, {}
        if rest == "/objects/batch":
            return {"transfer": "basic", "objects": self._batch(json.loads(body))}, {}
        if rest.startswith("/commit/"):
            return self._commit(id, repo, body), {}
        siblings = [{"rfilename": name} for name in repo.files]
        info = {"id": id, "modelId": id, "sha": repo.sha, "private": repo.private, "tags": []}
        return {**info, "siblings": siblings}, {}

    def _whoami(self, known: bool) -> dict[str, Any]:
        if not known:
            raise _Refusal(401, "Invalid credentials in Authorization header")
        auth = {"accessToken": {"role": self.hub.role}}
        return {"name": "alice", "orgs": [{"name": name} for name in self.hub.orgs], "auth": auth}

    def _may_write(self, owner: str, known: bool) -> None:
        if not known or self.hub.role == "read" or owner not in ("alice", *self.hub.orgs):
            raise _Refusal(403, f"You don't have the rights to write to the namespace {owner}")

    def _create(self, wanted: dict[str, Any], known: bool) -> dict[str, Any]:
        owner = wanted.get("organization") or "alice"
        self._may_write(owner, known)
        id = f"{owner}/{wanted['name']}"
        if id in self.hub.repos:
            raise _Refusal(409, "You already created this model repo")
        repo = self.hub.repos[id] = Repo(wanted.get("visibility") == "private")
        repo.commit("initial commit", {".gitattributes": b"*.safetensors filter=lfs\n"})
        return {"url": f"{self.hub.url}/{id}"}

    def _batch(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"oid": one["oid"], "size": one["size"]}
            | (
                {}
                if one["oid"] in self.hub.objects
                else {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}}
            )
            for one in asked["objects"]
        ]

    def _commit(self, id: str, repo: Repo, body: bytes) -> dict[str, Any]:
        header, *lines = map(json.loads, body.splitlines())
        if header["value"].get("parentCommit", repo.sha) != repo.sha:
            raise _Refusal(412, "A commit has happened since. Please refresh and try again.")
        changes: dict[str, bytes | None] = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                changes[value["path"]] = self.hub.objects[value["oid"]]
            else:
                assert line["key"] == "deletedFile"
                changes[value["path"]] = None
        repo.commit(header["value"]["summary"], changes)
        return {"commitUrl": f"{self.hub.url}/{id}/commit/{repo.sha}", "commitOid": repo.sha}

    def _file(self, repo: Repo, revision: str, name: str) -> tuple[bytes, dict[str, str]]:
        content = repo.at(revision).get(name)
        if content is None:
            raise _Refusal(404, "Entry not found", "EntryNotFound")
        return content, {"ETag": f'"{_oid(name, content)}"', "X-Repo-Commit": repo.sha}


def _oid(name: str, content: bytes) -> str:
    if name.endswith(LFS_SUFFIXES):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": name, "size": len(content), "oid": _oid(name, content)}
    if name.endswith(LFS_SUFFIXES):
        entry["lfs"] = {"oid": entry["oid"], "size": len(content), "pointerSize": 100}
    return entry


def _mode(repo: Repo, asked: dict[str, Any]) -> dict[str, Any]:
    name, content = asked["path"], repo.files.get(asked["path"])
    mode = "lfs" if name.endswith(LFS_SUFFIXES) else "regular"
    oid = None if content is None else _oid(name, content)
    return {"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": oid}
