"""Logging in at the hub, and every reason for which a model may not be read, as a user meets them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from command import COMMAND
from hub_server import Hub, User

SECRET = "hf_ThisIsNobodysToken123"
# Takes the terminal for its own, as a shell's command has it: Ctrl-C reaches it.
IN_CHARGE = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"
FILES = {"config.json": b"{}", "model.safetensors": b"x" * 1000}


@dataclass
class Shell:
    """Runs commands in one home, against one hub."""

    hub: Hub
    home: Path
    said: str = ""

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            env={**os.environ, **self.hub.environment(self.home / "hf"), **environment},
            capture_output=True,
            text=True,
        )
        self.said += done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def shell(loopback_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("SHOESTRING_HOME", str(tmp_path / "home"))
    loopback_hub.users[SECRET] = User()
    return Shell(loopback_hub, tmp_path)


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
            if "hidden" in seen and not asked:
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


@contextmanager
def page(body: str) -> Iterator[str]:
    """A server that answers everything with one page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def gated(**how: object) -> Callable[[Hub], None]:
    def prepare(hub: Hub) -> None:
        hub.add("ada/model", FILES, gated="manual", **how)

    return prepare


def fails(**how: object) -> Callable[[Hub], None]:
    def prepare(hub: Hub) -> None:
        hub.add("ada/model", FILES)
        for name, value in how.items():
            setattr(hub.faults, name, value)

    return prepare


CASES = {
    "not there": ("ada/other", lambda hub: None, "", 1, "There is no model ada/other on the hub, or it is private"),
    "not there for this user": (
        "ada/other",
        lambda hub: None,
        SECRET,
        1,
        "There is no model ada/other on the hub, or the user of this token may not see it",
    ),
    "gated, nobody": ("ada/model", gated(), "", 4, "and nobody is logged in"),
    "gated, not let in": ("ada/model", gated(), SECRET, 4, "has not been let in"),
    "gated, waiting": ("ada/model", gated(pending={"ada"}), SECRET, 4, "waits for its owner's answer"),
    "gated, rejected": ("ada/model", gated(rejected={"ada"}), SECRET, 4, "has rejected this user's request"),
    "gated, narrow token": ("ada/model", gated(granted={"ada"}), "hf_narrow", 4, "may not read gated repositories"),
    "bad token": ("ada/model", gated(), "hf_unknown", 4, "does not accept the token"),
    "expired token": ("ada/model", gated(), "hf_expired", 4, "does not accept the token"),
    "no such revision": ("ada/model@v9", fails(), "", 1, "has no revision 'v9'"),
    "no such file": ("ada/model/x.gguf", fails(), "", 1, "There is no file x.gguf in ada/model"),
    "hub down": ("ada/model", fails(statuses={"*": [503] * 9}), "", 1, "down or overloaded (status 503)"),
    "too many requests": (
        "ada/model",
        fails(statuses={"*": [429] * 9}, retry_after=3600),
        "",
        1,
        "has had too many requests",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_reason_has_its_own_sentence_and_page(shell: Shell, case: str) -> None:
    model, prepare, token, status, sentence = CASES[case]
    shell.hub.users["hf_narrow"] = User(role="fineGrained", reads_gated=False)
    shell.hub.users["hf_expired"] = User(expired=True)
    shell.hub.faults.echo_token = True
    prepare(shell.hub)
    found, out, error = shell("plan", model, HF_TOKEN=token)
    assert (found, out) == (status, "")
    assert sentence in error
    assert "hint:" in error
    assert "Traceback" not in error
    assert not token or token not in error
    assert shell.hub.sent("model.safetensors") == 0


def test_without_a_network_it_says_so(shell: Shell) -> None:
    status, _, error = shell("plan", "ada/model", HF_ENDPOINT="http://127.0.0.1:9")
    assert (status, "http://127.0.0.1:9 cannot be reached" in error) == (1, True)


def test_offline_a_model_that_is_not_here_says_so(shell: Shell) -> None:
    status, _, error = shell("plan", "ada/model", HF_HUB_OFFLINE="1")
    assert (status, "ada/model is not on this machine yet" in error) == (1, True)
    assert shell.hub.asked == []


def test_what_is_no_hub_is_not_believed(shell: Shell) -> None:
    with page("<html>Welcome to the hotel's network</html>") as address:
        status, _, error = shell("plan", "ada/model", HF_ENDPOINT=address)
    assert (status, "What the hub says of ada/model makes no sense" in error) == (1, True)


def test_the_token_goes_to_the_hub_and_never_to_its_store(
    shell: Shell, smollm2_files: tuple[Path, ...]
) -> None:
    shell.hub.add("ada/gguf", {"small.Q4_1.gguf": smollm2_files[0]}, gated="auto", granted={"ada"})
    assert shell("models", "pull", "ada/gguf", HF_TOKEN=SECRET)[0] == 0
    tokens = {server: {a.token for a in shell.hub.asked if a.server == server} for server in ("hub", "store")}
    assert f"Bearer {SECRET}" in tokens["hub"]
    assert tokens["store"] == {None}


def test_the_token_stands_nowhere_but_where_it_is_kept(shell: Shell, smollm2_checkpoint: Path) -> None:
    shell.hub.faults.echo_token = True
    shell.hub.add("ada/model", smollm2_checkpoint, gated="auto", granted={"ada"})
    shell("login", stdin=SECRET)
    asked = ("ada/model", "Hi", "--max-tokens", "1", "--context", "64", "--json")
    assert shell("run", *asked)[0] == 0
    shell.hub.repos["ada/model"].granted.clear()
    assert shell("run", "ada/model", "Hi")[0] == 4
    shell("whoami"), shell("inspect", "ada/model", "--json")
    assert SECRET not in shell.said
    holding = [
        path.relative_to(shell.home)
        for path in shell.home.rglob("*")
        if path.is_file() and not path.is_symlink() and SECRET.encode() in path.read_bytes()
    ]
    assert {str(path) for path in holding} <= {"hf/token", "hf/stored_tokens"}
