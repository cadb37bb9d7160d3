"""Every brake works with the flag server dead, slow, lying or restarted, whatever the brake itself holds."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flag_server_world import Answering, World, choosing, good, huge, silent, slow, status, until
from routing_documents import action, document, only, policies, rule, text

from dispatcher.action.decision import Decision, PathName, Reason
from dispatcher.routing.flags.http import MOST_BYTES
from dispatcher.routing.flags.server import ServerFlags
from dispatcher.routing.router import Router
from dispatcher.settings import load_settings, look_at_kill_switch

CAP8 = "managed-haiku-4-5-cap8"
PILOT = choosing(CAP8)

STATES: dict[str, Answering | None] = {
    "good": good(PILOT),
    "dead": None,
    "silent": silent,
    "slow": slow(0.3, good(PILOT)),
    "garbage": status(200, b"<html>"),
    "empty list": status(200, b'{"version": 2, "features": []}'),
    "401": status(401),
    "a bomb": status(200, gzip.compress(b" " * (MOST_BYTES + 1)), **{"Content-Encoding": "gzip"}),
    "no end": huge,
    "a redirect": status(302, Location="http://127.0.0.1:1/api/client/features"),
    "unasked 304": status(304),
}


@pytest.fixture(params=STATES.values(), ids=STATES)
def flags(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerFlags]:
    """Flags that were good once, from a server that then does as the parameter says."""
    world = World()
    with ExitStack() as stack:
        stack.enter_context(world.serving(good(PILOT)))
        flags = world.flags(tmp_path / "state")
        flags.start()
        if request.param is None:
            stack.close()
        else:
            world.answering = request.param
        asked = len(world.asked)
        until(lambda: request.param is None or len(world.asked) > asked)
        yield flags
        flags.stop()


def router(flags: ServerFlags, look: Callable[[], tuple[str, str] | None]) -> Router:
    return Router(policies=policies(), flags=flags, look_at_kill_switch=look, token_present=lambda _: True)


def decision(flags: ServerFlags, look: Callable[[], tuple[str, str] | None] = lambda: None) -> Decision:
    return router(flags, look).decide(action(), mountable=True, unit="dispatch-1")


BRAKES: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], object], Reason]] = {
    "variable": (lambda _, env: env.setenv("DISPATCHER_FORCE_PATH", "legacy"), Reason.FORCED),
    "empty variable": (lambda _, env: env.setenv("DISPATCHER_FORCE_PATH", ""), Reason.FORCE_INVALID),
    "nonsense variable": (lambda _, env: env.setenv("DISPATCHER_FORCE_PATH", "managed"), Reason.FORCE_INVALID),
    "file": (lambda kill, _: kill.write_text("legacy"), Reason.FORCED),
    "empty file": (lambda kill, _: kill.touch(), Reason.FORCE_INVALID),
    "nonsense file": (lambda kill, _: kill.write_bytes(b"\xff\x00"), Reason.FORCE_INVALID),
    "unreadable file": (lambda kill, _: kill.mkdir(), Reason.FORCE_INVALID),
}


def test_variable_and_file_brake_and_let_go_from_another_directory(
    flags: ServerFlags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (pull, reason) in enumerate(BRAKES.values()):
        home = tmp_path / f"home-{number}"
        (home / "policies").mkdir(parents=True)
        monkeypatch.chdir(home)
        kill = load_settings().kill_switch_file
        monkeypatch.chdir("/")
        with pytest.MonkeyPatch.context() as environment:
            pull(kill, environment)
            braked = decision(flags, lambda: look_at_kill_switch(kill))  # noqa: B023 - called at once

        assert (braked.reason, braked.variant.name, braked.path) == (reason, "legacy", PathName.MESSAGES)


def test_without_a_brake_the_last_good_state_or_legacy_decides(flags: ServerFlags) -> None:
    found = decision(flags)

    assert (found.variant.name, found.reason) in {(CAP8, Reason.FLAG), ("legacy", Reason.UNKNOWN_FLAG)}


FLIPS: dict[str, bytes] = {
    "off": text(document(rule(only("acme"), variants={CAP8: 1}), enabled=False)),
    "parent": text(document(rule(only("acme"), variants={CAP8: 1}), kill=True)),
    "off, and malformed": text(document({**rule(only("acme")), "parameters": {"rollout": 100}}, enabled=False)),
    "parent, and malformed": text(document({**rule(only("acme")), "parameters": {"rollout": 100}}, kill=True)),
    "off, by a newer server": text({**document({**rule(only("acme")), "new": 1}, enabled=False), "version": 9}),
    "off, among other teams' nonsense": text(
        {
            "version": 2,
            "features": [{"name": 3}, *document(rule(only("acme")), enabled=False)["features"], None],
            "segments": [None],
        }
    ),
}


@pytest.mark.parametrize("flip", FLIPS.values(), ids=FLIPS)
def test_a_flag_or_its_parent_brakes_after_the_server_was_away(flip: bytes, tmp_path: Path) -> None:
    world = World()
    with world.serving(good(PILOT)):
        flags = world.flags(tmp_path)
        flags.start()
        before = decision(flags)
    until(lambda: decision(flags).flag_stale)
    away = decision(flags)
    with world.serving(good(flip)):
        until(lambda: decision(flags).reason is Reason.OFF)
        flags.stop()

    assert [before.variant.name, away.variant.name] == [CAP8, CAP8]
    assert decision(flags).variant.name == "legacy"


def test_a_flag_that_was_off_stays_off_over_a_restart_without_the_server(tmp_path: Path) -> None:
    world = World()
    with world.serving(good(FLIPS["off"])):
        flags = world.flags(tmp_path)
        flags.start()
        flags.stop()

    assert decision(world.flags(tmp_path)).reason is Reason.OFF


def test_without_any_state_every_decision_is_legacy(tmp_path: Path) -> None:
    with World().serving(status(500)) as world:
        flags = world.flags(tmp_path)
        flags.start()
        found = decision(flags)
        flags.stop()

    assert (found.reason, found.variant.name) == (Reason.ERROR, "legacy")
