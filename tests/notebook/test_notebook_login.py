"""Logging in from Python: by an argument, by a form in a real notebook kernel, never twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, User
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

import shoestring
from shoestring.errors import AccessError, UsageError
from shoestring.notebook.login import form

SECRET = "hf_ThisIsNobodysToken123"


@pytest.fixture
def hub(hub_here: Hub) -> Hub:
    hub_here.users[SECRET] = User()
    return hub_here


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "hf" / "token"


@pytest.fixture
def kernel(loopback_hub: Hub, tmp_path: Path) -> Iterator[BlockingKernelClient]:
    """A notebook's kernel, as Jupyter starts it, spoken to through sockets of a folder."""
    loopback_hub.users[SECRET] = User()
    manager = KernelManager(transport="ipc", ip=str(tmp_path / "kernel"), kernel_name="python3")
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel(env={**os.environ, **loopback_hub.environment(tmp_path / "hf")})
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(kernel: BlockingKernelClient, code: str) -> tuple[list[str], str]:
    """Run a cell: the kinds of what it displays, and what it prints."""
    shown: list[str] = []
    printed: list[str] = []

    def output(message: dict[str, dict[str, object]]) -> None:
        content = message["content"]
        if isinstance(data := content.get("data"), dict):
            shown.extend(data)
        printed.append(str(content.get("text") or content.get("evalue") or ""))

    kernel.execute_interactive(code, timeout=60, output_hook=output)
    return shown, "".join(printed)


def test_in_a_notebook_a_form_is_shown(kernel: BlockingKernelClient) -> None:
    shown, printed = run(kernel, "import shoestring; shoestring.login()")
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert printed == ""


def test_the_form_in_a_notebook_logs_in(kernel: BlockingKernelClient, kept: Path) -> None:
    run(kernel, "from shoestring.notebook.login import form; told, field, button = form().children")
    run(kernel, f"field.value = {SECRET!r}; button.click()")
    assert run(kernel, "print(told.value, [field.value])")[1] == "Logged in as ada. ['']\n"
    assert kept.read_text() == SECRET


def test_in_a_notebook_a_login_is_honoured(kernel: BlockingKernelClient, kept: Path) -> None:
    run(kernel, f"import shoestring; shoestring.login({SECRET!r})")
    written = kept.stat().st_mtime_ns
    shown, printed = run(kernel, "print(shoestring.login().account.name)")
    assert (shown, printed, kept.stat().st_mtime_ns) == ([], "ada\n", written)


@pytest.mark.parametrize(
    ("typed", "told"), [("", "This is no token"), ("hf_wrong", "The hub does not accept the token")]
)
def test_the_form_tells_what_is_wrong(hub: Hub, typed: str, told: str) -> None:
    label, field, button = form().children
    field.value = typed
    button.click()
    assert told in label.value
    assert not typed or typed not in label.value


def test_a_login_by_argument_is_seen_by_whoami_and_undone_by_logout(hub: Hub, kept: Path) -> None:
    login = shoestring.login(SECRET)
    assert (login.account, login.stored) == (shoestring.whoami(), True)
    assert SECRET not in repr(login)
    assert shoestring.logout().removed
    assert not kept.exists()


def test_where_nobody_can_be_asked_it_says_so(hub: Hub) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import shoestring; shoestring.login()"],
        env={**os.environ, **hub.environment(Path("nowhere"))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert "UsageError: There is nobody here who could be asked for a token." in done.stderr


def test_a_token_that_expired_does_not_stand_in_the_way_of_another(hub: Hub) -> None:
    shoestring.login(SECRET)
    hub.users[SECRET] = User(expired=True)
    with pytest.raises(AccessError, match="does not accept"):
        shoestring.whoami()
    with pytest.raises(UsageError, match="nobody here"):  # it gets as far as asking
        shoestring.login()
