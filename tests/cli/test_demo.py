"""The main job: one command, from real questions to a verdict."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import freezegun
import pytest

from dispatcher.cli import run

PROJECT = Path(__file__).resolve().parents[2]


def demo(database: Path, *options: str) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC", "DISPATCHER"))
    }
    command = [sys.executable, "-m", "dispatcher", "demo", "--dispatches", "8", "--time-scale", "0.001", *options]
    shown = subprocess.run(
        command,
        cwd=PROJECT,
        env={**environment, "DISPATCHER_DATABASE_URL": f"sqlite:///{database}", "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The log of one demo, and what it printed."""
    database = tmp_path_factory.mktemp("demo") / "log.db"
    return database, demo(database)


@pytest.fixture
def verdict(ran, monkeypatch, capsys):
    """The verdict on the demo's rows as JSON, with its exit code under --gate."""
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{ran[0]}")
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(PROJECT / "adrs"))

    def judged(*options: str) -> tuple[int, dict]:
        code = run(["verdict", "KD-0650", "--json", "--gate", *options])
        return code, json.loads(capsys.readouterr().out)

    return judged


def test_it_shows_every_tenant_and_variant_with_the_reason(ran):
    _, shown = ran
    for words in (
        ("acme", "managed", "managed-haiku-4-5-cap8", "flag"),
        ("globex", "managed", "managed-sonnet-4-6", "flag"),
        ("initech", "messages", "legacy-cached", "flag"),
        ("umbrella", "messages", "legacy", "default"),
    ):
        assert any(all(word in line for word in words) for line in shown.splitlines()), words
    assert any("script" in line and "share" in line for line in shown.splitlines())


def test_it_shows_the_published_figures_beside_the_measured_ones(ran):
    _, shown = ran
    published = "3 451   18 703   26 340   28 036   32 214   18 413"

    assert any(" ".join(published.split()) in " ".join(line.split()) for line in shown.splitlines())
    assert "all SIMULATED rows" in shown


def test_it_ends_with_the_verdict_and_its_reasons_labelled_simulated(ran):
    _, shown = ran

    assert "HOLD, on SIMULATED rows" in shown
    assert "- needs_time:" in shown
    assert "- time_scaled:" in shown


def test_the_verdict_afterwards_holds_for_time_and_scale_with_the_previews_n_per_arm(verdict):
    code, judged = verdict("--origin", "simulated")
    latency = next(finding for finding in judged["findings"] if finding["id"] == "AC-7")

    assert (code, judged["verdict"]) == (3, "HOLD")
    assert {"needs_time", "time_scaled"} <= set(judged["reasons"])
    assert latency["preview"]["candidate"]["n"] + latency["preview"]["control"]["n"] == 8


def test_eight_days_later_the_first_look_has_too_little(verdict):
    with freezegun.freeze_time(dt.datetime.now(dt.UTC) + dt.timedelta(days=8)):
        code, judged = verdict("--origin", "simulated")

    assert (code, judged["verdict"]) == (3, "HOLD")
    assert "thin_data" in judged["reasons"]
    assert "needs_time" not in judged["reasons"]


def test_no_simulated_row_counts_for_production(verdict):
    code, judged = verdict()
    latency = next(finding for finding in judged["findings"] if finding["id"] == "AC-7")

    assert (code, judged["verdict"]) == (3, "HOLD")
    assert {"not_registered", "no_data"} <= set(judged["reasons"])
    assert (latency["limit"], latency["baseline"]["n"]) == (42054, 36)


def test_a_second_run_adds_to_the_log_and_says_so(ran):
    shown = demo(ran[0])

    assert "20 simulated rows stay, this run adds to them" in shown
    assert "nothing has changed, nothing to do" in shown
