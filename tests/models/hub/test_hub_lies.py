"""A hub that lies, whatever it says: the facts of the model or an error of ours, never anything else, never for long."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from reading_hub import ReadingHub, Reply, hub
from test_hub_reading import CONFIG, folder, of_the_hub
from tiny_gguf import Tiny

from shoestring.errors import ShoestringError
from shoestring.models.facts import ModelFacts

__all__ = ["folder", "hub"]

Change = Callable[[random.Random, Reply], Reply]


def _cut(rng: random.Random, reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: rng.randrange(len(reply.body) + 1)])


def _flip(rng: random.Random, reply: Reply) -> Reply:
    body = bytearray(reply.body)
    for _ in range(rng.randrange(1, 8)):
        if body:
            body[rng.randrange(len(body))] = rng.randrange(256)
    return replace(reply, body=bytes(body))


def _longer(rng: random.Random, reply: Reply) -> Reply:
    return replace(reply, body=reply.body + rng.randbytes(rng.randrange(1, 5000)))


def _status(rng: random.Random, reply: Reply) -> Reply:
    return replace(
        reply, status=rng.choice([200, 201, 203, 206, 301, 302, 307, 308, 400, 401, 403, 404, 410, 416, 429])
    )


def _headers(rng: random.Random, reply: Reply) -> Reply:
    lies = {
        "Content-Range": rng.choice(
            ["bytes 0-0/1", "bytes */5", "x", f"bytes 0-{len(reply.body) - 1}/{10**18}"]
        ),
        "Content-Encoding": rng.choice(["gzip", "deflate", "identity", "br", "x"]),
        "Location": rng.choice(["/", "/loop", "http://127.0.0.1:9/", "//", "file:///etc/passwd", "\x7f"]),
        "X-Error-Code": rng.choice(["GatedRepo", "RepoNotFound", "RevisionNotFound", "EntryNotFound", "?"]),
        "X-Error-Message": "\x1b[31mred",
        "Retry-After": rng.choice(["0", "-1", "1e9", "soon", "9" * 50]),
    }
    names = rng.sample(sorted(lies), rng.randrange(1, 4))
    return replace(reply, headers=reply.headers | {name: lies[name] for name in names})


def _page(rng: random.Random, reply: Reply) -> Reply:
    return Reply(
        rng.choice([200, 206]), b"<!doctype html><title>Sign in</title>", {"Content-Type": "text/html"}
    )


def _json(rng: random.Random, reply: Reply) -> Reply:
    return Reply(body=rng.choice([b"{}", b"[]", b"null", b"1e999", b'"x"', b'{"id": null}', b"[" * 5000]))


def _stated(rng: random.Random, reply: Reply) -> Reply:
    return replace(reply, stated=rng.choice([0, len(reply.body) + 1, 10**15]))


def _endless(rng: random.Random, reply: Reply) -> Reply:
    return Reply(rng.choice([200, 206]), rng.randbytes(4096), reply.headers, endless=True)


CHANGES: tuple[Change, ...] = (_cut, _flip, _longer, _status, _headers, _page, _json, _stated, _endless)


def outcome(name: str) -> ModelFacts | ShoestringError:
    try:
        return of_the_hub(name)
    except ShoestringError as error:
        return error


def assert_plain(error: ShoestringError) -> None:
    assert error.message.endswith((".", "?"))
    assert len(error.message) < 1000
    assert error.message.isprintable()


@pytest.mark.parametrize("seed", range(80))
def test_whatever_the_hub_says_is_taken_or_refused(hub: ReadingHub, folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    hub.add("o/n", folder)
    hub.files["o/g"] = {"m.gguf": Tiny().encode()}
    liar = rng.randrange(1, 5)

    def lie(path: str, headers: Mapping[str, str], honest: Reply) -> Reply:
        if path.startswith("/api/") and seed % 4:  # else hardly any lie about a file would be heard
            return honest
        return rng.choice(CHANGES)(rng, honest) if rng.randrange(liar) == 0 else honest

    hub.lie = lie
    for name in ("o/n", "o/g"):
        found = outcome(name)
        if isinstance(found, ShoestringError):
            assert_plain(found)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_stands_in_the_description_is_taken_or_refused(
    hub: ReadingHub, folder: Path, seed: int
) -> None:
    rng = random.Random(seed)
    hub.add("o/n", folder)
    nasty = [None, True, -1, 2**70, 1e300, "", "\x00", "../..", "x" * 10_000, [], {}, [None], {"a": []}]
    described = hub.describe("o/n")
    for _ in range(rng.randrange(1, 4)):
        if rng.random() < 0.5:
            described[rng.choice([*described, "gated", "private", "cardData", "downloads"])] = rng.choice(
                nasty
            )
        elif isinstance(described["siblings"], list) and described["siblings"]:
            rng.choice(described["siblings"])[rng.choice(["rfilename", "size", "lfs"])] = rng.choice(nasty)
    hub.lie = lambda path, headers, honest: (
        Reply(body=json.dumps(described).encode()) if path.startswith("/api/") else honest
    )
    found = outcome("o/n")
    if isinstance(found, ShoestringError):
        assert_plain(found)


def test_a_config_for_another_model_than_the_weights_is_refused(hub: ReadingHub, folder: Path) -> None:
    hub.add("o/n", folder)
    hub.files["o/n"]["config.json"] = json.dumps({**CONFIG, "hidden_size": 16}).encode()
    assert isinstance(outcome("o/n"), ShoestringError)
