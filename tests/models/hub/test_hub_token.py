"""Whose token is in use, where it comes from, and that it is kept and forgotten where every tool looks for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_server import Hub, User
from huggingface_hub import constants
from huggingface_hub import login as library_login

from shoestring.errors import AccessError, FetchError, UsageError
from shoestring.models.hub.token import _parsed, current, login, logout, source, whoami

SECRET = "hf_ThisIsNobodysToken123"
OTHER = "hf_AnotherOfNobody456"


@pytest.fixture
def hub(hub_here: Hub) -> Hub:
    hub_here.users |= {SECRET: User(), OTHER: User(name="grace", token_name="desktop")}
    return hub_here


def test_nobody_is_logged_in_at_first(hub: Hub) -> None:
    assert (source(), current()) == (None, None)
    with pytest.raises(AccessError, match="Nobody is logged in"):
        whoami()


@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_a_token_of_the_environment_wins(hub: Hub, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    login(SECRET)
    monkeypatch.setenv(variable, OTHER)
    assert (whoami().name, whoami().source) == ("grace", "environment")


def test_an_empty_variable_is_none(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", " ")
    assert source() is None


def test_a_login_of_another_tool_is_honoured(hub: Hub) -> None:
    library_login(SECRET)
    assert (whoami().name, whoami().source) == ("ada", "login")
    assert not login(SECRET).stored


def test_nobody_else_may_read_what_is_kept(hub: Hub) -> None:
    assert login(SECRET).stored
    for path in (constants.HF_TOKEN_PATH, constants.HF_STORED_TOKENS_PATH):
        assert Path(path).stat().st_mode & 0o077 == 0


def test_logging_out_leaves_other_stored_tokens(hub: Hub) -> None:
    login(OTHER)
    login(SECRET)
    assert logout().removed
    kept = Path(constants.HF_STORED_TOKENS_PATH).read_text()
    assert (OTHER in kept, SECRET in kept) == (True, False)


def test_logging_out_tells_of_a_token_that_stays_in_use(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    login(SECRET)
    monkeypatch.setenv("HF_TOKEN", OTHER)
    done = logout()
    assert (done.removed, done.still) == (True, "environment")
    assert not Path(constants.HF_TOKEN_PATH).exists()


@pytest.mark.parametrize("token", ["", " ", "a b", "hf_\n1", "hf_bäd", "hf_\x1b[0m", "x" * 1001])
def test_what_cannot_be_a_token_is_not_sent(hub: Hub, token: str) -> None:
    with pytest.raises(UsageError, match="no token"):
        login(token)
    assert hub.asked == []


def test_a_kept_token_that_is_no_text_is_a_bad_one(hub: Hub) -> None:
    Path(constants.HF_TOKEN_PATH).parent.mkdir(parents=True)
    Path(constants.HF_TOKEN_PATH).write_bytes(b"\xff\xfe")
    with pytest.raises(AccessError, match="does not accept"):
        whoami()


def test_a_kept_token_that_expired_is_nobodys(hub: Hub) -> None:
    login(SECRET)
    hub.users[SECRET] = User(expired=True)
    assert current() is None


def test_an_expired_token_of_the_environment_is_an_error(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.users[SECRET] = User(expired=True)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with pytest.raises(AccessError, match="does not accept"):
        current()


def test_offline_nobody_is_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FetchError, match="offline"):
        login(SECRET)
    assert hub.asked == []


def test_a_fine_grained_token_tells_whether_it_reads_what_is_gated(hub: Hub) -> None:
    hub.users[SECRET] = User(role="fineGrained", reads_gated=False)
    account = login(SECRET).account
    assert (account.role, account.reads_gated) == ("fineGrained", False)


@pytest.mark.parametrize(
    "answer",
    [
        {"name": "ada"},
        {"name": "ada", "auth": None},
        {"name": "ada", "auth": {"accessToken": []}},
        {"name": "ada", "auth": {"accessToken": {"role": 1, "displayName": {}, "fineGrained": []}}},
    ],
)
def test_what_the_hub_does_not_say_is_not_known(answer: object) -> None:
    account = _parsed(answer, "login")
    assert (account.name, account.token_name, account.role, account.reads_gated) == ("ada", None, None, None)


@pytest.mark.parametrize("answer", [None, [], {}, {"name": 1}, "ada"])
def test_an_answer_without_a_name_is_no_hubs(answer: object) -> None:
    with pytest.raises(FetchError, match="does not answer as a hub does"):
        _parsed(answer, "login")
