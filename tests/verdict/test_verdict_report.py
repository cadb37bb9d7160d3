"""Whole reports, compared with the ones in tests/golden; WRITE_GOLDEN=1 writes them anew, to be read in the diff."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from verdict_worlds import COST, DAY, LEGACY, MANAGED, MINUTE, P95, START, VALID, World, block

from dispatcher.action import decision
from dispatcher.audit.record import Origin
from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.measured import LeftOut
from dispatcher.verdict.report.document import as_json
from dispatcher.verdict.report.prose import as_text
from dispatcher.verdict.report.wording import LEFT_OUT, REASONS

GOLDEN = Path(__file__).parents[1] / "golden"


def assert_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text)

    assert text == path.read_text()


def without_sql(text: str) -> str:
    """The statements are the business of the measurement's tests."""
    document = json.loads(text)
    document["hashes"]["sql"] = "…"
    for finding in document["findings"]:
        finding |= {key: "…" for key in finding if key.endswith("sql") and finding[key]}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def shipping(world: World) -> Verdict:
    world.register(block())
    world.rows(170)
    world.rows(85, LEGACY)
    world.row(START + DAY, ms=60_000)
    world.rows(2, reason="pinned", assignment_share=None)
    world.rows(3, LEGACY, reason="forced", assignment_share=None)
    world.row(START - DAY)
    world.row(START + DAY, recorded_at=START + 9 * DAY)
    world.row(START + 8 * DAY)
    world.row(START + 9 * DAY, status="started", landed_at=None)
    return world.judged(block(), START + 9 * DAY + MINUTE)


def simulated_hold(world: World) -> Verdict:
    world.register(block(), origin=Origin.SIMULATED)
    changed: dict[str, Any] = {"origin": "simulated", "time_scale": 0.02, "ms": 400}
    world.rows(24, **changed)
    world.rows(12, LEGACY, **changed)
    world.rows(2, **(changed | {"status": "error", "cost_nanousd": None, "output_valid": None}))
    world.rows(3, "legacy-cached", tenant="acme", **changed)
    return world.judged(block(), START + 2 * DAY, Origin.SIMULATED)


def rolled_back(world: World) -> Verdict:
    world.register(block())
    world.rows(100, ms=50_000, cost_nanousd=90_000_000)
    world.rows(60, LEGACY)
    return world.judged(block(), START + 15 * DAY)


def invalid(world: World) -> Verdict:
    world.register(block(P95))
    edited = block(P95, COST, VALID | {"severity": "info"}, tenants={"script": 0.5, "acme": 0.5})
    world.rows(30, MANAGED)
    return world.judged(edited, START + 8 * DAY)


WORLDS = {"ship": shipping, "simulated-hold": simulated_hold, "rollback": rolled_back, "invalid": invalid}


@pytest.mark.parametrize("name", WORLDS)
def test_the_text_is_as_it_was_read_and_agreed(world: World, name: str) -> None:
    assert_golden(f"verdict-{name}.md", as_text(WORLDS[name](world)))


@pytest.mark.parametrize("name", ["ship", "simulated-hold"])
def test_the_json_is_as_it_was_read_and_agreed(world: World, name: str) -> None:
    assert_golden(f"verdict-{name}.json", without_sql(as_json([WORLDS[name](world)])))


def test_the_same_rows_and_the_same_moment_give_the_same_bytes(world: World) -> None:
    verdict = shipping(world)

    assert as_json([world.judged(block(), verdict.as_of)]) == as_json([verdict])


def test_several_records_are_a_list_and_every_finding_carries_its_sql(world: World) -> None:
    verdict = shipping(world)
    one, two = json.loads(as_json([verdict, verdict]))

    assert one == two
    assert all(finding["sql"].startswith("WITH ") for finding in one["findings"])
    assert [finding["distribution_sql"] is None for finding in one["findings"]] == [True, False, True]


def test_the_fixed_keys_are_all_there(world: World) -> None:
    document = json.loads(as_json([shipping(world)]))
    fixed = {"record", "origin", "as_of", "start", "verdict", "reasons", "excluded", "findings"}
    of_finding = {
        "id",
        "severity",
        "finding",
        "reasons",
        "limit",
        "figure",
        "n",
        "k",
        "clusters",
        "alpha",
        "sql",
        "looks",
    }
    of_look = {"at", "n", "k", "clusters", "log_e_pass", "log_e_fail"}

    assert fixed <= document.keys()
    for finding in document["findings"]:
        assert of_finding <= finding.keys()
        assert all(of_look <= look.keys() for look in finding["looks"])


def test_whole_numbers_are_integers(world: World) -> None:
    finding = json.loads(as_json([shipping(world)]))["findings"][1]

    assert [type(finding[key]) for key in ("limit", "figure", "n", "k", "clusters")] == [int] * 5


def test_every_reason_is_explained_in_one_sentence() -> None:
    assert set(REASONS) == set(Reason)
    assert set(LEFT_OUT) == {*LeftOut, *decision.Reason}


def test_a_failure_in_the_tail_leaves_no_p95_and_both_views_are_shown(world: World) -> None:
    world.register(block())
    world.rows(90)
    world.rows(10, status="error")
    world.rows(45, LEGACY)
    verdict = world.judged(block(), START + 8 * DAY)
    finding = json.loads(as_json([verdict]))["findings"][1]

    assert (finding["figure"], finding["figure_successes"], finding["k"]) == (None, 20_000, 10)
    assert "p95 beyond every value, among the failures" in as_text(verdict).replace("\n  ", " ")
    assert "of successes alone 20\u00a0000\u00a0ms" in as_text(verdict).replace("\n  ", " ")
