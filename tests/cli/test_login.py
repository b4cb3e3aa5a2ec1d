"""Logging in at the hub and out, on terminals and elsewhere, as a user meets it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys

import pytest
from command import COMMAND, SECRET, Shell
from hub_server import User

# Takes the terminal for its own, as a shell's command has it: Ctrl-C reaches it.
IN_CHARGE = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"


def test_a_token_from_stdin_is_checked_and_kept_for_every_tool(shell: Shell) -> None:
    status, _, told = shell("login", stdin=f"{SECRET}\n")
    assert (status, told) == (0, "Logged in as ada.\n")
    kept = shell.home / "hf" / "token"
    assert kept.read_text() == SECRET
    assert kept.stat().st_mode & 0o077 == 0


def test_a_token_that_is_kept_is_not_written_twice(shell: Shell) -> None:
    shell("login", stdin=SECRET)
    before = (shell.home / "hf" / "token").stat().st_mtime_ns
    assert shell("login", stdin=SECRET)[2] == "This token was kept already: ada.\n"
    assert (shell.home / "hf" / "token").stat().st_mtime_ns == before


def test_whoami_tells_the_account_and_not_the_token(shell: Shell) -> None:
    shell("login", stdin=SECRET)
    status, out, _ = shell("whoami", "--json")
    assert status == 0
    assert json.loads(out) == {
        "name": "ada",
        "token_name": "laptop",
        "role": "read",
        "reads_gated": True,
        "source": "login",
        "hub": shell.hub.address,
    }
    assert "a login on this machine" in shell("whoami")[1]


def test_a_token_in_the_environment_wins_and_is_said_to(shell: Shell) -> None:
    shell.hub.users["hf_another"] = User(name="grace")
    assert "grace" in shell("whoami", HF_TOKEN="hf_another")[1]
    assert "HF_TOKEN is set and stays in use" in shell("login", stdin=SECRET, HF_TOKEN="hf_another")[2]


def test_logging_out_forgets_the_token(shell: Shell) -> None:
    shell("login", stdin=SECRET)
    assert shell("logout")[2] == "Logged out.\n"
    assert not (shell.home / "hf" / "token").exists()
    assert shell("whoami")[0] == 4
    assert shell("logout")[2] == "Nobody was logged in.\n"


@pytest.mark.parametrize(
    ("typed", "status", "told"),
    [
        ("", 2, "This is no token"),
        ("two words", 2, "This is no token"),
        ("hf_wrong", 4, "does not accept the token"),
    ],
)
def test_what_is_no_token_is_not_kept(shell: Shell, typed: str, status: int, told: str) -> None:
    found, _, error = shell("login", stdin=typed)
    assert (found, told in error) == (status, True)
    assert not (shell.home / "hf" / "token").exists()


def on_terminal(shell: Shell, typed: str) -> tuple[int, str]:
    """Log in on a terminal, typing this when asked: exit status, and all that the screen showed."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", IN_CHARGE, *COMMAND, "login"],
        stdin=child,
        stdout=child,
        stderr=child,
        env={**os.environ, **shell.hub.environment(shell.home / "hf")},
        start_new_session=True,
    )
    os.close(child)
    seen, asked = "", False
    with contextlib.suppress(OSError):  # the terminal is gone when the process has ended
        while True:
            seen += os.read(parent, 4096).decode()
            # The last space comes once the echo is off and what was typed before is thrown away.
            if "hidden): " in seen and not asked:
                asked = True
                os.write(parent, typed.encode())
    os.close(parent)
    return process.wait(), seen


def test_on_a_terminal_the_token_is_not_echoed(shell: Shell) -> None:
    status, seen = on_terminal(shell, f"{SECRET}\n")
    assert (status, "Logged in as ada" in seen, SECRET in seen) == (0, True, False)


def test_on_a_terminal_a_login_is_honoured(shell: Shell) -> None:
    shell("login", stdin=SECRET)
    status, seen = on_terminal(shell, "never asked")
    assert (status, seen) == (0, "You are logged in already, as ada.\r\n")


def test_on_a_terminal_another_token_is_asked_for_when_the_kept_one_has_expired(shell: Shell) -> None:
    shell("login", stdin=SECRET)
    shell.hub.users[SECRET] = User(expired=True)
    shell.hub.users["hf_another"] = User(name="grace")
    status, seen = on_terminal(shell, "hf_another\n")
    assert (status, "Logged in as grace" in seen) == (0, True)


def test_ctrl_c_at_the_question_ends_it_cleanly(shell: Shell) -> None:
    status, seen = on_terminal(shell, "\x03")
    assert (status, "Traceback" in seen, "error" in seen) == (130, False, False)
    assert not (shell.home / "hf" / "token").exists()
