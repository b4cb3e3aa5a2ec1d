"""A hub on loopback ports, speaking the endpoints that huggingface_hub uses, with its headers, refusals and redirects.

Large files are redirected to a second port, the store, as the real hub redirects them to its CDN. Both write down what
they are asked and how many bytes they sent, and misbehave as they are told.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

_API = re.compile(r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/(auth-check|revision|tree)(?:/(.+))?)?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_LARGE = (".safetensors", ".gguf", ".bin")
_BLOCK = 64 * 1024
Headers = dict[str, str]


@dataclass(frozen=True)
class User:
    """Who a token belongs to, and what it may do."""

    name: str = "ada"
    token_name: str = "laptop"
    role: Literal["read", "write", "fineGrained"] = "read"
    reads_gated: bool = True
    expired: bool = False


@dataclass(frozen=True)
class Content:
    """What a file holds: bytes, or a file of this machine."""

    data: bytes | Path
    size: int
    sha256: str
    large: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.sha256[:40]

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        if isinstance(self.data, bytes):
            yield from (self.data[at : min(at + _BLOCK, end)] for at in range(start, end, _BLOCK))
            return
        with self.data.open("rb") as file:
            file.seek(start)
            while start < end and (block := file.read(min(_BLOCK, end - start))):
                start += len(block)
                yield block


@dataclass
class Repo:
    """A repository: what each branch holds, and who may read it.

    Attributes:
        branches: commit and files by branch or tag.
        gated: as the hub says it; `granted`, `pending`, `rejected`: names of users.
        private: only users in `granted` see it.
    """

    branches: dict[str, tuple[str, dict[str, Content]]] = field(default_factory=dict)
    kind: str = "models"
    gated: Literal[False, "auto", "manual"] = False
    private: bool = False
    granted: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    license: str = "apache-2.0"
    downloads: int = 1234
    last_modified: str = "2026-11-01T12:00:00.000Z"

    def at(self, revision: str | None) -> tuple[str, dict[str, Content]] | None:
        """Commit and files of a branch, or of a commit."""
        if revision in self.branches or revision is None:
            return self.branches[revision or "main"]
        return next((at for at in self.branches.values() if at[0] == revision), None)


@dataclass
class Faults:
    """What goes wrong. By the path's end; a list is used up from the front.

    Attributes:
        statuses: answered instead of what was asked; `*` stands for every path. 0 answers as usual.
        drop_after: bytes of body after which the connection ends, once each; negative: it is reset, not closed.
        corrupt: one byte in the middle is another.
        bytes_per_s: how fast bodies go out; None: as fast as they can.
        retry_after: seconds, told with a 429 or 503.
        echo_token: put the caller's token into every error message.
        headers: that files are described with instead of the true ones.
    """

    statuses: dict[str, list[int]] = field(default_factory=dict)
    drop_after: dict[str, list[int]] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)
    bytes_per_s: int | None = None
    retry_after: int | None = None
    echo_token: bool = False
    headers: dict[str, Headers] = field(default_factory=dict)

    def status(self, path: str) -> int:
        found = next((left for end, left in self.statuses.items() if end == "*" or path.endswith(end)), [])
        return found.pop(0) if found else 0


@dataclass
class Asked:
    """One request. `sent` grows while its body goes out."""

    server: Literal["hub", "store"]
    method: str
    path: str
    headers: Headers
    status: int = 0
    sent: int = 0

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization")


@dataclass
class Hub:
    """A running hub.

    Attributes:
        address, store: of the two servers.
        repos: by id; `users`: by token.
        asked: every request, in order.
    """

    address: str = ""
    store: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    asked: list[Asked] = field(default_factory=list)

    def add(
        self, id: str, files: Path | Mapping[str, bytes | Path], *, branch: str = "main", **how: object
    ) -> Repo:
        """Serve a folder, or files by name, as a branch of a repository."""
        if isinstance(files, Path):
            files = {path.relative_to(files).as_posix(): path for path in files.rglob("*") if path.is_file()}
        contents = {name: _content(name, data) for name, data in sorted(files.items())}
        commit = hashlib.sha1(repr([(n, c.sha256) for n, c in contents.items()]).encode()).hexdigest()
        repo = self.repos.setdefault(id, Repo())
        for name, value in how.items():
            setattr(repo, name, value)
        repo.branches[branch] = (commit, contents)
        return repo

    def sent(self, end: str = "") -> int:
        """Bytes of bodies of paths with this end."""
        return sum(asked.sent for asked in list(self.asked) if asked.path.endswith(end))

    def environment(self, home: Path) -> dict[str, str]:
        """What a process needs to take this for the hub, with a home of its own and nobody logged in."""
        return {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(home),
            "HF_TOKEN": "",
            "HF_HUB_OFFLINE": "",
            "NO_PROXY": "127.0.0.1",
        }


def _content(name: str, data: bytes | Path) -> Content:
    if isinstance(data, bytes):
        return Content(data, len(data), hashlib.sha256(data).hexdigest(), name.endswith(_LARGE))
    return Content(data, data.stat().st_size, _sha256(data), name.endswith(_LARGE))


@lru_cache
def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _Refused(Exception):  # noqa: N818
    def __init__(self, status: int, code: str | None, message: str) -> None:
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    server_kind: Literal["hub", "store"]

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.asked = Asked(self.server_kind, self.command, path, headers)
        self.hub.asked.append(self.asked)
        try:
            if status := self.hub.faults.status(path):
                raise _Refused(status, None, "told to fail")
            self._store(path) if self.server_kind == "store" else self._hub(path)
        except _Refused as refused:
            self._refuse(refused)
        except OSError:  # the other side has heard enough
            self.close_connection = True

    def _hub(self, path: str) -> None:
        user = self._user()
        if path == "/api/whoami-v2":
            self._json(self._whoami(user))
        elif match := _API.fullmatch(path):
            self._describe(match, user)
        elif match := _FILE.fullmatch(path):
            self._file(match, user)
        else:
            raise _Refused(404, None, "Sorry, we can't find the page you are looking for.")

    def _user(self) -> User | None:
        given = self.headers.get("Authorization")
        if given is None:
            return None
        user = self.hub.users.get(given.removeprefix("Bearer "))
        if user is None:
            raise _Refused(401, None, "Invalid credentials in Authorization header")
        if user.expired:
            raise _Refused(401, None, f'User Access Token "{user.token_name}" is expired')
        return user

    def _whoami(self, user: User | None) -> dict[str, object]:
        if user is None:
            raise _Refused(401, None, "Invalid username or password.")
        token: dict[str, object] = {"displayName": user.token_name, "role": user.role}
        if user.role == "fineGrained":
            token["fineGrained"] = {"canReadGatedRepos": user.reads_gated, "global": [], "scoped": []}
        return {"type": "user", "name": user.name, "auth": {"type": "access_token", "accessToken": token}}

    def _visible(self, id: str, kind: str, user: User | None) -> Repo:
        repo = self.hub.repos.get(id)
        hidden = repo is None or (repo.private and (user is None or user.name not in repo.granted))
        if repo is None or hidden or repo.kind != kind:
            if user is None:
                raise _Refused(401, None, "Invalid username or password.")
            raise _Refused(404, "RepoNotFound", "Repository not found")
        return repo

    def _granted(self, id: str, repo: Repo, user: User | None) -> None:
        if not repo.gated:
            return
        restricted = f"Access to model {id} is restricted"
        if user is None:
            more = "You must have access to it and be authenticated to access it. Please log in."
            raise _Refused(401, "GatedRepo", f"{restricted}. {more}")
        if user.role == "fineGrained" and not user.reads_gated:
            where = "in your fine-grained token settings to view this repository."
            raise _Refused(403, None, f"Please enable access to public gated repositories {where}")
        if user.name in repo.pending:
            waiting = "is awaiting a review from the repo authors."
            raise _Refused(403, "GatedRepo", f"Your request to access model {id} {waiting}")
        if user.name in repo.rejected:
            raise _Refused(
                403,
                "GatedRepo",
                f"Your request to access model {id} has been rejected by the repo's authors.",
            )
        if user.name not in repo.granted:
            visit = f"Visit {self.hub.address}/{id} to ask for access."
            raise _Refused(403, "GatedRepo", f"{restricted} and you are not in the authorized list. {visit}")

    def _describe(self, match: re.Match[str], user: User | None) -> None:
        kind, id, what, revision = match.groups()
        repo = self._visible(id, kind, user)
        if what == "auth-check":
            self._granted(id, repo, user)
            self._json({})
            return
        commit, files = self._at(repo, revision)
        if what == "tree":
            self._json([{"type": "file", "path": name, **_in_tree(c)} for name, c in files.items()])
            return
        self._json(
            {
                "id": id,
                "sha": commit,
                "gated": repo.gated,
                "private": repo.private,
                "downloads": repo.downloads,
                "lastModified": repo.last_modified,
                "cardData": {"license": repo.license},
                "siblings": [{"rfilename": name, **_described(c)} for name, c in files.items()],
            }
        )

    def _at(self, repo: Repo, revision: str | None) -> tuple[str, dict[str, Content]]:
        found = repo.at(revision)
        if found is None:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _file(self, match: re.Match[str], user: User | None) -> None:
        id, revision, name = match.groups()
        repo = self._visible(id, "models", user)
        self._granted(id, repo, user)
        commit, files = self._at(repo, revision)
        if name not in files:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        content = files[name]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{content.etag}"', "Accept-Ranges": "bytes"}
        if not content.large:
            self._body(content, headers, name)
            return
        headers |= {"X-Linked-Etag": f'"{content.etag}"', "X-Linked-Size": str(content.size)}
        address = f"{self.hub.store}/{id}/resolve/{commit}/{quote(name)}?signature=1"
        self._headers(302, headers | {"Location": address, "Content-Length": "0"})

    def _store(self, path: str) -> None:
        match = _FILE.fullmatch(path)
        found = match and self.hub.repos[match[1]].at(match[2])
        if not match or not found:
            raise _Refused(404, None, "no such object")
        self._body(found[1][match[3]], {}, match[3])

    def _body(self, content: Content, headers: Headers, name: str) -> None:
        start, end, status = 0, content.size, 200
        if match := _RANGE.fullmatch(self.headers.get("Range", "")):
            start = int(match[1])
            end = min(int(match[2]) + 1 if match[2] else content.size, content.size)
            if start >= content.size:
                raise _Refused(416, None, "out of range")
            status = 206
            headers = headers | {"Content-Range": f"bytes {start}-{end - 1}/{content.size}"}
        self._headers(status, headers | {"Content-Length": str(end - start)})
        if self.command == "HEAD":
            return
        drops = next((d for e, d in self.hub.faults.drop_after.items() if d and name.endswith(e)), None)
        limit = drops.pop(0) if drops else None
        wrong = content.size // 2 if any(name.endswith(e) for e in self.hub.faults.corrupt) else None
        at = start
        for whole in content.blocks(start, end):
            block = whole
            if wrong is not None and at <= wrong < at + len(block):
                i = wrong - at
                block = block[:i] + bytes([block[i] ^ 1]) + block[i + 1 :]
            if limit is not None and self.asked.sent + len(block) > abs(limit):
                self._write(block[: abs(limit) - self.asked.sent])
                self._drop(reset=limit < 0)
                return
            self._write(block)
            at += len(block)

    def _write(self, block: bytes) -> None:
        self.wfile.write(block)
        self.asked.sent += len(block)
        if rate := self.hub.faults.bytes_per_s:
            time.sleep(len(block) / rate)

    def _drop(self, *, reset: bool) -> None:
        """End the connection: as a server does that is shut down, or (reset) as a cable does that is cut."""
        self.wfile.flush()
        if reset:
            time.sleep(0.05)  # what was sent has to arrive: a reset overtakes it
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _json(self, document: object) -> None:
        body = json.dumps(document).encode()
        self._headers(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self._write(body)

    def _refuse(self, refused: _Refused) -> None:
        faults, token = self.hub.faults, self.headers.get("Authorization")
        message = f"{refused.message} {token}" if faults.echo_token and token else refused.message
        headers = {"X-Error-Message": message}
        if refused.code:
            headers["X-Error-Code"] = refused.code
        if faults.retry_after is not None and refused.status in (429, 503):
            headers["Retry-After"] = str(faults.retry_after)
        body = json.dumps({"error": message}).encode()
        self._headers(refused.status, headers | {"Content-Length": str(len(body))})
        if self.command != "HEAD":
            self._write(body)

    def _headers(self, status: int, headers: Headers) -> None:
        self.asked.status = status
        self.send_response(status)
        lies = next(
            (lie for end, lie in self.hub.faults.headers.items() if self.asked.path.endswith(end)), {}
        )
        headers = headers | {name: lie for name, lie in lies.items() if name in headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _described(content: Content) -> dict[str, object]:
    lfs = {"sha256": content.sha256, "size": content.size, "pointerSize": 134}
    found: dict[str, object] = {"size": content.size, "blobId": content.sha256[:40]}
    return found | {"lfs": lfs} if content.large else found


def _in_tree(content: Content) -> dict[str, object]:
    lfs = {"oid": content.sha256, "size": content.size, "pointerSize": 134}
    found: dict[str, object] = {"size": content.size, "oid": content.sha256[:40]}
    return found | {"lfs": lfs} if content.large else found


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no error."""

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """End a connection; one to be reset without a farewell."""
        if isinstance(request, socket.socket) and request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            request.close()
            return
        super().shutdown_request(request)


@contextmanager
def running() -> Iterator[Hub]:
    """A hub and its store, until the block ends."""
    hub = Hub()
    kinds = [type("Handler", (_Handler,), {"hub": hub, "server_kind": kind}) for kind in ("hub", "store")]
    servers = [_Server(("127.0.0.1", 0), kind) for kind in kinds]
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    hub.address, hub.store = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
