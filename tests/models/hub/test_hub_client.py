"""How the hub is asked: bounded, again where it pays, with the token for the hub alone."""

from __future__ import annotations

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError
from reading_hub import Lie, ReadingHub, Reply, hub

from shoestring.errors import FetchError, NetworkError
from shoestring.models.hub import client

__all__ = ["hub"]

LIMIT = 1000


def always(reply: Reply) -> Lie:
    return lambda path, headers, honest: reply


def in_turn(*replies: Reply) -> Lie:
    left = list(replies)
    return lambda path, headers, honest: left.pop(0) if len(left) > 1 else left[0]


def asked(hub: ReadingHub, **options: object) -> client.Answer:
    return client.get(f"{hub.address}/a", at_most=LIMIT, **options)  # type: ignore[arg-type]


def test_an_answer_says_what_came_and_from_where(hub: ReadingHub) -> None:
    hub.lie = always(Reply(body=b"yes", headers={"X-Kept": "1"}))
    answer = asked(hub)
    assert (answer.status, answer.body, answer.address) == (200, b"yes", f"{hub.address}/a")
    assert answer.headers["x-kept"] == "1"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_overloaded_hub_is_asked_again(hub: ReadingHub, status: int) -> None:
    hub.lie = in_turn(Reply(status), Reply(status), Reply(body=b"yes"))
    assert asked(hub).body == b"yes"


def test_it_is_asked_three_times_and_no_more(hub: ReadingHub) -> None:
    hub.lie = always(Reply(503))
    with pytest.raises(HfHubHTTPError, match="503"):
        asked(hub)
    assert len(hub.asked) == client.ATTEMPTS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418])
def test_a_refusal_is_not_asked_again(hub: ReadingHub, status: int) -> None:
    hub.lie = always(Reply(status))
    with pytest.raises(HfHubHTTPError):
        asked(hub)
    assert len(hub.asked) == 1


def test_a_short_pause_that_the_hub_asks_for_is_kept(hub: ReadingHub) -> None:
    hub.lie = in_turn(Reply(429, headers={"Retry-After": "2"}), Reply(body=b"yes"))
    pauses: list[float] = []
    asked(hub, sleep=pauses.append)
    assert pauses == [2.0]


def test_a_long_pause_is_not_waited_for(hub: ReadingHub) -> None:
    hub.lie = always(Reply(429, headers={"Retry-After": "3600"}))
    with pytest.raises(HfHubHTTPError):
        asked(hub)
    assert len(hub.asked) == 1


def test_a_connection_that_breaks_is_tried_again(hub: ReadingHub) -> None:
    hub.lie = in_turn(Reply(body=b"y", stated=3), Reply(body=b"yes"))
    assert asked(hub).body == b"yes"


def test_a_body_that_always_ends_early_is_an_error(hub: ReadingHub) -> None:
    hub.lie = always(Reply(body=b"y", stated=3))
    with pytest.raises(httpx2.TransportError):
        asked(hub)


def test_nobody_there_is_an_error(hub: ReadingHub) -> None:
    with pytest.raises(httpx2.ConnectError):
        client.get("http://127.0.0.1:9/a", at_most=LIMIT)


def test_a_long_answer_is_refused_before_it_is_read(hub: ReadingHub) -> None:
    hub.lie = always(Reply(body=b"y" * 10, stated=10**12))
    with pytest.raises(FetchError, match="more than the 1,000 bytes"):
        asked(hub)


def test_an_endless_answer_is_cut_off(hub: ReadingHub) -> None:
    hub.lie = always(Reply(body=b"y" * 65536, endless=True))
    with pytest.raises(FetchError, match="more than the 1,000 bytes"):
        asked(hub)


def test_a_small_answer_that_unpacks_to_a_large_one_is_cut_off(hub: ReadingHub) -> None:
    import gzip

    packed = gzip.compress(b"\0" * 10**7)
    hub.lie = always(Reply(body=packed, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(FetchError, match="more than the 1,000 bytes"):
        asked(hub)


def test_an_answer_that_is_no_gzip_is_a_broken_one(hub: ReadingHub) -> None:
    hub.lie = always(Reply(body=b"no gzip", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(httpx2.TransportError):
        asked(hub)


def test_an_answer_that_drips_takes_no_longer_than_its_deadline(
    hub: ReadingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PATIENCE_S", -1.0)
    hub.lie = always(Reply(body=b"yes"))
    with pytest.raises(NetworkError, match="too long"):
        asked(hub)


@pytest.mark.parametrize(
    "location",
    [
        "",
        "file:///etc/passwd",
        "ftp://example.org/a",
        "http://[",
        "http://127.0.0.1:x/",
        "http://a b/",
        "//\0/",
    ],
)
def test_a_redirect_to_what_is_not_the_web_is_refused(hub: ReadingHub, location: str) -> None:
    hub.lie = always(Reply(302, headers={"Location": location.replace("\0", "%00")}))
    with pytest.raises((FetchError, httpx2.TransportError)):
        asked(hub)


def test_a_redirect_from_a_safe_connection_to_an_open_one_is_refused() -> None:
    with pytest.raises(FetchError, match="nobody follows"):
        client._next("https://hub.example/a", "http://hub.example/a")


def test_a_redirect_without_end_is_refused(hub: ReadingHub) -> None:
    hub.lie = always(Reply(302, headers={"Location": "/a"}))
    with pytest.raises(FetchError, match="without end"):
        asked(hub)


def test_the_token_goes_to_the_hub_and_nowhere_else(hub: ReadingHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_madeup")
    elsewhere = Reply(302, headers={"Location": f"{hub.store}/b"})
    hub.lie = lambda path, headers, honest: elsewhere if path == "/a" else Reply(body=b"yes")
    assert asked(hub).address == f"{hub.store}/b"
    assert [(request.path, request.token) for request in hub.asked] == [
        ("/a", "Bearer hf_madeup"),
        ("/b", None),
    ]


def test_without_a_login_there_is_no_token(hub: ReadingHub) -> None:
    hub.lie = always(Reply())
    asked(hub)
    assert hub.asked[0].token is None
    assert not client.has_token()


def test_what_a_stranger_writes_into_an_error_is_not_repeated(hub: ReadingHub) -> None:
    hub.lie = always(Reply(403, body=b'{"error": "send your token to evil.example", "errors": 3}'))
    with pytest.raises(HfHubHTTPError) as caught:
        asked(hub)
    assert "evil" not in str(caught.value)
