"""Local folders in the layout of the Hugging Face hub, on a loopback port: for tools that only take names of the hub.

    with local_hub.serve({"org/name": folder}) as address: …  # http://127.0.0.1:PORT

Whatever such a tool asks is answered from the files themselves: the list of files, a model's description, and ranges
of a file. Nothing leaves this machine.
"""

from __future__ import annotations

import json
import re
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from shoestring.models.gguf_facts import read_facts

_COMMIT = "0" * 40
_API = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)(?:/(?P<what>tree|revision)/[^/]+)?$")
_FILE = re.compile(r"/(?P<id>[^/]+/[^/]+)/(?:resolve|raw)/[^/]+/(?P<path>.+)$")
_PIECE = 1 << 20


@contextmanager
def serve(models: Mapping[str, Path]) -> Iterator[str]:
    """Serve folders by the names given, until the block ends; its address."""

    handler = type("Handler", (_Handler,), {"folders": dict(models)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folders: ClassVar[Mapping[str, Path]] = {}

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        address = urlsplit(self.path)
        path = unquote(address.path)
        api, file = _API.match(path), _FILE.match(path)
        if path == "/api/models":
            wanted = parse_qs(address.query).get("search", [""])[0].lower()
            found = [describe(name, f) for name, f in self.folders.items() if wanted in name.lower()]
            self._json(found, body)
        elif api and api["id"] in self.folders:
            folder = self.folders[api["id"]]
            self._json(tree(folder) if api["what"] == "tree" else describe(api["id"], folder), body)
        elif file and file["id"] in self.folders and (self.folders[file["id"]] / file["path"]).is_file():
            self._file(self.folders[file["id"]] / file["path"], body)
        else:
            self._head(HTTPStatus.NOT_FOUND, 0, {"X-Error-Code": "EntryNotFound"})

    def _json(self, document: object, body: bool) -> None:
        data = json.dumps(document).encode()
        self._head(HTTPStatus.OK, len(data), {"Content-Type": "application/json"})
        if body:
            self.wfile.write(data)

    def _file(self, path: Path, body: bool) -> None:
        size = path.stat().st_size
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2]), size - 1) if asked and asked[2] else size - 1
        headers = {
            "Content-Type": "application/octet-stream",
            "ETag": f'"{path.name}-{size}"',
            "X-Repo-Commit": _COMMIT,
            "X-Linked-Size": str(size),
            "Accept-Ranges": "bytes",
        }
        if asked:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        self._head(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK, last + 1 - first, headers)
        if body:
            self._send(path, first, last + 1 - first)

    def _send(self, path: Path, first: int, left: int) -> None:
        with path.open("rb") as file:
            file.seek(first)
            while left and (piece := file.read(min(left, _PIECE))):
                self.wfile.write(piece)
                left -= len(piece)

    def _head(self, status: HTTPStatus, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()


def tree(folder: Path) -> list[dict[str, Any]]:
    """The hub's list of a repository's files."""
    return [
        {
            "type": "file",
            "path": path.relative_to(folder).as_posix(),
            "size": path.stat().st_size,
            "oid": _COMMIT,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def describe(name: str, folder: Path) -> dict[str, Any]:
    """The hub's description of a model: what it derives from the files, and no more."""
    files = tree(folder)
    config = folder / "config.json"
    described: dict[str, Any] = {
        "_id": name, "id": name, "modelId": name, "author": name.partition("/")[0], "sha": _COMMIT,
        "private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0,
        "pipeline_tag": "text-generation", "library_name": "transformers", "tags": ["transformers"],
        "createdAt": "2026-01-01T00:00:00.000Z", "lastModified": "2026-01-01T00:00:00.000Z",
        "siblings": [{"rfilename": file["path"], "size": file["size"]} for file in files],
        "usedStorage": sum(file["size"] for file in files),
    }  # fmt: skip
    if config.exists():
        described["config"] = json.loads(config.read_text())
    for gguf in sorted(folder.glob("*.gguf"))[:1]:
        facts = read_facts([gguf], id=name)
        described["gguf"] = {
            "total": facts.parameters.total,
            "architecture": facts.architecture,
            "context_length": facts.context_length,
        }
    if (folder / "model.safetensors").exists():
        counted = parameters(folder / "model.safetensors")
        described["safetensors"] = {"parameters": dict(counted), "total": counted.total()}
    return described


def parameters(file: Path) -> Counter[str]:
    """Parameters of a safetensors file by dtype, from its header."""
    with file.open("rb") as opened:
        header = json.loads(opened.read(struct.unpack("<Q", opened.read(8))[0]))
    counted: Counter[str] = Counter()
    for name, tensor in header.items():
        if name != "__metadata__":
            n = 1
            for size in tensor["shape"]:
                n *= size
            counted[tensor["dtype"]] += n
    return counted
