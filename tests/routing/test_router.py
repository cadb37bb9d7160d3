"""The router: the kill switch before everything, whose repository it is, and what a draw hashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from routing_documents import FLAG, URL, action, document, only, policies, rule, text

from dispatcher.action.decision import Decision, PathName, Reason
from dispatcher.errors import InvalidAction, RepositoryUnusable
from dispatcher.routing.flags.answer import FlagAnswer, FlagContext
from dispatcher.routing.flags.file import EmbeddedFlags
from dispatcher.routing.router import Flags, Router
from dispatcher.settings import load_settings, look_at_kill_switch

CAP8 = "managed-haiku-4-5-cap8"
TOKEN_URL = URL + "-private"


class NeverAsked:
    """Flags that must not be touched."""

    def evaluate(self, flag: str, context: FlagContext) -> FlagAnswer:
        raise AssertionError("the flag engine was asked")


@pytest.fixture
def flags(tmp_path: Path) -> EmbeddedFlags:
    drawing = rule(only("script"), variants={CAP8: 500, "legacy": 500}, by="conversationId", title="draw")
    (tmp_path / "flags.json").write_bytes(text(document(rule(only("acme")), drawing)))
    return EmbeddedFlags(tmp_path / "flags.json", [FLAG])


def router(
    flags: Flags, look: Callable[[], tuple[str, str] | None] = lambda: None, tokens: frozenset[str] = frozenset()
) -> Router:
    allowed: dict[str, dict[str, str | None]] = {
        "acme": {URL: None, TOKEN_URL: "CHECKOUT_TOKEN"},
        "script": {URL: None},
    }
    return Router(policies=policies(allowed), flags=flags, look_at_kill_switch=look, token_present=tokens.__contains__)


def routed(by: Router, has_commit: bool = True, unit: str = "dispatch-1", **given: Any) -> Decision:
    asked = action(**given)
    return by.decide(asked, mountable=by.mountable(asked, has_commit=has_commit), unit=unit)


def test_without_a_kill_switch_the_flag_decides(flags: EmbeddedFlags) -> None:
    decision = routed(router(flags))

    assert (decision.reason, decision.variant.name, decision.path) == (Reason.FLAG, CAP8, PathName.MANAGED)


BRAKES: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], object], Reason]] = {
    "variable says legacy": (lambda _, env: env.setenv("DISPATCHER_FORCE_PATH", "legacy"), Reason.FORCED),
    "variable is empty": (lambda _, env: env.setenv("DISPATCHER_FORCE_PATH", ""), Reason.FORCE_INVALID),
    "variable is nonsense": (lambda _, env: env.setenv("DISPATCHER_FORCE_PATH", "managed"), Reason.FORCE_INVALID),
    "file says legacy": (lambda kill, _: kill.write_text("legacy\n"), Reason.FORCED),
    "file is empty": (lambda kill, _: kill.touch(), Reason.FORCE_INVALID),
    "file is nonsense": (lambda kill, _: kill.write_bytes(b"\xff\x00\xfe"), Reason.FORCE_INVALID),
    "file can't be read": (lambda kill, _: kill.mkdir(), Reason.FORCE_INVALID),
}


@pytest.mark.parametrize(("pull", "reason"), BRAKES.values(), ids=BRAKES)
@pytest.mark.parametrize("pin", [None, CAP8, "nobody-registered"])
def test_a_set_kill_switch_brakes_before_anything_is_looked_at(
    pull: Callable[[Path, pytest.MonkeyPatch], object],
    reason: Reason,
    pin: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kill = tmp_path / "KILL"
    pull(kill, monkeypatch)

    decision = routed(router(NeverAsked(), look=lambda: look_at_kill_switch(kill)), variant=pin)

    assert (decision.reason, decision.variant.name, decision.path) == (reason, "legacy", PathName.MESSAGES)
    assert (decision.flag_version, decision.flag_stale) == (None, False)


def test_the_kill_file_brakes_from_another_working_directory_and_lets_go_when_removed(
    flags: EmbeddedFlags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    (home / "policies").mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.chdir(home)
    settings = load_settings()
    monkeypatch.chdir(elsewhere)
    by = router(flags, look=lambda: look_at_kill_switch(settings.kill_switch_file))

    before = routed(by).reason
    (home / "policies" / "KILL").write_text("legacy")
    during = routed(by).reason
    (home / "policies" / "KILL").unlink()

    assert (before, during, routed(by).reason) == (Reason.FLAG, Reason.FORCED, Reason.FLAG)


def test_a_pin_that_is_not_registered_is_misuse(flags: EmbeddedFlags) -> None:
    with pytest.raises(InvalidAction, match="'nobody-registered' is not registered"):
        routed(router(flags), variant="nobody-registered")


@pytest.mark.parametrize(
    ("given", "has_commit", "obstacle"),
    [
        ({"github_url": None}, True, "it has no github_url"),
        ({}, False, "it has no commit"),
        ({"github_url": TOKEN_URL}, True, "CHECKOUT_TOKEN, which holds its token, is not set"),
    ],
)
@pytest.mark.parametrize("tenant", ["acme", "script", "umbrella"])
def test_a_repository_without_address_commit_or_token_makes_the_decision_legacy_for_every_tenant(
    flags: EmbeddedFlags, given: dict[str, Any], has_commit: bool, obstacle: str, tenant: str
) -> None:
    by = router(flags)
    by.policies.repositories[tenant] = {URL: None, TOKEN_URL: "CHECKOUT_TOKEN"}  # type: ignore[index]

    decision = routed(by, has_commit=has_commit, tenant=tenant, **given)

    assert (decision.reason, decision.variant.name) == (Reason.REPOSITORY_NOT_MOUNTABLE, "legacy")
    assert decision.steps[-1].detail == f"the managed path can't mount it: {obstacle}"


def test_a_repository_whose_token_is_at_hand_is_mountable(flags: EmbeddedFlags) -> None:
    by = router(flags, tokens=frozenset({"CHECKOUT_TOKEN"}))

    assert routed(by, github_url=TOKEN_URL).reason is Reason.FLAG


@pytest.mark.parametrize(("tenant", "url"), [("script", TOKEN_URL), ("umbrella", URL), ("acme", URL + "-2")])
def test_a_repository_that_is_not_the_tenants_is_refused(flags: EmbeddedFlags, tenant: str, url: str) -> None:
    foreign = action(tenant, github_url=url)

    with pytest.raises(RepositoryUnusable, match=f"tenant '{tenant}' may not have {url} researched"):
        router(flags).refuse_foreign_repository(foreign)
    assert not router(flags).mountable(foreign, has_commit=True)


@pytest.mark.parametrize("given", [{}, {"github_url": None}, {"tenant": "umbrella", "github_url": None}])
def test_a_repository_that_is_the_tenants_or_has_no_address_is_not_refused(
    flags: EmbeddedFlags, given: dict[str, Any]
) -> None:
    router(flags).refuse_foreign_repository(action(**given))


def test_a_draw_sticks_to_the_conversation_and_else_to_the_dispatch(flags: EmbeddedFlags) -> None:
    by = router(flags)
    turns = [routed(by, tenant="script", conversation_id="c-1", unit=f"dispatch-{n}") for n in range(20)]
    loose = [routed(by, tenant="script", unit=f"dispatch-{n}") for n in range(20)]

    assert {(turn.variant.name, turn.assignment_key) for turn in turns} == {(turns[0].variant.name, "c-1")}
    assert {turn.variant.name for turn in loose} == {CAP8, "legacy"}
    assert [turn.assignment_key for turn in loose] == [f"dispatch-{n}" for n in range(20)]
    assert {turn.reason for turn in turns + loose} == {Reason.SHARE}
