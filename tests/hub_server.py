"""A hub on loopback: enough of the hub's protocol for the real clients, and faults on demand.

    with hub_server({"org/tiny": {"main": {"config.json": b"{}"}}}) as server:
        subprocess.run(…, env=environment(server.url, tmp_path))
        server.faults.cuts["model.safetensors"] = 1
        server.requests  # what was asked, in order

A revision's files are a folder or a dict of bytes; its commit is the digest of its content. Data
sets are the repositories called "datasets/org/name". At the end of the block, any request that
the hub does not know fails the test.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

TOKEN = "hf_tokenoftests"  # the one that opens gated and private repositories
Files = Mapping[str, bytes] | Path

# kind, repository, what is asked, revision
_ASKED = "(?:/(revision|tree|auth-check)(?:/([^/]+))?)?"
_API = re.compile(f"/api/(models|datasets)/(.+?){_ASKED}")
_FILE = re.compile(r"/(.+?)/resolve/([^/]+)/(.+)")
_DISPENSABLE = {"/api/agent-harnesses"}  # what the command line asks for, and can do without


class Request(NamedTuple):
    """A request as it came: the file's name is the path's end, `range` its Range header."""

    method: str
    path: str
    range: str | None


@dataclass
class Faults:
    """What goes wrong; change it at any time. Files go by name, repositories by ID."""

    gated: set[str] = field(default_factory=set)  # lists its files, gives none without TOKEN
    private: set[str] = field(default_factory=set)  # does not exist without TOKEN
    forbidden: set[str] = field(default_factory=set)  # 403 to everybody
    listings: int | None = None  # status of every answer of the API, such as 503
    files: dict[str, int] = field(default_factory=dict)  # status of a file's answers
    cuts: dict[str, int] = field(default_factory=dict)  # how often still its sending breaks halfway
    held: set[str] = field(default_factory=set)  # sends half, then nothing until it is let go
    shortened: set[str] = field(default_factory=set)  # its last byte is never sent
    silent: bool = False  # takes requests and does not answer
    circle: bool = False  # sends every request back to where it came
    portal: bool = False  # a page for logging in instead of every answer


@dataclass(frozen=True)
class Blob:
    """A file of a revision, with the names by which the hub and the client's cache know it."""

    name: str
    content: bytes

    @property
    def large(self) -> bool:
        return self.name.endswith((".safetensors", ".bin", ".parquet"))

    @cached_property
    def git_sha1(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.git_sha1

    def leaf(self) -> dict:
        """The file in a tree."""
        size = {"size": len(self.content)}
        lfs = {"lfs": {**size, "oid": self.sha256, "pointerSize": 134}} if self.large else {}
        return {"type": "file", "path": self.name, "oid": self.git_sha1} | size | lfs


def _read(files: Files) -> dict[str, Blob]:
    if isinstance(files, Path):
        paths = sorted(path for path in files.rglob("*") if path.is_file())
        files = {path.relative_to(files).as_posix(): path.read_bytes() for path in paths}
    return {name: Blob(name, content) for name, content in files.items()}


class HubServer(ThreadingHTTPServer):
    """Serves what was published until the context ends; `requests` and `faults` are the test's."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Request] = []
        self.unknown: list[str] = []  # requests that no hub has to answer
        self.faults = Faults()
        self.closing = threading.Event()
        self.commits: dict[str, dict[str, dict[str, Blob]]] = {}  # repository, commit: its files
        self._revisions: dict[str, dict[str, str]] = {}  # repository, branch or tag: its commit

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def publish(self, repository: str, revision: str, files: Files) -> str:
        """Move a branch or tag to these files; its commit. Earlier commits stay to be had."""
        blobs = _read(files)
        tree = "".join(f"{name} {blobs[name].sha256}\n" for name in sorted(blobs))
        commit = hashlib.sha1(tree.encode()).hexdigest()
        self.commits.setdefault(repository, {})[commit] = blobs
        self._revisions.setdefault(repository, {})[revision] = commit
        return commit

    def commit(self, repository: str, revision: str = "main") -> str:
        return self._revisions[repository][revision]

    def fetched(self) -> list[str]:
        """The names of the files whose content was asked for, each once, sorted."""
        got = [path.split("/resolve/") for method, path, _ in self.requests if method == "GET"]
        return sorted({parts[1].split("/", 1)[1] for parts in got if len(parts) == 2})

    def find(self, repository: str, revision: str) -> tuple[str, dict[str, Blob]] | None:
        """The commit and files of a branch, a tag or a commit."""
        commits = self.commits[repository]
        commit = self._revisions[repository].get(revision, revision)
        return (commit, commits[commit]) if commit in commits else None

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"  # keeps connections open, as the hub does
    disable_nagle_algorithm = True  # else each body waits 40 ms for its headers to be confirmed

    def log_message(self, *_) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.server.requests.append(Request(self.command, path, self.headers["Range"]))
        if self.server.faults.silent:
            self.server.closing.wait()
        elif self.server.faults.circle:
            self._send(307, headers={"Location": self.path})
        elif self.server.faults.portal:
            self._send(200, b"<html>Log in to this network</html>", {"Content-Type": "text/html"})
        elif match := _API.fullmatch(url.path):
            kind, name, what, revision = match.groups(default="")
            repository = name if kind == "models" else f"{kind}/{name}"
            self._api(repository, what, unquote(revision) or "main")
        elif match := _FILE.fullmatch(url.path):
            repository, revision, name = (unquote(part) for part in match.groups())
            self._resolve(repository, revision, name)
        else:
            if path not in _DISPENSABLE:
                self.server.unknown.append(f"{self.command} {self.path}")
            self._send(404)

    def _api(self, repository: str, kind: str, revision: str) -> None:
        if self.server.faults.listings is not None:
            self._send(self.server.faults.listings)
        elif found := self._found(repository, revision):
            commit, blobs = found
            gated = repository in self.server.faults.gated
            if kind == "tree":
                self._send_json([blob.leaf() for blob in blobs.values()])
            elif kind != "auth-check":
                names = [{"rfilename": name} for name in blobs]
                identity = {"id": repository.removeprefix("datasets/"), "sha": commit}
                self._send_json(identity | {"siblings": names, "gated": "auto" if gated else False})
            elif gated and not self._authorized():
                self._refuse(403, "GatedRepo", "Access to this repository is restricted")
            else:
                self._send(200)

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        found = self._found(repository, revision)
        if not found:
            return
        (commit, blobs), faults = found, self.server.faults
        if repository in faults.gated and not self._authorized():
            self._refuse(403, "GatedRepo", "Access to this model is restricted")
        elif name in faults.files:
            self._send(faults.files[name])
        elif name not in blobs:
            self._refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        else:
            self._send_file(blobs[name], commit)

    def _found(self, repository: str, revision: str) -> tuple[str, dict[str, Blob]] | None:
        """The commit and files asked for, or None after refusing them."""
        hidden = repository in self.server.faults.private and not self._authorized()
        if hidden or repository not in self.server.commits:
            # the hub says 401 to strangers, whether a repository is private or does not exist
            status = 404 if self._authorized() else 401
            self._refuse(status, "RepoNotFound", "Repository not found")
        elif repository in self.server.faults.forbidden:
            self._refuse(403, None, "Your token lacks the permission")
        elif found := self.server.find(repository, revision):
            return found
        else:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return None

    def _authorized(self) -> bool:
        return self.headers["Authorization"] == f"Bearer {TOKEN}"

    def _send_file(self, blob: Blob, commit: str) -> None:
        name, content = blob.name, blob.content
        start = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        first, size, faults = int(start[1]) if start else 0, len(content), self.server.faults
        status, body = 206 if start else 200, content[first:]
        headers = {"ETag": f'"{blob.etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        got, half = self.command == "GET", len(body) // 2
        if got and faults.cuts.get(name, 0) > 0:
            faults.cuts[name] -= 1
            self._send(status, body, headers, sent=half)
        elif got and name in faults.held:
            self._send(status, body, headers, sent=half)
            self.server.closing.wait()
        else:
            self._send(status, body[:-1] if got and name in faults.shortened else body, headers)

    def _refuse(self, status: int, code: str | None, message: str, headers=None) -> None:
        said = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._send(status, json.dumps({"error": message}).encode(), said | (headers or {}))

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes = b"", headers=None, *, sent: int | None = None):
        """Answer; with `sent`, announce the whole body, send so much of it and hang up."""
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])
            self.wfile.flush()
        if sent is not None:
            self.close_connection = True


@contextmanager
def hub_server(repositories: Mapping[str, Mapping[str, Files]]) -> Iterator[HubServer]:
    """A hub with these repositories, each a dict from branch or tag to its files."""
    server = HubServer()
    for repository, revisions in repositories.items():
        for revision, files in revisions.items():
            server.publish(repository, revision, files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
    assert not server.unknown, f"requests that the hub does not know: {server.unknown}"


def environment(url: str, home: Path, **more: str) -> dict[str, str]:
    """For a child process: this hub and this HF_HOME; nothing of the user's own settings."""
    foreign = ("HF_", "HUGGING", "TRANSFORMERS_OFFLINE", "XDG_CACHE_HOME")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    hub = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**kept, **hub, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **more}
