"""Every figure of a report carries the statement that it came from, and each of them gives that figure again."""

from __future__ import annotations

import json
from html import unescape
from typing import Any

import pytest
from verdict_worlds import COST, DAY, LEGACY, MANAGED, P95, START, VALID, World, block

from dispatcher.audit.tables import adjustments
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.judgement.mean_detector import taken_in
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.report.document import as_document, as_json, statements_of
from dispatcher.verdict.report.page.page import as_page

BESIDE = P95 | {"at_most": {"times_control": 1.5}, "baseline": {"source": "concurrent-control"}}
FLAGGED = P95 | {"id": "AC-8", "at_most": {"value": 42_054}, "baseline": {"source": "own-target"}}


def drawn(world: World) -> Verdict:
    acceptance = block(COST, BESIDE, VALID)
    world.register(acceptance)
    world.rows(60)
    world.rows(40, LEGACY)
    return world.judged(acceptance, START + 8 * DAY)


def by_flag(world: World) -> Verdict:
    acceptance = block(FLAGGED, assignment={"kind": "tenant_flag"})
    world.register(acceptance)
    world.rows(30, reason="flag", assignment_share=None)
    world.rows(30, LEGACY, at=START - DAY, tenant="acme", reason="default", assignment_share=None)
    return world.judged(acceptance, START + 8 * DAY)


def test_every_finding_has_the_statements_of_its_own_figures_and_no_others(world: World) -> None:
    names = ("sql", "distribution_sql", "grid_sql", "repriced_sql", "drift_sql")
    findings = as_document(drawn(world))["findings"]

    assert [[name for name in names if finding[name] is not None] for finding in findings] == [
        ["sql"],
        ["sql", "distribution_sql", "grid_sql"],
        ["sql"],
    ]


def test_the_statement_of_the_thresholds_gives_the_counts_they_were_bounded_by(any_world: World) -> None:
    verdict = drawn(any_world)
    sql = verdict.measurement.grid_sql["AC-7"]
    with any_world.engine.connect() as connection:
        rows = connection.exec_driver_sql(sql).mappings().all()

    held = verdict.measurement.grids["AC-7"].rows
    assert sum(int(row["clusters"]) for row in rows) == sum(row.clusters for row in held)
    assert {row["arm"] for row in rows} == {"candidate", "control"}


def test_the_statement_of_those_who_stayed_gives_their_counts(any_world: World) -> None:
    verdict = by_flag(any_world)
    with any_world.engine.connect() as connection:
        rows = connection.exec_driver_sql(verdict.measurement.drift_sql["AC-8"]).mappings().all()

    assert [(row["tenant"], row["look"], int(row["dispatches"])) for row in rows] == [("acme", 0, 30)]


def test_costs_that_were_adjusted_carry_their_statement_too(world: World) -> None:
    acceptance = block(COST)
    world.register(acceptance)
    world.rows(60)
    with world.engine.begin() as connection:
        log_id = connection.exec_driver_sql("SELECT log_id FROM ai_outbound_logs LIMIT 1").scalar_one()
        connection.execute(adjustments.insert().values(adjusted(log_id)))
    world.rows(5, at=START + 8 * DAY)
    verdict = world.judged(acceptance, START + 15 * DAY)
    (later,) = verdict.measurement.entering(Arm.CANDIDATE, 2)
    (taken,) = taken_in([later], acceptance.criteria[0]).values()

    assert "SELECT" in as_document(verdict)["findings"][0]["repriced_sql"]
    # What changed of a cluster of the first look is in the sums, and no detector takes it for the second look's own.
    assert later.valued["AC-6"].late.total != 0
    assert (taken.clusters, taken.total) == (5, later.valued["AC-6"].sums.total - later.valued["AC-6"].late.total)


def adjusted(log_id: str) -> dict[str, Any]:
    made = {"tenant": "script", "log_id": log_id, "sequence": 1, "adjusted_at": START + 9 * DAY}
    return made | {"kind": "reprice", "amount_nanousd": 10_000_000, "cost_nanousd": 20_000_000, "reason": "later"}


@pytest.mark.parametrize("make", [drawn, by_flag])
def test_the_page_shows_every_statement_and_the_hash_is_of_all(world: World, make: Any) -> None:
    verdict = make(world)
    page = unescape(as_page(verdict))
    texts = [sql for _, sql in statements_of(verdict.measurement)]

    assert len(texts) == 3
    assert all(sql in page for sql in texts)
    changed = json.loads(as_json([verdict]))["hashes"]["sql"]
    assert len(changed) == 64
    assert MANAGED in page
