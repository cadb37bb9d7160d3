"""The same rows give the same figures to the last integer: on every engine, in any order, in any time zone."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from verdict_worlds import COST, DAY, HASHES, LEGACY, MANAGED, P95, SHARES, START, VALID, World, block, record

from dispatcher.adr.criterion import Measure
from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import adjustments, logs
from dispatcher.verdict.reach import reach_verdict
from dispatcher.verdict.report.document import as_json

if TYPE_CHECKING:
    from database_servers import Place

TENANTS = ("script", "Acme", "acme")
ENDINGS: tuple[dict[str, Any], ...] = (
    *({"status": "success", "output_valid": True},) * 12,
    {"status": "success", "output_valid": False},
    {"status": "success", "output_valid": None},
    {"status": "error", "error_type": "overloaded", "output_valid": None},
    {"status": "error", "error_type": "not_found", "error_stage": "session", "output_valid": None},
    {"status": "cancelled", "ended_by": "cancel", "output_valid": None},
    {"status": "lost", "output_valid": None},
    {"status": "started", "output_valid": None},
)
BESIDE: dict[str, Any] = {"at_most": {"times_control": 1.5}, "baseline": {"source": "concurrent-control"}}
TIMINGS = ("ready_ms", "session_init_ms", "first_token_ms", "remainder_ms", "first_text_ms")


def criteria() -> list[dict[str, Any]]:
    """One of each measure, in every aggregate that it allows and in both forms of a limit."""
    limits = {"ms": 20_000, "USD": 0.01, "tokens": 500, "model requests": 4, "": 0.5}
    made: list[dict[str, Any]] = [P95 | {"id": "P"}, VALID | {"id": "V"}]
    for number, measure in enumerate(Measure):
        side = "at_most" if measure.lower_is_better else "at_least"
        for aggregate in ("p90", "mean", "rate"):
            if measure.allows(aggregate):
                stated = {"says": "so", "severity": "info", "measure": measure.value, "aggregate": aggregate}
                value, times = {"value": limits[measure.unit]}, {"times_control": 1.5 if aggregate != "rate" else 0.9}
                own = {side: value, "baseline": {"source": "own-target"}}
                beside = {side: times, "baseline": {"source": "concurrent-control"}}
                made += [
                    stated | own | {"id": f"N{number}{aggregate}"},
                    stated | beside | {"id": f"C{number}{aggregate}"},
                ]
    return made


def rows(world: World, seed: int = 7) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A few weeks of two tenants whose names differ by a capital letter, with everything that may happen to a row."""
    chance = random.Random(seed)
    attempts, adjusted = [], []
    for number in range(160):
        variant = chance.choice([MANAGED, MANAGED, LEGACY])
        tenant, conversation = chance.choice(TENANTS), chance.choice([None, f"c{number // 3}", f"C{number // 3}", "x "])
        began = START + dt.timedelta(milliseconds=chance.randrange(-(10**8), 20 * 86_400_000), microseconds=number)
        ending = chance.choice(ENDINGS)
        ms = chance.choice([None, chance.randrange(3, 90_000), 42_054, 42_055])
        made = world.made(began, variant, ms=ms, tenant=tenant, conversation_id=conversation, turn=number)
        made |= {"error_type": None, "error_stage": None, "variant_hash": HASHES[variant], **ending}
        made |= {name: chance.choice([None, chance.randrange(900)]) for name in TIMINGS}
        made |= {"iterations": chance.choice([None, 1, 3, 8]), "assignment_share": SHARES[variant]}
        made |= {"first_call_input_tokens": chance.choice([None, 0, 700]), "flag_version": chance.choice(["v1", "v2"])}
        made |= {"first_call_cache_read_input_tokens": chance.choice([None, 0, 9000])}
        made |= {
            "cost_nanousd": chance.choice([None, 0, chance.randrange(10**12)]),
            "reason": chance.choice(["share"] * 9 + ["pinned"]),
        }
        made["recorded_at"] = began + chance.choice([0, 0, 0, 9]) * DAY
        made["landed_at"] = None if made["status"] == "started" else made["recorded_at"] + dt.timedelta(minutes=1)
        attempts.append(made)
        if made["status"] == "error":
            again = {
                "log_id": f"again-{number}",
                "attempt": 2,
                "role": "fallback",
                "status": "success",
                "iterations": 2,
            }
            attempts.append(made | again | {"created_at": began + dt.timedelta(minutes=2)})
        if chance.random() < 0.2:
            at = began + chance.choice([1, 9, 15]) * DAY
            change = {"tenant": tenant, "log_id": made["log_id"], "sequence": 1, "adjusted_at": at, "kind": "reprice"}
            adjusted.append(change | {"reason": "price_changed", "amount_nanousd": 1, "cost_nanousd": number * 10**9})
    return attempts, adjusted


def without_sql(canonical: str) -> str:
    """A verdict's canonical JSON without its statements; 1 and 1.0 are other bytes."""
    document = json.loads(canonical)
    document["hashes"].pop("sql")
    for finding in document["findings"]:
        for name in [name for name in finding if name.endswith("sql")]:
            finding.pop(name)
    return json.dumps(document, ensure_ascii=False)


def told(engine: sa.Engine, window: str, held: tuple[list[Any], list[Any]], order: int) -> list[Any]:
    """All that is measured, and a verdict's bytes without its statements, which every engine has in its own words."""
    attempts, adjusted = (random.Random(order).sample(each, len(each)) for each in held)
    world = World(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(logs), attempts)
        connection.execute(sa.insert(adjustments), adjusted)
    shape: dict[str, Any] = {"tenants": {"script": 0.5, "Acme": 0.5}, "unit": {"by": "conversation", "window": window}}
    judged = block(P95, VALID, COST, P95 | {"id": "C"} | BESIDE, **shape)
    world.register(judged)
    measurement = world.measured(block(*criteria(), **shape), START + 22 * DAY)
    document = without_sql(as_json([reach_verdict(record(judged), Origin.PRODUCTION, START + 22 * DAY, engine)]))
    counted = [measurement.cells, measurement.excluded, measurement.distributions, measurement.grids]
    return [*counted, measurement.draws, measurement.rows_hash, document]


def elsewhere(url: str) -> sa.Engine:
    """An engine whose sessions are in another time zone."""
    engine = open_engine(url)
    setting = "SET TIME ZONE 'Asia/Kolkata'" if engine.dialect.name == "postgresql" else "SET time_zone = '+05:30'"

    @sa.event.listens_for(engine, "connect")
    def travel(connection: Any, _: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(setting)
        connection.commit()

    engine.dispose()
    return engine


def test_every_measure_has_the_same_figures_on_every_engine_in_any_order_and_time_zone(
    engine: sa.Engine, database_places: dict[str, Place]
) -> None:
    held = rows(World(engine))
    here = told(engine, "3d", held, order=0)

    assert sum(cell.dispatches for cell in here[0]) > 50
    assert len(here[1]) > 2
    for number, place in enumerate(database_places.values(), start=1):
        there = elsewhere(place.migrated())
        try:
            assert told(there, "3d", held, order=number) == here
        finally:
            there.dispose()


@pytest.mark.parametrize("window", ["7d"])
def test_the_order_in_which_rows_are_written_changes_no_byte(tmp_path: Any, engine: sa.Engine, window: str) -> None:
    held = rows(World(engine))
    other = open_engine(f"sqlite:///{tmp_path}/other.db")

    assert told(engine, window, held, order=1) == told(other, window, held, order=2)
    other.dispose()
