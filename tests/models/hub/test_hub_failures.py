"""What goes wrong between here and the hub becomes an error of ours, which repeats nothing that a server wrote."""

from __future__ import annotations

import errno
import shutil
import ssl
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hub_server import Hub, User
from huggingface_hub import HfApi, constants, hf_hub_download

from shoestring.errors import (
    AccessError,
    DiskFullError,
    FetchError,
    ModelNotFoundError,
    NetworkError,
    ShoestringError,
)
from shoestring.models.hub.failures import translated

SECRET = "hf_ThisIsNobodysToken123"


def error_of(action: Callable[[], object], *, token_present: bool = False) -> ShoestringError:
    with pytest.raises(ShoestringError) as raised, translated("ada/model", token_present=token_present):
        action()
    return raised.value


def download() -> str:
    return hf_hub_download("ada/model", "config.json")


def raising(error: Exception) -> Callable[[], object]:
    def action() -> object:
        raise error

    return action


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """A server whose certificate it has signed itself."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    files = ["-keyout", key, "-out", certificate]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", *files],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_the_library_wraps_is_seen_through(hub_here: Hub) -> None:
    """Its "cannot be located" hides why: here, that the repository is gated."""
    hub_here.add("ada/model", {"config.json": b"{}"}, gated="manual")
    assert "is gated" in error_of(download).message


def test_the_page_to_open_is_the_endpoints_own(hub_here: Hub) -> None:
    hub_here.add("ada/model", {"config.json": b"{}"}, gated="manual")
    assert f"{hub_here.address}/ada/model," in (error_of(download).hint or "")


def test_nothing_of_an_answer_stays_in_the_traceback(hub_here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_here.faults.echo_token = True
    hub_here.users[SECRET] = User()
    hub_here.add("ada/model", {"config.json": b"{}"}, gated="manual")
    monkeypatch.setenv("HF_TOKEN", SECRET)
    error = error_of(download, token_present=True)
    assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(("told", "wait"), [(None, "Wait some minutes"), (1800, "Wait 1,800 seconds")])
def test_too_many_requests_say_how_long_to_wait(hub_here: Hub, told: int | None, wait: str) -> None:
    hub_here.faults.statuses, hub_here.faults.retry_after = {"*": [429] * 9}, told
    api = HfApi(endpoint=hub_here.address)
    error = error_of(lambda: api.model_info("ada/model"))
    assert (type(error), wait in (error.hint or "")) == (NetworkError, True)


@pytest.mark.parametrize("token_present", [True, False])
def test_a_repository_that_is_not_there_may_be_hidden(hub_here: Hub, token_present: bool) -> None:
    error = error_of(
        lambda: HfApi(endpoint=hub_here.address).model_info("ada/model"), token_present=token_present
    )
    whose = "the user of this token may not see it" if token_present else "nobody is logged in"
    assert (type(error), whose in error.message) == (ModelNotFoundError, True)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFullError),
        (errno.EDQUOT, DiskFullError),
        (errno.EACCES, AccessError),
        (errno.EROFS, AccessError),
    ],
)
def test_a_disk_that_takes_nothing_more(hub_here: Hub, number: int, kind: type[ShoestringError]) -> None:
    error = error_of(raising(OSError(number, "said by the system")))
    assert (type(error), constants.HF_HUB_CACHE in error.message) == (kind, True)


def test_a_safe_connection_to_what_speaks_none_is_not_blamed_on_a_certificate(hub_here: Hub) -> None:
    address = hub_here.address.replace("http:", "https:")
    error = error_of(lambda: HfApi(endpoint=address).model_info("ada/model"))
    assert isinstance(error, NetworkError)
    assert "No safe connection" in error.message
    assert "certificate" not in error.message


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_that_nobody_vouches_for(hub_here: Hub, tmp_path: Path) -> None:
    with tls_server(tmp_path) as address:
        error = error_of(lambda: HfApi(endpoint=address).model_info("ada/model"))
    assert isinstance(error, NetworkError)
    assert "its certificate is not trusted here" in error.message
    assert "SSL_CERT_FILE" in (error.hint or "")


def test_a_token_that_no_header_can_hold(hub_here: Hub) -> None:
    error = error_of(lambda: HfApi(endpoint=hub_here.address, token="hf_bäd").whoami(), token_present=True)
    assert isinstance(error, AccessError)
    assert "bäd" not in "".join(traceback.format_exception(error))


def test_errors_of_ours_pass_as_they_are() -> None:
    mine = FetchError("mine", "hint")
    assert error_of(raising(mine)) is mine


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError), translated("ada/model", token_present=False):
        _ = 1 / 0
