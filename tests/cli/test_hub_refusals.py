"""Every reason for which a model of the hub may not be read, as a user meets it; and where a token never is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from command import SECRET, Shell
from hub_server import Hub, User

FILES = {"config.json": b"{}", "model.safetensors": b"x" * 1000}


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


def private(hub: Hub) -> None:
    hub.add("ada/model", FILES, private=True)


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
    "private": ("ada/model", private, SECRET, 1, "or the user of this token may not see it"),
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
