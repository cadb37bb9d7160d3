"""Real runs, imported and pinned as somebody types it: the figures are those of others, and each trap is named.

The data sets lie beside the checkout, each with its README; others computed `expected_*.csv` from the same files.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli import run

PROJECT = Path(__file__).parents[2]
DATA = PROJECT / ".." / "shared" / "data"
BENCH = "llm_fs_agent_bench"
CONTROL, RATIO = "gpt-5.2", Decimal("1.5")
MAP = PROJECT / "examples" / "imports" / f"{BENCH}.yml"
ZEROS_ARE_UNKNOWN = "unit: usd, zero_is_unknown: true"
SOURCE = """schema: 1
sources:
  bench:
    url: DISPATCHER_DATABASE_URL
    table: ai_outbound_logs
    authorised_by: its licence
    success: [success]
    only: {{origin: import, variant: "{arm}"}}
    columns:
      created_at: created_at
      feature: feature
      status: status
      tenant: tenant
      response_time_ms: {{column: response_time_ms, unit: ms}}
      cost: {{column: cost_nanousd, unit: nanousd{zeros}}}
"""
RECORD = """---
id: AA-0001
title: Other runs
status: proposed
date: 2026-02-20
deciders: [someone]
---

# Other runs

## Confirmation

```yaml acceptance
schema: 1
feature: agent_bench
candidate: {{variant: managed-haiku-4-5-cap8}}
control: {{variant: legacy}}
tenants: {{{tenant}: 1.0}}
traffic: {{dispatches_per_month: 36, dispatches_per_conversation: 1}}
looks: {{cadence: weekly, method: anytime, alpha: 0.05, max_weeks: 52, settle: 24h}}
unit: {{by: conversation, window: 0d}}
assignment: {{kind: sticky_share, by: conversation, share: 0.67}}
max_unknown_share: 0.02
on_rollback: report
criteria:
  - id: AC-1
    says: at most 1.5 × what was measured
    severity: gate
    measure: {measure}
    aggregate: {aggregate}
    at_most: {{times_baseline: 1.5}}
    baseline:
      source: production-telemetry
      from: bench
      where: {{feature: agent_bench, {status}tenant: {tenant}}}
      window: [2026-02-01, 2026-04-30]
      treat_as: contract
```
"""
Pinned = Callable[..., dict[str, Any]]


def shared(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is missing")
        pytest.skip("the shared data sets are not beside this checkout")
    return path


def expected(file: str, **chosen: str) -> dict[str, str]:
    with shared(f"{BENCH}/dev/{file}").open(newline="") as lines:
        [row] = [row for row in csv.DictReader(lines) if chosen.items() <= row.items()]
    return row


@pytest.fixture
def imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., None]:
    """Imports a file into a new log, by a map."""

    def once(file: Path | None = None, map_file: Path = MAP) -> None:
        monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{tmp_path}/log.db")
        arguments = ["logs", "import", str(file or shared(f"{BENCH}/dev/runs.csv.gz")), "--map", str(map_file)]
        assert run(arguments) == 0, capsys.readouterr().err
        capsys.readouterr()

    return once


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pinned:
    """`pinned(arm, …)`: what `adr pin --json` says of an arm's rows in the log; `refused` is its error."""
    policies, adrs = tmp_path / "policies", tmp_path / "adrs"
    shutil.copytree(PROJECT / "policies", policies)
    adrs.mkdir()
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(policies))
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(adrs))

    def pin(
        arm: str, measure: str = "response_time_ms", aggregate: str = "p95", *,
        status: str | None = "success", zeros: str = "", tenant: str = BENCH,
    ) -> dict[str, Any]:  # fmt: skip
        (policies / "sources.yml").write_text(SOURCE.format(arm=arm, zeros=zeros))
        where = "" if status is None else f"status: {status}, "
        text = RECORD.format(measure=measure, aggregate=aggregate, status=where, tenant=tenant)
        (adrs / "AA-0001-other-runs.md").write_text(text)
        code = run(["adr", "pin", "AA-0001", "--dry-run", "--json"])
        printed = capsys.readouterr()
        if code:
            return {"refused": printed.err}
        [document] = json.loads(printed.out)
        return dict(document)

    return pin


def with_zeros(folder: Path) -> Path:
    """The map of somebody who takes a 0 for a cost."""
    text = MAP.read_text()
    assert ZEROS_ARE_UNKNOWN in text
    (folder / "map.yml").write_text(text.replace(ZEROS_ARE_UNKNOWN, "unit: usd"))
    return folder / "map.yml"


def test_an_imported_arm_is_pinned_at_the_figure_that_others_found(imported: Any, pinned: Pinned) -> None:
    imported()
    stated = expected("expected_stats.csv", arm=CONTROL, filter="success")
    found = pinned(CONTROL)

    assert (found["n"], Decimal(found["value"])) == (int(stated["n"]), Decimal(stated["p95_nearest_rank"]))


