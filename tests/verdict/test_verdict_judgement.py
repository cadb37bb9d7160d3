"""Small worlds and what is decided in them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from verdict_worlds import COST, DAY, HASHES, LEGACY, MANAGED, MINUTE, P95, START, VALID, World, block

from dispatcher.adr.document import Acceptance

Build = Callable[[World], None]

WEEK_TWO = START + 8 * DAY
TWO_TENANTS = {"script": 0.5, "acme": 0.5}
LIGHT_TENANT = {"script": 0.97, "acme": 0.03}


def healthy(world: World) -> None:
    """Both arms well within every limit."""
    world.rows(100)
    world.rows(60, LEGACY)


def arms(count: int, **changed: Any) -> Build:
    """So many of the candidate, and half as many of the control, which is never changed."""

    def built(world: World) -> None:
        world.rows(count, **changed)
        world.rows(count // 2, LEGACY)

    return built


def rows(count: int, variant: str = MANAGED, **changed: Any) -> Build:
    return lambda world: world.rows(count, variant, **changed)


def joined(*builds: Build) -> Build:
    """One world after the other in the same log."""

    def built(world: World) -> None:
        for build in builds:
            build(world)

    return built


def one_slow_tenant(world: World) -> None:
    later = START + 2 * MINUTE
    world.rows(1, tenant="acme")
    world.rows(450, at=later)
    world.rows(7, at=later, tenant="acme")
    world.rows(7, at=later, tenant="acme", ms=50_000)
    world.rows(230, LEGACY, at=later)


def strayed(world: World) -> None:
    """One attempt in more than a hundred ran a variant that it wasn't routed to."""
    healthy(world)
    world.rows(1, "legacy-cached", routed_variant=MANAGED, variant_hash=HASHES[MANAGED], assignment_share=0.67)


ONE_GATE, GUARD_ONLY = block(P95), block(VALID)
BY_TENANT = block(assignment={"kind": "tenant_flag"})
SHORT = block(looks={"cadence": "weekly", "method": "anytime", "alpha": 0.05, "max_weeks": 1, "settle": "24h"})
CONCURRENT_P95 = block(P95 | {"at_most": {"times_control": 1.5}, "baseline": {"source": "concurrent-control"}})
HALVES = {"assignment_share": 0.5}
_MEASURED = {"published", "n", "value"}
NOT_PINNED = P95 | {"baseline": {k: v for k, v in P95["baseline"].items() if k not in _MEASURED} | {"from": "log"}}
NOT_COMPARABLE = ["assignment_not_comparable"]

WORLDS: list[tuple[str, Acceptance, Build, dt.datetime, str, list[str]]] = [
    ("all gates pass", block(), healthy, WEEK_TWO, "SHIP", []),
    ("84 are enough in the first epoch", ONE_GATE, arms(84), WEEK_TWO, "SHIP", []),
    ("a guard that is undecided", block(), joined(healthy, rows(3, output_valid=False)), WEEK_TWO, "SHIP", []),
    ("a criterion for information changes nothing",
     block(P95, COST | {"severity": "info"}), arms(100, cost_nanousd=10**9), WEEK_TWO, "SHIP", []),

    ("too slow", block(), arms(100, ms=50_000), WEEK_TWO, "ROLLBACK", []),
    ("too dear", block(), arms(120, cost_nanousd=10**8), WEEK_TWO, "ROLLBACK", []),
    ("failures are slower than any limit", block(), arms(60, status="error"), WEEK_TWO, "ROLLBACK", []),

    ("no row", block(), rows(0), WEEK_TWO, "HOLD", ["no_data"]),
    ("no look yet", block(), healthy, START + 2 * DAY, "HOLD", ["needs_time"]),
    ("one is running", ONE_GATE, rows(1, status="started", landed_at=None), START + 2 * DAY, "HOLD", ["needs_time"]),
    ("a look, and too few", block(), arms(30), WEEK_TWO, "HOLD", ["thin_data"]),
    ("83 are too few in the first epoch", ONE_GATE, arms(83), WEEK_TWO, "HOLD", ["thin_data"]),
    ("too few beside the control", CONCURRENT_P95, healthy, WEEK_TWO, "HOLD", ["thin_data"]),
    ("as fast as the control", CONCURRENT_P95, joined(rows(400), rows(200, LEGACY)), WEEK_TWO, "SHIP", []),
    ("five in a hundred are above", block(), joined(arms(190), rows(10, ms=50_000)), WEEK_TWO, "HOLD", ["near_margin"]),
    ("a guard alarms", block(), joined(healthy, rows(25, output_valid=False)), WEEK_TWO, "HOLD", ["guard_alarm"]),
    ("one slow tenant of two", block(P95, tenants=LIGHT_TENANT), one_slow_tenant, WEEK_TWO, "HOLD", ["tenant_alarm"]),
    ("unknown costs", block(), joined(healthy, rows(5, cost_nanousd=None)), WEEK_TWO, "HOLD", ["unknown_share"]),
    ("no known cost",
     block(), arms(120, cost_nanousd=None), WEEK_TWO, "HOLD", ["thin_data", "unknown_share"]),
    ("unknown validity", block(), joined(healthy, rows(5, output_valid=None)), WEEK_TWO, "HOLD", ["unknown_share"]),
    ("fast, in scaled time", ONE_GATE, arms(100, time_scale=0.02), WEEK_TWO, "HOLD", ["time_scaled"]),
    ("slow, in scaled time", ONE_GATE, arms(100, ms=50_000, time_scale=0.02), WEEK_TWO, "HOLD", ["time_scaled"]),
    ("a control that nobody drew", BY_TENANT,
     joined(rows(100, reason="flag"), rows(60, LEGACY, reason="default")), WEEK_TWO, "HOLD", NOT_COMPARABLE),
    ("a draw among three",
     ONE_GATE, joined(rows(100, assignment_share=0.3, flag_version="v"),
                      rows(60, LEGACY, assignment_share=0.2, flag_version="v")), WEEK_TWO, "HOLD", NOT_COMPARABLE),
    ("one of two tenants isn't in", block(P95, tenants=TWO_TENANTS), arms(100), WEEK_TWO, "HOLD", NOT_COMPARABLE),
    ("the last look has been", SHORT, arms(30), START + 20 * DAY, "HOLD", ["thin_data", "undecided_at_horizon"]),
    ("no gate", GUARD_ONLY, healthy, WEEK_TWO, "HOLD", ["no_gates"]),

    ("an attempt strayed", block(), strayed, WEEK_TWO, "INVALID", ["variant_not_as_routed"]),
    ("a draw of halves that gave three quarters",
     block(), joined(rows(200, **HALVES), rows(60, LEGACY, **HALVES)), WEEK_TWO, "INVALID", ["sample_ratio_mismatch"]),
    ("a baseline that isn't measured yet", block(NOT_PINNED), healthy, WEEK_TWO, "INVALID", ["not_judgeable"]),
    ("invalid before rollback",
     ONE_GATE, joined(strayed, arms(100, ms=50_000)), WEEK_TWO, "INVALID", ["variant_not_as_routed"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "acceptance", "build", "as_of", "outcome", "reasons"), WORLDS, ids=[world[0] for world in WORLDS]
)
def test_a_registered_record_in_a_small_world(
    world: World, claim: str, acceptance: Acceptance, build: Build, as_of: dt.datetime, outcome: str, reasons: list[str]
) -> None:
    world.register(acceptance)
    build(world)
    verdict = world.judged(acceptance, as_of)

    assert (verdict.outcome, [*verdict.reasons]) == (outcome, reasons)
