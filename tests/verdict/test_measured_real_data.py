"""Runs that nobody here made, as rows of a log: the figures are those that others computed, and no trap makes a pass.

The data sets lie beside the checkout, each with its README; `expected_*.csv` were computed by others from the same
files.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from verdict_worlds import COST, DAY, MINUTE, P95, START, World, block

from dispatcher.verdict.judgement.finding import Figures, Finding, Reason, State
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.measured import Arm

DATA = Path(__file__).parents[3] / "shared" / "data"
BENCH, HANDS, PERF = "llm_fs_agent_bench/dev", "openhands_index/dev", "llmperf"
ENDINGS = {"success": "success", "failed": "error", "error": "error", "timeout": "error"}
CONTROL = "gpt-5.2"


def table(name: str) -> Iterator[dict[str, str]]:
    path = DATA / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is missing")
        pytest.skip("the shared data sets are not beside this checkout")
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
        yield from csv.DictReader(file)


def criteria(limit: float) -> tuple[dict[str, Any], dict[str, Any]]:
    own = {"baseline": {"source": "own-target"}}
    return P95 | {"id": "P", "at_most": {"value": limit}} | own, COST | {"id": "C", "at_most": {"value": 0.05}} | own


def judged(world: World, rows: list[dict[str, Any]], candidate: str, control: str, limit: float = 1) -> Verdict:
    """The two arms as a flag by tenant set them: one dispatch a run, all of them in the first look."""
    arms = {candidate: "flag", control: "default"}
    acceptance = block(
        *criteria(limit), candidate={"variant": candidate}, control={"variant": control},
        assignment={"kind": "tenant_flag"},
    )  # fmt: skip
    world.register(acceptance, candidate_hash="h")
    world.write(
        [
            world.made(START + number * MINUTE, row["variant"], variant_hash="h", assignment_share=None)
            | {"reason": arms[row["variant"]]}
            | row
            for number, row in enumerate(row for row in rows if row["variant"] in arms)
        ]
    )
    return world.judged(acceptance, START + 8 * DAY)


def found(verdict: Verdict, name: str) -> Finding:
    return next(finding for finding in verdict.findings if finding.criterion.id == name)


def nanousd(text: str) -> int | None:
    return None if text == "" else round(Decimal(text) * 10**9)


@pytest.fixture(scope="module")
def bench() -> list[dict[str, Any]]:
    return [
        {
            "variant": run["arm"],
            "status": ENDINGS[run["status"]],
            "response_time_ms": int(run["wall_ms"]),
            "cost_nanousd": nanousd(run["cost_usd"]),
            "input_tokens": None if run["input_tokens"] in {"", "0"} else int(run["input_tokens"]),
            "output_tokens": None if run["output_tokens"] in {"", "0"} else int(run["output_tokens"]),
        }
        for run in table(f"{BENCH}/runs.csv.gz")
    ]


def expected(name: str, which: str) -> dict[str, dict[str, str]]:
    return {row["arm"]: row for row in table(f"{name}/expected_stats.csv") if row["filter"] == which}


ARMS = ["chatgpt-gpt-5.3-codex", "gemini-2.5-pro", "gemini-3-pro-preview", "glm-5", "kimi-k2.5", "minimax-m2.1"]


def whole(figure: Fraction | None) -> int | None:
    return None if figure is None else round(figure)


@pytest.mark.parametrize("arm", ARMS)
def test_the_nearest_rank_p95_of_successes_is_the_one_that_others_found(
    world: World, bench: list[dict[str, Any]], arm: str
) -> None:
    finding = found(judged(world, bench, arm, CONTROL), "P")
    successes, everything = expected(BENCH, "success"), expected(BENCH, "all")
    for side, name in ((Arm.CANDIDATE, arm), (Arm.CONTROL, CONTROL)):
        stated = successes.get(name, {}).get("p95_nearest_rank") or None
        figures = finding.entered[side]

        assert figures.n == int(everything[name]["n"])
        assert whole(figures.figure_successes) == (None if stated is None else round(float(stated)))
        assert figures.failed == figures.n - int(successes[name]["n"] if name in successes else 0)


@pytest.mark.parametrize("arm", ARMS)
def test_the_mean_of_known_costs_is_the_one_that_others_found(
    world: World, bench: list[dict[str, Any]], arm: str
) -> None:
    figures = found(judged(world, bench, arm, CONTROL), "C").entered[Arm.CANDIDATE]
    row = expected(BENCH, "all")[arm]

    assert figures.unknown == int(row["n_cost_zero"])
    assert figures.figure is not None
    assert float(figures.figure) == pytest.approx(float(row["mean_cost_nonzero_usd"]), abs=2e-8)


def test_fast_failures_and_a_filter_on_successes_make_nothing_faster(world: World, bench: list[dict[str, Any]]) -> None:
    """Read as times, the failures of this arm halve its p95 to 0.22 of the control's; 17 of its 20 runs failed."""
    spark = "chatgpt-gpt-5.3-codex-spark"
    naive = next(
        row for row in table(f"{BENCH}/expected_verdicts.csv") if (row["candidate"], row["filter"]) == (spark, "all")
    )
    control = float(expected(BENCH, "all")[CONTROL]["p95_nearest_rank"])
    finding = found(judged(world, bench, spark, CONTROL, limit=1.5 * control), "P")

    assert naive["p95_le_1.5_nearest_rank"] == "1"
    assert finding.entered[Arm.CANDIDATE].figure is None
    assert (finding.entered[Arm.CANDIDATE].k, finding.state) == (17, State.FAIL)


