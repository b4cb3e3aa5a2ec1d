"""Whether a repository may be read is asked before its weights are."""

from __future__ import annotations

import pytest
from hub_server import Hub, User

from shoestring.errors import AccessError
from shoestring.models.hub.access import check
from shoestring.models.hub.base import Repository
from shoestring.models.hub.repository import repository

SECRET = "hf_ThisIsNobodysToken123"


def gated(hub: Hub, monkeypatch: pytest.MonkeyPatch, user: User | None, **how: object) -> Repository:
    """A gated repository, and who asks for it."""
    hub.add("ada/model", {"config.json": b"{}", "model.safetensors": b"1" * 1000}, gated="manual", **how)
    if user is not None:
        hub.users[SECRET] = user
        monkeypatch.setenv("HF_TOKEN", SECRET)
    return Repository("ada/model", "c0ffee" + "0" * 34, (), gated=True)


def paths(hub: Hub) -> list[str]:
    return [asked.path for asked in hub.asked]


def test_who_was_let_in_costs_one_request(hub_here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    check(gated(hub_here, monkeypatch, User(), granted={"ada"}))
    assert paths(hub_here) == ["/api/models/ada/model/auth-check"]


def test_who_was_not_let_in_is_told_before_a_file_is_asked_for(
    hub_here: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AccessError, match="has not been let in"):
        check(gated(hub_here, monkeypatch, User()))
    assert not any("resolve" in path for path in paths(hub_here))


def test_nobody_is_told_to_log_in_and_nobodys_token_is_looked_up(
    hub_here: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AccessError, match="nobody is logged in"):
        check(gated(hub_here, monkeypatch, None))
    assert "/api/whoami-v2" not in paths(hub_here)


def test_a_token_that_is_too_narrow_is_the_reason_even_if_the_hub_does_not_say_so(
    hub_here: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = gated(hub_here, monkeypatch, User(role="fineGrained", reads_gated=False), granted={"ada"})
    hub_here.faults.statuses = {"/auth-check": [403]}
    with pytest.raises(AccessError, match="may not read gated repositories"):
        check(found)


def test_a_refusal_stands_where_the_token_cannot_be_looked_up(
    hub_here: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = gated(hub_here, monkeypatch, User())
    hub_here.faults.statuses = {"/api/whoami-v2": [500] * 9}
    with pytest.raises(AccessError, match="has not been let in"):
        check(found)


def test_a_gated_repository_is_checked_when_it_is_looked_up(
    hub_here: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated(hub_here, monkeypatch, User())
    with pytest.raises(AccessError, match="has not been let in"):
        repository("ada/model")


def test_an_open_repository_costs_no_request_for_it(hub_here: Hub) -> None:
    hub_here.add("ada/open", {"config.json": b"{}"})
    repository("ada/open")
    assert not any("auth-check" in path for path in paths(hub_here))
