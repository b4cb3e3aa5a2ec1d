"""A hub on a loopback port that serves what it is given, and lies as it is told. It writes down what it was asked."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "c0ffee" + "0" * 34
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass(frozen=True)
class Asked:
    """One request, and how many bytes of body it was answered with."""

    path: str
    range: str | None
    token: str | None
    sent: int


@dataclass
class Reply:
    """What is answered. `endless`: the body without end; `stated`: a Content-Length that is not the body's."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False
    stated: int | None = None


Lie = Callable[[str, Mapping[str, str], Reply], Reply]
"""From path, request headers and the honest reply to the reply that is given."""


@dataclass
class ReadingHub:
    """A running hub.

    Attributes:
        address: of the hub; `store`: of a second server, to which large files are redirected.
        files: content by repository and name.
        description: what the hub says beyond what follows from the files.
        lie: changes replies; None: honest.
        asked: every request, in order.
        redirects: names whose content is given by the store.
    """

    address: str = ""
    store: str = ""
    files: dict[str, dict[str, bytes | Path]] = field(default_factory=dict)
    description: dict[str, Any] = field(default_factory=dict)
    lie: Lie | None = None
    asked: list[Asked] = field(default_factory=list)
    redirects: set[str] = field(default_factory=set)

    @property
    def bytes_sent(self) -> int:
        return sum(asked.sent for asked in self.asked)

    def add(self, repo: str, folder: Path) -> None:
        """Serve a folder's files, from where they lie."""
        self.files[repo] = {
            path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
        }

    def honest(self, path: str, headers: Mapping[str, str], *, is_store: bool) -> Reply:
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
        file = _FILE.fullmatch(path)
        if api and api[1] in self.files:
            return Reply(body=json.dumps(self.describe(api[1])).encode())
        if not file or file[3] not in self.files.get(file[1], {}):
            return Reply(404, headers={"X-Error-Code": "EntryNotFound" if file else "RepoNotFound"})
        if file[3] in self.redirects and not is_store:
            return Reply(302, headers={"Location": f"{self.store}{path}?signature=1"})
        return _content(self.files[file[1]][file[3]], headers)

    def describe(self, repo: str) -> dict[str, Any]:
        siblings = [{"rfilename": name, "size": _size(data)} for name, data in self.files[repo].items()]
        return {"id": repo, "sha": COMMIT, "siblings": siblings, "gated": False, **self.description}


def _size(data: bytes | Path) -> int:
    return len(data) if isinstance(data, bytes) else data.stat().st_size


def _part(data: bytes | Path, first: int, last: int) -> bytes:
    if isinstance(data, bytes):
        return data[first : last + 1]
    with data.open("rb") as file:
        file.seek(first)
        return file.read(last + 1 - first)


def _content(data: bytes | Path, headers: Mapping[str, str]) -> Reply:
    asked = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("Range", ""))
    if asked is None:
        data = data if isinstance(data, bytes) else data.read_bytes()
        if headers.get("Accept-Encoding") == "gzip":
            return Reply(body=gzip.compress(data), headers={"Content-Encoding": "gzip"})
        return Reply(body=data)
    first, last = int(asked[1]), min(int(asked[2]), _size(data) - 1)
    return Reply(206, _part(data, first, last), {"Content-Range": f"bytes {first}-{last}/{_size(data)}"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: ReadingHub
    is_store = False

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        with suppress(OSError):  # a connection that the other side has closed
            super().handle()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = dict(self.headers.items())
        reply = self.hub.honest(path, headers, is_store=self.is_store)
        if self.hub.lie is not None:
            reply = self.hub.lie(path, headers, reply)
        sent = Asked(path, headers.get("Range"), headers.get("Authorization"), len(reply.body))
        self.hub.asked.append(sent)
        try:
            self._send(reply)
        except OSError:  # the other side has heard enough
            self.close_connection = True

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.endless:
            self.end_headers()
            while True:
                self.wfile.write(reply.body)
        stated = len(reply.body) if reply.stated is None else reply.stated
        self.send_header("Content-Length", str(stated))
        self.end_headers()
        self.wfile.write(reply.body)
        self.close_connection = stated != len(reply.body)


@contextmanager
def running() -> Iterator[ReadingHub]:
    """A hub and its store, until the block ends."""
    hub = ReadingHub()
    kinds = [type("Handler", (_Handler,), {"hub": hub, "is_store": is_store}) for is_store in (False, True)]
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in kinds]
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    hub.address, hub.store = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReadingHub]:
    """A hub that this process takes for the real one, an empty cache, and nobody logged in."""
    import huggingface_hub
    from huggingface_hub import constants

    from shoestring.models.hub import client

    with running() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(client, "_PAUSE_S", 0.0)
        yield found
        huggingface_hub.close_session()