@pytest.mark.parametrize("arm", ["gemini-3-flash-preview", "gpt-oss-120b", "gemini-flash-latest"])
def test_a_cost_of_zero_that_means_unknown_is_named_and_never_cheap(
    world: World, bench: list[dict[str, Any]], arm: str
) -> None:
    naive = {row["cost_le_0.5"] for row in table(f"{BENCH}/expected_verdicts.csv") if row["candidate"] == arm}
    finding = found(judged(world, bench, arm, CONTROL), "C")

    assert "1" in naive
    assert (finding.state, finding.entered[Arm.CANDIDATE].figure) == (State.INCONCLUSIVE, None)
    assert Reason.UNKNOWN_SHARE in finding.reasons


def test_a_percentile_definition_flips_nothing_since_exceedances_are_counted(
    world: World, bench: list[dict[str, Any]]
) -> None:
    """Of this arm's 6 successes one lies above 1.5 × the control's p95, whichever definition is asked for a figure."""
    rows = [row for row in bench if row["status"] == "success"]
    stated = {row["arm"]: row for row in table(f"{BENCH}/expected_stats.csv") if row["filter"] == "success"}
    pair = next(
        row
        for row in table(f"{BENCH}/expected_verdicts.csv")
        if (row["candidate"], row["filter"]) == ("glm-5", "success")
    )
    limit = 1.5 * float(stated[CONTROL]["p95_nearest_rank"])
    figures = found(judged(world, rows, "glm-5", CONTROL, limit), "P").entered
    above = sum(row["response_time_ms"] > limit for row in rows if row["variant"] == "glm-5")
    ratio = Fraction(figures[Arm.CANDIDATE].figure or 0) / Fraction(figures[Arm.CONTROL].figure or 1)

    assert (pair["p95_le_1.5_linear"], pair["p95_le_1.5_nearest_rank"]) == ("1", "0")
    assert float(ratio) == pytest.approx(float(pair["p95_ratio_nearest_rank"]), abs=1e-6)
    assert (figures[Arm.CANDIDATE].k, above) == (above, 1)


def test_the_harness_that_reports_no_cost_is_unknown_and_not_free(world: World) -> None:
    """The naive comparison reads 0.0 × for the hosted harness, which is "at most half"."""
    pair = ("openhands/GPT-5.4", "acp-codex/GPT-5.4")
    rows = [
        {
            "variant": each["arm"],
            "status": {"1": "success", "0": "error", "": "lost"}[each["success"]],
            "cost_nanousd": nanousd(each["cost_usd"]),
            "response_time_ms": None,
            "input_tokens": None,
            "output_tokens": None,
        }
        for each in table(f"{HANDS}/instances.csv.gz")
        if each["arm"] in pair and each["benchmark"] == "swt-bench"
    ]
    figures = found(judged(world, rows, pair[1], pair[0]), "C").entered
    stated = expected(HANDS, "all")[f"swt-bench:{pair[0]}"]

    assert (figures[Arm.CANDIDATE].unknown, figures[Arm.CANDIDATE].figure) == (figures[Arm.CANDIDATE].n, None)
    assert figures[Arm.CANDIDATE].n > 100
    assert float(figures[Arm.CONTROL].figure or 0) == pytest.approx(float(stated["mean_cost_nonzero_usd"]), abs=2e-8)


def test_the_waits_of_eight_providers_have_the_p95_that_others_found(any_world: World) -> None:
    rows = [
        {
            "variant": f"{each['model']}/{each['arm']}",
            "status": each["status"],
            "response_time_ms": round(float(each["response_time_ms"])) if each["response_time_ms"] else None,
        }
        for each in table(f"{PERF}/requests.csv.gz")
        if each["model"] == "llama-2-70b-chat"
    ]
    stated = {
        row["group"]: row for row in table(f"{PERF}/expected_call_stats.csv") if row["metric"] == "response_time_ms"
    }
    candidate, control = "llama-2-70b-chat/bedrock", "llama-2-70b-chat/groq"
    figures = found(judged(any_world, rows, candidate, control), "P").entered
    for side, name in ((Arm.CANDIDATE, candidate), (Arm.CONTROL, control)):
        of_side: Figures = figures[side]

        assert of_side.n - of_side.failed == int(stated[name]["n"])
        assert whole(of_side.figure_successes) == round(float(stated[name]["p95_nearest_rank"]))
