"""Usage and registration, as Unleash takes them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from flag_server_world import ACME, TOKEN, World, ask, choosing, good, until
from routing_documents import FLAG

from dispatcher.routing.flags.answer import FlagAnswer, FlagContext, FlagState
from dispatcher.routing.flags.usage import Usage

START = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)
LATER = START + dt.timedelta(minutes=1)
UMBRELLA = FlagContext(tenant="umbrella", conversation="c-1")


def counts(world: World) -> list[dict[str, object]]:
    return [body["bucket"]["toggles"] for path, _, body in world.posted if path == "/api/client/metrics"]


def test_answers_are_counted_by_variant_and_only_a_variant_is_a_yes() -> None:
    usage = Usage(START)
    for state, variant in [(FlagState.VARIANT, "a"), (FlagState.VARIANT, "b"), (FlagState.LOST, None)]:
        usage.count(FLAG, FlagAnswer(state=state, version="v", variant=variant))
    usage.count(FLAG, FlagAnswer(state=FlagState.VARIANT, version="v", variant="a"))

    assert usage.take(LATER) == {
        "start": START.isoformat(),
        "stop": LATER.isoformat(),
        "toggles": {FLAG: {"yes": 3, "no": 1, "variants": {"a": 2, "b": 1}}},
    }
    assert usage.take(LATER) is None


def test_a_bucket_that_could_not_be_posted_counts_into_the_next() -> None:
    usage = Usage(START)
    usage.count(FLAG, FlagAnswer(state=FlagState.VARIANT, version="v", variant="a"))
    usage.count(FLAG, FlagAnswer(state=FlagState.OFF, version="v"))
    first = usage.take(LATER)
    assert first is not None
    usage.give_back(first)
    usage.count(FLAG, FlagAnswer(state=FlagState.VARIANT, version="v", variant="a"))

    assert usage.take(LATER) == {**first, "toggles": {FLAG: {"yes": 2, "no": 1, "variants": {"a": 2}}}}


def test_usage_is_posted_in_periods_after_one_registration(tmp_path: Path) -> None:
    with World().serving() as world:
        flags = world.flags(tmp_path, report_every_s=0.05)
        flags.start()
        ask(flags), ask(flags, UMBRELLA)
        until(lambda: len(counts(world)) == 1)
        ask(flags)
        until(lambda: len(counts(world)) == 2)
        flags.stop()
    registered = [(headers, body) for path, headers, body in world.posted if path == "/api/client/register"]

    assert counts(world) == [
        {FLAG: {"yes": 1, "no": 1, "variants": {"a": 1}}},
        {FLAG: {"yes": 1, "no": 0, "variants": {"a": 1}}},
    ]
    assert len(registered) == 1
    headers, body = registered[0]
    assert headers["Authorization"] == TOKEN
    assert (body["appName"], body["strategies"]) == ("dispatcher", ["flexibleRollout", "default"])
    assert world.posted[0][0] == "/api/client/register"
    assert {body["instanceId"] for _, _, body in world.posted} == {headers["unleash-instanceid"]}


def test_the_last_usage_is_posted_by_stop(tmp_path: Path) -> None:
    with World().serving() as world:
        flags = world.flags(tmp_path)
        flags.start()
        flags.evaluate(FLAG, ACME)
        flags.stop()

    assert counts(world) == [{FLAG: {"yes": 1, "no": 0, "variants": {"a": 1}}}]


def test_what_a_busy_server_does_not_take_is_posted_later_and_polling_goes_on(tmp_path: Path) -> None:
    world = World(taking=503)
    with world.serving():
        flags = world.flags(tmp_path, report_every_s=0.05)
        flags.start()
        ask(flags)
        until(lambda: len(counts(world)) >= 2)
        world.taking = 202
        world.answering = good(choosing("b"))
        until(lambda: flags.evaluate("another", ACME).version is not None and len(counts(world)) > 3)
        flags.stop()

    assert all(found[FLAG] == {"yes": 1, "no": 0, "variants": {"a": 1}} for found in counts(world)[:2])
