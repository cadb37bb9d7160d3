"""Flags from a server: flips take effect, and whatever the server does, the last good state answers."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flag_server_world import (
    ACME,
    TOKEN,
    Answering,
    World,
    ask,
    broken_off,
    choosing,
    good,
    silent,
    slow,
    status,
    trickling,
    until,
)
from pydantic import SecretStr
from routing_documents import FLAG

from dispatcher.routing.flags.answer import FlagState
from dispatcher.routing.flags.holder import MAX_STALE_S
from dispatcher.routing.flags.server import ServerFlags


@pytest.fixture
def world() -> Iterator[World]:
    with World().serving() as world:
        yield world


@pytest.fixture
def flags(world: World, tmp_path: Path) -> Iterator[ServerFlags]:
    flags = world.flags(tmp_path / "state")
    flags.start()
    yield flags
    flags.stop()


def test_the_first_answer_is_in_force_once_it_has_started(flags: ServerFlags) -> None:
    answer = ask(flags)

    assert (answer.state, answer.variant, answer.stale) == (FlagState.VARIANT, "a", False)


def test_the_server_is_asked_as_unleash_wants_it(world: World, flags: ServerFlags) -> None:
    path, headers = world.asked[0]

    assert path == "/api/client/features"
    assert headers["Authorization"] == TOKEN
    assert headers["Unleash-Client-Spec"] == "6.1.0"


@pytest.mark.parametrize("suffix", ["", "/", "/api", "/api/"])
def test_the_address_may_name_the_api_or_not(suffix: str, world: World, tmp_path: Path) -> None:
    flags = ServerFlags(world.url + suffix, SecretStr(TOKEN), [FLAG], state_dir=tmp_path, refresh_s=0.05)
    flags.start()
    flags.stop()

    assert world.asked[-1][0] == "/api/client/features"


def test_a_flip_takes_effect_and_its_revision_is_the_servers(world: World, flags: ServerFlags) -> None:
    world.answering = good(choosing("b", meta={"revisionId": 7}))

    until(lambda: ask(flags).variant == "b")

    assert flags._holder.held.engine is not None
    assert flags._holder.held.engine.state.revision == 7


def test_an_unchanged_document_is_asked_for_by_its_etag_and_confirmed(world: World, flags: ServerFlags) -> None:
    until(lambda: len(world.asked) > 3)

    assert "If-None-Match" in world.asked[-1][1]
    assert not ask(flags).stale


BAD: dict[str, tuple[Answering, str]] = {
    "garbage": (status(200, b"<html>502</html>"), "is not JSON"),
    "half a document": (status(200, choosing("b")[:-30]), "is not JSON, or only the beginning of it"),
    "nothing": (status(200), "is empty"),
    "an empty object": (status(200, b"{}"), "features is missing"),
    "a list": (status(200, b"[]"), "holds a list"),
    "null": (status(200, b"null"), "holds a NoneType"),
    "bytes": (status(200, b"\xff\xfe"), "is not UTF-8"),
    "401": (status(401), "answered 401: DISPATCHER_UNLEASH_TOKEN is not a backend token that it knows"),
    "404": (status(404), "answered 404"),
    "429": (status(429), "answered 429"),
    "500": (status(500, b"{}"), "answered 500"),
    "503": (status(503), "answered 503"),
    "a redirect": (status(302, Location="http://127.0.0.1:9/elsewhere"), "redirects to http://127.0.0.1:9"),
    "a connection that breaks": (broken_off, "can't be reached"),
}


@pytest.mark.parametrize(("answering", "reason"), BAD.values(), ids=BAD)
def test_a_bad_answer_keeps_the_last_good_state_says_so_and_ends_with_a_good_one(
    answering: Answering, reason: str, world: World, flags: ServerFlags
) -> None:
    before = ask(flags)
    world.answering = answering
    until(lambda: ask(flags).stale)

    during = ask(flags)
    world.answering = good(choosing("b"))
    until(lambda: not ask(flags).stale)

    assert (during.state, during.variant, during.version) == (before.state, before.variant, before.version)
    assert reason in (during.problem or "")
    assert ask(flags).variant == "b"


def test_an_empty_feature_list_is_a_document_in_which_the_flag_is_unknown(world: World, flags: ServerFlags) -> None:
    world.answering = status(200, b'{"version": 2, "features": []}')

    until(lambda: ask(flags).state is FlagState.UNKNOWN_FLAG)


def test_a_304_to_a_question_without_an_etag_confirms_nothing(tmp_path: Path) -> None:
    with World().serving(status(304)) as world:
        flags = world.flags(tmp_path)
        flags.start()
        answer = ask(flags)
        flags.stop()

    assert answer.state is FlagState.ERROR
    assert "answered 304 to a question without an ETag" in answer.detail


def test_a_304_after_a_refused_document_does_not_confirm_it(world: World, flags: ServerFlags) -> None:
    world.answering = good(b'{"version": 2}', etag='"bad"')
    until(lambda: '"bad"' in world.asked[-1][1].get("If-None-Match", ""))
    until(lambda: len(world.asked) > 5)

    assert "features is missing" in (ask(flags).problem or "")


def test_a_server_that_dies_and_comes_back_is_seen_again(tmp_path: Path) -> None:
    world = World()
    with world.serving():
        flags = world.flags(tmp_path)
        flags.start()
    # A connection that the dying server had accepted is reset first.
    until(lambda: "refused" in (ask(flags).problem or ""))
    during = ask(flags)
    with world.serving(good(choosing("b"))):
        until(lambda: ask(flags).variant == "b")
        flags.stop()

    told = (during.variant, during.stale, during.problem)
    assert told == ("a", True, f"{world.url} can't be reached: Connection refused")


@pytest.mark.parametrize("answering", [silent, trickling, slow(5, status(200))], ids=["silent", "trickling", "slow"])
def test_start_and_stop_are_bounded_whatever_the_server_does(answering: Answering, tmp_path: Path) -> None:
    with World().serving(answering) as world:
        flags = world.flags(tmp_path)
        began = time.monotonic()
        flags.start()
        started = time.monotonic()
        answer = ask(flags)
        asked = time.monotonic()
        flags.stop()
        stopped = time.monotonic()

    assert started - began < 2
    assert asked - started < 0.2
    assert stopped - asked < 0.6
    assert answer.state is FlagState.ERROR


def test_polling_is_not_begun_before_it_is_needed_and_ends_with_stop(world: World, tmp_path: Path) -> None:
    flags = world.flags(tmp_path)
    before, asked = flags._run, len(world.asked)
    ask(flags)
    run = flags._run
    flags.stop()

    assert (before, asked) == (None, 0)
    assert run is not None
    assert not run.thread.is_alive()


def test_polling_ends_when_nobody_holds_the_flags_any_more(world: World, tmp_path: Path) -> None:
    flags = world.flags(tmp_path)
    flags.start()
    run = flags._run
    del flags
    gc.collect()

    assert run is not None
    until(lambda: not run.thread.is_alive())


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def test_a_state_that_cannot_be_confirmed_is_stale_after_an_hour(tmp_path: Path) -> None:
    world, clock = World(), Clock()
    with world.serving():
        flags = world.flags(tmp_path, clock=clock)
        flags.start()
    until(lambda: ask(flags).stale)
    within = ask(flags)
    clock.ahead = MAX_STALE_S + 1
    beyond = ask(flags)
    flags.stop()

    assert (within.state, beyond.state) == (FlagState.VARIANT, FlagState.STALE)
    assert "could not be confirmed for" in beyond.detail


def test_a_state_that_nobody_looks_after_is_doubted_too(world: World, tmp_path: Path) -> None:
    clock = Clock()
    flags = world.flags(tmp_path, clock=clock)
    flags.start()
    flags.stop()
    clock.ahead = 60
    doubted = ask(flags)
    clock.ahead = MAX_STALE_S + 1

    assert (doubted.state, doubted.stale) == (FlagState.VARIANT, True)
    assert "nobody has looked for" in (doubted.problem or "")
    assert ask(flags).state is FlagState.STALE


def test_an_outage_is_announced_once_and_so_is_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World()
    with world.serving():
        flags = world.flags(tmp_path, refresh_s=0.01)
        flags.start()
    until(lambda: ask(flags).stale)
    looked = time.monotonic() + 0.5
    until(lambda: time.monotonic() > looked)
    with world.serving():
        until(lambda: not ask(flags).stale)
    flags.stop()
    lines = [record.message for record in caplog.records if record.name.startswith("dispatcher")]

    assert len(lines) <= 4  # in force, away, back, and away again as the second server ends
    assert [line for line in lines if "can't be reached" in line and "the last good flags stay in force" in line]
    assert [line for line in lines if "answers again" in line]
    assert TOKEN not in caplog.text


def test_a_slow_server_delays_no_evaluation(world: World, flags: ServerFlags) -> None:
    world.answering = slow(1, good(choosing("b")))
    slowest = 0.0
    while ask(flags).variant == "a":
        began = time.monotonic()
        flags.evaluate(FLAG, ACME)
        slowest = max(slowest, time.monotonic() - began)

    assert slowest < 0.5
