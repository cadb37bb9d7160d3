"""What a measurement reads beside the log's rows: changes of the flag, gaps; and what it does on request only."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
import sqlalchemy as sa
from verdict_worlds import COST, DAY, LEGACY, MANAGED, MINUTE, START, World, block, record

from dispatcher.audit.evidence_tables import flag_changes
from dispatcher.audit.record import Origin, new_log_id
from dispatcher.audit.tables import log_gaps
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.judgement.judge import Outcome
from dispatcher.verdict.measured import Arm, Measurement
from dispatcher.verdict.measurement.asides import first_in
from dispatcher.verdict.reach import show_variant

EARLY = START + MINUTE
AFTER_ONE_LOOK = START + 8 * DAY
BOTH: dict[str, Any] = {"tenants": {"script": 0.5, "acme": 0.5}}
DRAWN = block(**BOTH)
SET = block(**BOTH, assignment={"kind": "tenant_flag"})


def entry(tenant: str | None, *shares: tuple[str, float], by: str | None = "conversation") -> dict[str, Any]:
    return {"tenant": tenant, "project": None, "by": by, "shares": [list(share) for share in shares], "rule": None}


def standing(*entries: dict[str, Any], on: bool = True) -> dict[str, Any]:
    return {"on": on, "detail": "", "entries": list(entries)}


DRAW = ((MANAGED, 0.67), (LEGACY, 0.33))
EVERYBODY = standing(entry(None, *DRAW))
NOBODY = standing(entry(None, (LEGACY, 1.0), by=None))


def changed(world: World, *changes: tuple[dt.datetime, dict[str, Any]], source: str = "file") -> None:
    made = [
        {
            "change_id": new_log_id(),
            "source": source,
            "flag": "agent_research",
            "sequence": number,
            "to_fingerprint": str(number),
            "flag_version": str(number),
            "revision": number,
            "standing": json.dumps(held),
            "seen_at": at,
        }
        for number, (at, held) in enumerate(changes, start=1)
    ]
    with world.engine.begin() as connection:
        connection.execute(sa.insert(flag_changes), made)


def counted(measurement: Measurement) -> tuple[int, dict[str, dict[str, int]]]:
    return sum(cell.clusters for cell in measurement.cells), dict(measurement.excluded)


def test_a_quiet_tenant_is_in_the_assignment_by_the_change_of_the_flag(any_world: World) -> None:
    """By its rows alone the record would wait for its first dispatch."""
    any_world.row(EARLY, flag="agent_research")
    any_world.row(START + 2 * DAY, flag="agent_research")
    assert counted(any_world.measured(DRAWN, AFTER_ONE_LOOK)) == (0, {"candidate": {"before_all_tenants": 2}})

    changed(any_world, (START - DAY, standing(entry("script", *DRAW))), (START + DAY, EVERYBODY))

    assert counted(any_world.measured(DRAWN, AFTER_ONE_LOOK)) == (1, {"candidate": {"before_all_tenants": 1}})


def test_a_change_that_was_not_seen_yet_says_nothing(world: World) -> None:
    world.row(EARLY, flag="agent_research")
    changed(world, (START - DAY, NOBODY), (AFTER_ONE_LOOK + MINUTE, EVERYBODY))

    assert counted(world.measured(DRAWN, AFTER_ONE_LOOK))[0] == 0


def test_a_flag_of_another_feature_says_nothing(world: World) -> None:
    world.row(EARLY, flag="another")
    changed(world, (START - DAY, EVERYBODY))

    assert counted(world.measured(DRAWN, AFTER_ONE_LOOK))[0] == 0


@pytest.mark.parametrize(
    ("acceptance", "changes", "expected"),
    [
        (DRAWN, [("file", EVERYBODY, 5)], {"script": 5, "acme": 5}),
        (DRAWN, [("file", NOBODY, 1), ("file", EVERYBODY, 5)], {"script": 5, "acme": 5}),
        (DRAWN, [("file", EVERYBODY, 5), ("file", NOBODY, 6)], {"script": 5, "acme": 5}),
        (DRAWN, [("file", standing(entry("script", *DRAW), *NOBODY["entries"]), 5)], {"script": 5}),
        (DRAWN, [("file", EVERYBODY | {"on": False}, 5)], {}),
        (DRAWN, [("file", standing(entry(None, (MANAGED, 1.0), by=None)), 5)], {}),
        (DRAWN, [("file", standing(entry(None, (MANAGED, 0.5), ("third", 0.5))), 5)], {}),
        (DRAWN, [("file", standing(entry(None, *DRAW, by="tenant")), 5)], {}),
        (DRAWN, [("file", EVERYBODY, 5), ("server", EVERYBODY, 9)], {"script": 5, "acme": 5}),
        (DRAWN, [("file", NOBODY, 5), ("server", EVERYBODY, 9)], {}),
        (DRAWN, [("file", NOBODY, 5), ("server", EVERYBODY, 6), ("file", EVERYBODY, 9)], {"script": 9, "acme": 9}),
        (DRAWN, [("server", standing(entry("acme", *DRAW)), 5), ("file", EVERYBODY, 9)], {"acme": 5}),
        (DRAWN, [], {}),
        (SET, [("file", standing(entry("acme", (MANAGED, 1.0), by=None), *NOBODY["entries"]), 5)], {"acme": 5}),
        (SET, [("file", EVERYBODY, 5)], {}),
    ],
)
def test_when_a_tenant_is_in_the_assignment(
    acceptance: Any, changes: list[tuple[str, dict[str, Any], int]], expected: dict[str, int]
) -> None:
    assert first_in(acceptance, changes) == expected


def gap(world: World, **different: Any) -> None:
    made = {"gap_id": new_log_id(), "feature": "agent_research", "origin": "production", "owner": "x", "reason": "x"}
    span = {"began_at": START + DAY, "ended_at": START + 2 * DAY, "recorded_at": START + 2 * DAY, "dispatches": 3}
    with world.engine.begin() as connection:
        connection.execute(sa.insert(log_gaps).values(made | span | different))


@pytest.mark.parametrize(
    ("different", "lost"),
    [
        ({}, 3),
        ({"feature": "another"}, 0),
        ({"origin": "simulated"}, 0),
        ({"began_at": START - 2 * DAY, "ended_at": START - DAY}, 0),
        ({"began_at": START - DAY, "ended_at": START}, 3),
        ({"began_at": AFTER_ONE_LOOK, "ended_at": AFTER_ONE_LOOK + DAY}, 0),
        ({"recorded_at": AFTER_ONE_LOOK + DAY}, 0),
    ],
    ids=str,
)
def test_a_gap_of_the_feature_since_the_start_is_counted(
    any_world: World, different: dict[str, Any], lost: int
) -> None:
    gap(any_world, **different)

    assert any_world.measured(block(), AFTER_ONE_LOOK).gaps == lost


def test_a_gap_in_the_log_makes_the_verdict_invalid(world: World) -> None:
    world.register(block())
    gap(world)
    verdict = world.judged(block(), AFTER_ONE_LOOK)

    assert (verdict.outcome, verdict.reasons) == (Outcome.INVALID, (Reason.LOG_GAP,))


def test_another_variant_is_shown_by_the_same_looks_and_decides_nothing(world: World) -> None:
    world.register(block())
    world.rows(100, "legacy-cached", assignment_share=0.67)
    world.rows(60, LEGACY)
    shown = show_variant(record(block()), "legacy-cached", Origin.PRODUCTION, AFTER_ONE_LOOK, world.engine)

    assert (shown.outcome, shown.reasons[0]) == (Outcome.HOLD, Reason.NOT_REGISTERED)
    assert shown.findings[1].entered[Arm.CANDIDATE].n == 100
    assert shown.findings[1].looks[0].clusters == 100
    assert "legacy-cached; decides nothing" in shown.record.title


def test_the_control_is_no_variant_to_be_shown(world: World) -> None:
    with pytest.raises(InvalidRecord, match="--against-itself"):
        show_variant(record(block()), LEGACY, Origin.PRODUCTION, AFTER_ONE_LOOK, world.engine)


def test_the_control_against_itself_is_its_own_conversations_split_in_two(any_world: World) -> None:
    any_world.rows(50, MANAGED)
    rows = [
        any_world.made(START + number * dt.timedelta(milliseconds=61_001), LEGACY, conversation_id=f"c{number // 2}")
        for number in range(600)
    ]
    any_world.write(rows)
    acceptance = block(COST, unit={"by": "conversation", "window": "1d"})
    shown = show_variant(record(acceptance), None, Origin.PRODUCTION, AFTER_ONE_LOOK, any_world.engine)
    candidate, control = (shown.measurement.of(arm) for arm in (Arm.CANDIDATE, Arm.CONTROL))
    sizes = [sum(cell.clusters for cell in cells) for cells in (candidate, control)]

    assert sum(sizes) == 300
    assert 160 < sizes[0] < 240
    assert {cell.share for cell in (*candidate, *control)} == {0.67}
    assert shown.measurement.excluded == {"other": {"other_variant": 50}}
