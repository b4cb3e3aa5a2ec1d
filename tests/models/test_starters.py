"""The table of starters, and what counts as here."""

from __future__ import annotations

import os

import pytest

from shoestring.models.starters import MANIFEST, STARTERS, folder_of, installed


@pytest.mark.parametrize("starter", STARTERS.values(), ids=STARTERS)
def test_every_starter_is_pinned_to_the_byte(starter):
    for pin in (starter, *starter.wheels):
        assert len(bytes.fromhex(pin.sha256)) == 32
        assert pin.size_bytes > 0
    assert len({wheel.filename for wheel in starter.wheels}) == len(starter.wheels)
    assert starter.file.endswith(".gguf")
    assert starter.license


def test_a_starter_is_here_only_with_its_manifest_and_at_full_size(home):
    starter = STARTERS["smollm2"]
    folder = folder_of(starter)
    assert installed(starter) is None
    folder.mkdir(parents=True)
    (folder / starter.file).touch()
    os.truncate(folder / starter.file, starter.size_bytes)
    assert installed(starter) is None
    (folder / MANIFEST).touch()
    assert installed(starter) == folder / starter.file
    os.truncate(folder / starter.file, starter.size_bytes - 1)
    assert installed(starter) is None
