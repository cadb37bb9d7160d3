"""A criterion that its record's own traffic can't decide is refused, with what could be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.document import Acceptance
from dispatcher.adr.ranks import PinnedRanks
from dispatcher.adr.reader import read_record
from dispatcher.verdict.chances.decidability import Decidability, decidability

SAMPLE = Path(__file__).parents[2] / "adrs" / "KD-0650-migrate-research-to-managed-agents.md"
PRODUCTION = {
    "source": "production-telemetry",
    "where": {"feature": "agent_research", "tenant": "script"},
    "window": ["2026-04-09", "2026-05-09"],
    "n": 36,
    "value": 28036,
}
LATENCY: dict[str, Any] = {
    "id": "AC-7", "says": "…", "severity": "gate", "measure": "response_time_ms", "aggregate": "p95",
    "at_most": {"times_baseline": 1.5}, "baseline": PRODUCTION,
}  # fmt: skip
VALID: dict[str, Any] = {
    "id": "AC-V", "says": "…", "severity": "gate", "measure": "output_valid", "aggregate": "rate",
    "at_least": {"value": 0.95},
}  # fmt: skip
CONTROL = {"source": "concurrent-control"}

Ask = Callable[..., Decidability]


@pytest.fixture(scope="module")
def block() -> dict[str, Any]:
    acceptance = read_record(SAMPLE).acceptance
    assert acceptance is not None
    return {name: getattr(acceptance, name) for name in Acceptance.model_fields if name != "schema_"}


@pytest.fixture
def ask(block: dict[str, Any]) -> Ask:
    """The chances of one criterion in the block of KD-0650, with changes of the block by name."""

    def decided(criterion: dict[str, Any], ranks: PinnedRanks | None = None, **changes: Any) -> Decidability:
        stated = Criterion.model_validate(criterion)
        whole = Acceptance.model_validate({"schema": 1, **block, **changes, "criteria": [stated]})
        return decidability(stated, whole, ranks)

    return decided


def test_the_criterion_of_the_record_can_be_decided_in_a_year(ask: Ask) -> None:
    found = ask(LATENCY)

    assert found.problem is None
    assert 0.8 <= found.power <= 0.9
    assert (found.control, found.weeks is not None and found.weeks <= 52) == ("pass", True)
    assert found.false_ship <= 0.05
    assert found.earliest == 16  # 84 clean calls at 24 a month


def test_in_half_a_year_it_cannot_and_says_what_could(ask: Ask, block: dict[str, Any]) -> None:
    found = ask(LATENCY, looks=block["looks"].model_copy(update={"max_weeks": 26}))

    assert found.problem is not None
    assert "is undecidable: a chance of" in found.problem
    assert "the control itself would be found pass" in found.problem or "inconclusive" in found.problem
    assert found.wordings[0] == f"the same wording with max_weeks: {found.weeks}"
    assert any("dispatches a month" in wording for wording in found.wordings)
    assert any(wording.startswith("p90 at most 42054 ms") for wording in found.wordings)


def test_every_wording_that_is_offered_would_be_accepted(ask: Ask, block: dict[str, Any]) -> None:
    looks = block["looks"].model_copy(update={"max_weeks": 26})
    longer, busier, lower, *_ = ask(LATENCY, looks=looks).wordings

    weeks = int(longer.rpartition(" ")[2])
    month = int(busier.split()[4])
    milder = {**LATENCY, "aggregate": lower.split()[0], "at_most": {"value": 42054}, "baseline": None}
    traffic = block["traffic"].model_copy(update={"dispatches_per_month": month})
    assert ask(LATENCY, looks=block["looks"].model_copy(update={"max_weeks": weeks})).problem is None
    assert ask(LATENCY, looks=looks, traffic=traffic).problem is None
    assert ask({key: value for key, value in milder.items() if value}, looks=looks).problem is None


def test_a_guard_need_not_pass_so_it_is_never_refused(ask: Ask, block: dict[str, Any]) -> None:
    found = ask({**VALID, "severity": "guard"}, looks=block["looks"].model_copy(update={"max_weeks": 4}))

    assert not found.is_decidable
    assert found.problem is None


def test_not_worse_than_one_point_is_a_promise_nobody_can_check_at_36_a_month(ask: Ask) -> None:
    """At 97 % it takes 3 600 calls an arm, at 99 % some 1 200."""
    found = ask({**VALID, "at_least": {"times_control": 0.99}, "baseline": CONTROL})

    assert found.problem is not None
    assert found.power < 0.1
    assert found.wordings[-1].startswith("output_valid at least 95 %, as a number of its own (week 16 if every")


def test_a_limit_below_the_control_asks_where_the_candidate_is(ask: Ask) -> None:
    cost = {**LATENCY, "measure": "cost", "aggregate": "mean", "at_most": {"times_control": 0.5}, "baseline": CONTROL}

    silent, stated = ask(cost), ask({**cost, "expected": {"times_control": 0.2}})

    assert silent.control == "fail"
    assert silent.problem is not None
    assert "with `expected` stating where you think the candidate is" in silent.problem
    assert stated.problem is None


@pytest.mark.parametrize(
    ("criterion", "changes", "said"),
    [
        (
            {**VALID, "measure": "cache_hit"},
            {},
            "only later turns have it, and a conversation of this record has one dispatch",
        ),
        (
            {**LATENCY, "at_most": {"times_control": 1.5}, "baseline": CONTROL},
            {"assignment": {"kind": "tenant_flag"}},
            "a control set tenant by tenant can't be compared with",
        ),
        (
            {
                **LATENCY,
                "baseline": {**{k: v for k, v in PRODUCTION.items() if k not in ("n", "value")}, "from": "prod"},
            },
            {},
            "its baseline isn't measured yet; run `adr pin`",
        ),
    ],
)
def test_what_could_never_be_decided_is_refused_with_the_reason(
    ask: Ask, criterion: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    found = ask(criterion, **changes)

    assert found.problem is not None
    assert f"can never be decided: {said}" in found.problem


def test_pinned_times_take_the_place_of_the_assumed_tail(ask: Ask) -> None:
    """A tenth of the pinned times lie above 1.5 × their p90, which no assumed tail would have them do."""
    pinned = PinnedRanks(histogram={10_000: 89, 15_000: 1, 90_000: 10})
    baseline = {**PRODUCTION, "n": 100, "value": 15000}
    criterion = {**LATENCY, "aggregate": "p90", "baseline": baseline}

    assert ask(criterion, pinned).power < 0.1 < ask(criterion).power


def test_conversations_count_once(ask: Ask, block: dict[str, Any]) -> None:
    traffic = block["traffic"].model_copy(update={"dispatches_per_conversation": 3})
    unit = block["unit"].model_validate({"by": "conversation", "window": "1d"})

    found = ask(LATENCY, traffic=traffic, unit=unit)

    assert found.power < ask(LATENCY).power
    assert any("each conversation counts once" in told for told in found.because)


def test_a_concurrent_percentile_takes_more_than_a_number(ask: Ask, block: dict[str, Any]) -> None:
    concurrent = {**LATENCY, "at_most": {"times_control": 1.5}, "baseline": CONTROL}

    assert ask(concurrent).power < ask(LATENCY).power
    assert "simulated" in ask(concurrent).method
