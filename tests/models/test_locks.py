"""The lock holds across processes and dies with its holder."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shoestring.models.locks import exclusive

HOLD = """
import sys
from pathlib import Path
from shoestring.models.locks import exclusive
with exclusive(Path(sys.argv[1]), lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


class GaveUpError(Exception):
    pass


def give_up() -> None:
    raise GaveUpError


def test_a_held_lock_is_waited_for_and_a_killed_holder_lets_go(tmp_path):
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(GaveUpError), exclusive(lock, give_up):
            pass
        holder.kill()
        holder.wait()
        with exclusive(lock, give_up):
            pass


def test_it_can_be_taken_again_after_an_error_inside(tmp_path):
    with pytest.raises(GaveUpError), exclusive(tmp_path / "lock", lambda: None):
        raise GaveUpError
    with exclusive(tmp_path / "lock", give_up):
        pass