def test_a_cost_of_0_that_means_unknown_is_no_baseline(imported: Any, pinned: Pinned, tmp_path: Path) -> None:
    """Read as prices, the 0 of this arm are 0.0 × the control's cost, which any limit allows."""
    arm = "gemini-3-flash-preview"
    naive = expected("expected_verdicts.csv", baseline=CONTROL, candidate=arm, filter="all")
    imported(map_file=with_zeros(tmp_path))

    assert (naive["cost_le_0.5"], naive["cost_le_0.5_zero_as_unknown"]) == ("1", "")
    assert (
        "zero_cost: 18 rows cost 0, which may mean that the cost isn't known" in pinned(arm, "cost", "mean")["refused"]
    )
    unknown = pinned(arm, "cost", "mean", zeros=", zero_is_unknown: true")
    assert "no row of known value" in unknown["refused"]


def test_the_example_map_makes_them_unknown_on_the_way_in(imported: Any, pinned: Pinned) -> None:
    imported()

    assert "no row of known value" in pinned("gemini-3-flash-preview", "cost", "mean")["refused"]


def test_a_success_filter_that_flips_the_p95_is_named_with_what_it_hides(imported: Any, pinned: Pinned) -> None:
    """By all rows this arm is 1.46 × the control, by successes alone 2.58 ×; its failures are the majority."""
    arm = "gemini-3-pro-preview"
    naive = {
        which: expected("expected_verdicts.csv", baseline=CONTROL, candidate=arm, filter=which)[
            "p95_le_1.5_nearest_rank"
        ]
        for which in ("all", "success")
    }
    imported()
    told = pinned(arm)["traps"]["success_filter"]

    assert naive == {"all": "1", "success": "0"}
    assert told.startswith(
        "11 of 19 rows failed and aren't in the figure; with them, above every value, the p95 is a fail"
    )
    assert "its p95 is a failure, which has no value" in pinned(arm, status=None)["refused"]


def test_a_percentile_definition_that_flips_the_verdict_is_named_with_both_figures(
    imported: Any, pinned: Pinned
) -> None:
    """Of its successes the arm is 1.49 × the control by interpolation, and 1.63 × by nearest rank."""
    naive = expected("expected_verdicts.csv", baseline=CONTROL, candidate="glm-5", filter="success")
    imported()
    found, control = pinned("glm-5"), pinned(CONTROL)

    assert (naive["p95_le_1.5_linear"], naive["p95_le_1.5_nearest_rank"]) == ("1", "0")
    assert Decimal(found["value"]) > RATIO * Decimal(control["value"])
    assert found["traps"]["percentile_definition"].startswith(
        f"nearest rank is {found['value']} ms, linear interpolation "
    )


def test_fast_failures_that_flatter_the_median_are_named(imported: Any, pinned: Pinned) -> None:
    imported()
    spark = "chatgpt-gpt-5.3-codex-spark"
    both = {
        which: expected("expected_stats.csv", arm=spark, filter=which)["p50_nearest_rank"]
        for which in ("all", "success")
    }
    found = pinned(spark, aggregate="p50")

    assert Decimal(both["all"]) < Decimal(both["success"]) / 2
    assert Decimal(found["value"]) == Decimal(both["success"])
    assert f"the median {float(both['all']):g} ms instead of" in found["traps"]["fast_failures"]


@pytest.mark.parametrize("late", [0, 400], ids=["to the millisecond", "noticed a little late"])
def test_wall_times_that_a_harness_cut_off_are_named(imported: Any, pinned: Pinned, tmp_path: Path, late: int) -> None:
    """The runs of the data set, as a harness with a limit of 90 s would have recorded them."""
    with gzip.open(shared(f"{BENCH}/dev/runs.csv.gz"), "rt", newline="") as lines:
        runs = list(csv.DictReader(lines))
    for number, each in enumerate(runs):
        if int(each["wall_ms"]) > 90_000:
            each |= {"wall_ms": str(90_000 + number * 37 % (late + 1)), "status": "success"}
    with (tmp_path / "cut.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(runs[0]))
        writer.writeheader()
        writer.writerows(runs)
    imported(tmp_path / "cut.csv")
    told = pinned(CONTROL)["traps"]["censored"]

    assert ("within 0.5 % of the largest value" if late else "the very same largest value, 90000 ms") in told
    assert "the true ones are larger" in told


def test_no_arm_as_it_was_recorded_looks_cut_off(imported: Any, pinned: Pinned) -> None:
    imported()
    with shared(f"{BENCH}/dev/expected_stats.csv").open(newline="") as lines:
        arms = [row["arm"] for row in csv.DictReader(lines) if row["filter"] == "success" and int(row["n"]) > 1]

    assert {arm: "censored" in pinned(arm)["traps"] for arm in arms} == dict.fromkeys(arms, False)


def test_the_harness_that_reports_no_cost_is_no_baseline(imported: Any, pinned: Pinned, tmp_path: Path) -> None:
    """Its cost is 0 for every one of its instances: not reported, and not free."""
    name, arm = "openhands_index", "commit0:acp-codex/GPT-5.4"
    with gzip.open(shared(f"{name}/dev/instances.csv.gz"), "rt", newline="") as lines:
        head, *rest = lines.readlines()
    (tmp_path / "part.csv").write_text(head + "".join(line for line in rest if line.startswith("commit0,")))
    map_file = tmp_path / "map.yml"
    map_file.write_text((MAP.parent / f"{name}.yml").read_text().replace(ZEROS_ARE_UNKNOWN, "unit: usd"))
    imported(tmp_path / "part.csv", map_file)

    assert "rows cost 0" in pinned(arm, "cost", "mean", tenant=name)["refused"]
