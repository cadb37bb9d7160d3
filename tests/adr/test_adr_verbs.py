"""`dispatcher adr lint`, `simulate`, `new`, `schema` and `pin`, as somebody types them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from freezegun import freeze_time
from sample_words import BASELINE_7

from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import new_log_id
from dispatcher.audit.tables import logs
from dispatcher.cli import run

pytestmark = pytest.mark.usefixtures("house")

TO_BE_PINNED = """source: production-telemetry
      from: own-log
      where: {feature: agent_research, status: success, tenant: script}
      window: [2026-04-09, 2026-05-09]
      treat_as: contract
"""

Told = Callable[[], str]


@pytest.fixture
def record(house: Path) -> Path:
    return next((house / "adrs").glob("KD-0650-*.md"))


@pytest.fixture
def rows(house: Path) -> None:
    """Rows of the window in the log: 20 times of 1 to 20 s, two of them failed."""
    engine = open_engine(f"sqlite:///{house}/.dispatcher/dispatcher.db")
    with engine.begin() as connection:
        connection.execute(sa.insert(logs), [log_row(place) for place in range(1, 21)])
    engine.dispose()


def log_row(place: int) -> dict[str, object]:
    import datetime as dt  # noqa: PLC0415 - for the moments of these rows

    moment = dt.datetime(2026, 4, place, 12, tzinfo=dt.UTC) + dt.timedelta(days=9)
    return {
        "log_id": new_log_id(), "dispatch_id": new_log_id(), "attempt": 1, "role": "served", "origin": "production",
        "time_scale": 1, "feature": "agent_research", "tenant": "script", "created_at": moment,
        "status": "error" if place in {5, 6} else "success", "response_time_ms": 1000 * place, "cost_nanousd": 0,
    }  # fmt: skip


def test_the_records_of_this_checkout_have_no_problems(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "lint"]) == 0

    out = capsys.readouterr().out
    assert "AC-7 (gate): passes within the horizon with a chance of 84 %" in out
    assert " records, 0 problems" in out
    assert not (house / ".dispatcher").exists()


def test_problems_have_their_lines_in_text_and_in_json(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record.write_text(record.read_text().replace("settle: 24h", "settle: 5m").replace("{legacy}", "{legacy"))
    line = next(i for i, text in enumerate(record.read_text().splitlines(), start=1) if "settle" in text)

    assert run(["adr", "lint", "KD-0650"]) == 2
    assert f"{record.name}: line {line}: settle is 0:05:00, below" in capsys.readouterr().out
    assert run(["adr", "lint", "KD-0650", "--json"]) == 2
    (found,) = json.loads(capsys.readouterr().out)["records"]
    assert [problem["line"] for problem in found["problems"]] == [line]
    assert {each["id"]: each["decidable"] for each in found["criteria"]} == {"AC-6": True, "AC-7": True, "AC-V": True}


def test_an_unreadable_record_is_one_of_the_problems(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record.write_text(record.read_text().replace("  - id: AC-7", "  - idd: AC-7"))

    assert run(["adr", "lint", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)["records"]
    problems = next(each["problems"] for each in found if each["file"] == record.name)
    assert {"criteria[1].id: is missing", "criteria[1].idd: is not a known key"} == {
        each["problem"] for each in problems
    }
    assert all(each["line"] for each in problems)


def test_a_log_that_cannot_be_read_is_said_and_the_rest_is_linted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", "postgresql+psycopg://root:secret@127.0.0.1:1/none")

    assert run(["adr", "lint", "KD-0650"]) == 0
    err = capsys.readouterr().err
    assert "warning: whether the log has production rows wasn't looked at" in err
    assert "secret" not in err


def test_simulate_shows_ours_beside_the_naive_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "simulate", "KD-0650", "--json"]) == 0

    done = json.loads(capsys.readouterr().out)
    at_limit = {each["id"]: next(row for row in each["rows"] if row["of_limit"] == 1) for each in done["criteria"]}
    assert all(row["pass"] <= 0.05 for row in at_limit.values())
    assert at_limit["AC-7"]["naive_pass"] > 0.84
    assert done["false_ship"] <= 0.05
    assert done["power_at_least"] >= 0.8
    assert done["weeks_to_decision"] <= 52


def test_simulate_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "simulate", "KD-0650"]) == 0

    out = capsys.readouterr().out
    assert "by exact recursion;" in out
    assert "The record: ships a path at a limit with at most 1.4 %" in out


def test_a_record_without_criteria_has_nothing_to_simulate(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "simulate", "0001"]) == 2
    assert "there is nothing to judge" in capsys.readouterr().err


def test_new_writes_a_record_that_lint_reads(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with freeze_time("2026-05-10"):
        dry = run(
            ["adr", "new", "Move to Haiku", "--prefix", "KD", "--candidate", "managed-haiku-4-5-cap8", "--dry-run"]
        )
        assert dry == 0
        assert not list((house / "adrs").glob("KD-0652*"))
        assert run(["adr", "new", "Move to Haiku", "--prefix", "KD", "--candidate", "managed-haiku-4-5-cap8"]) == 0
    capsys.readouterr()

    assert run(["adr", "lint", "KD-0652", "--json"]) == 2
    (found,) = json.loads(capsys.readouterr().out)["records"]
    assert found["file"] == "KD-0652-move-to-haiku.md"
    assert any("run `dispatcher adr pin KD-0652`" in each["problem"] for each in found["problems"])


def test_new_corrects_a_record_with_a_banner_and_leaves_its_text(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["adr", "new", "It was one prompt", "--id", "KD-0700", "--corrects", "KD-0650"]) == 0
    assert run(["adr", "lint", "KD-0650", "KD-0700"]) == 0

    path = next((house / "adrs").glob("KD-0650-*.md"))
    path.write_text(path.read_text().replace("2.7 ×", "0.1 ×"))
    capsys.readouterr()
    assert run(["adr", "lint", "KD-0700"]) == 2
    assert "whose text isn't the one that was corrected" in capsys.readouterr().out


def test_an_id_is_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "new", "Again", "--id", "KD-0650"]) == 2
    assert "is taken by KD-0650-migrate-research-to-managed-agents.md" in capsys.readouterr().err


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "schema", "front-matter"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["status"]


def test_pin_measures_and_writes_beside_the_record(
    house: Path, record: Path, rows: None, capsys: pytest.CaptureFixture[str]
) -> None:
    record.write_text(record.read_text().replace(BASELINE_7, TO_BE_PINNED))

    assert run(["adr", "pin", "KD-0650", "--dry-run", "--json"]) == 0
    (dry,) = json.loads(capsys.readouterr().out)
    assert (dry["value"], dry["n"], dry["dry_run"]) == ("20000", 18, True)
    assert "from: own-log\n" in record.read_text()
    assert "ranks:" not in record.read_text()
    assert run(["adr", "pin", "KD-0650"]) == 0
    out = capsys.readouterr().out
    assert "p95 of response_time_ms of script, from own-log" in out
    assert "trap success_filter: 2 of 20 rows failed" in out
    assert "so the limit is 1.5 × 20000 = 30000 ms" in out
    assert {"KD-0650-AC-7.pin.yml", "KD-0650-AC-7.ranks.csv"} <= {path.name for path in (house / "adrs").iterdir()}
    assert "      value: 20000\n      ranks: {file: KD-0650-AC-7.ranks.csv, sha256: " in record.read_text()


def test_pin_says_whether_the_source_still_has_what_is_pinned(
    house: Path, record: Path, rows: None, capsys: pytest.CaptureFixture[str]
) -> None:
    record.write_text(record.read_text().replace(BASELINE_7, TO_BE_PINNED))
    assert run(["adr", "pin", "KD-0650"]) == 0
    capsys.readouterr()

    assert run(["adr", "pin", "KD-0650", "--dry-run"]) == 0
    assert "  as it is pinned\n" in capsys.readouterr().out
    pinned = record.read_text()
    record.write_text(re.sub("sha256: [0-9a-f]{64}", f"sha256: {'0' * 64}", pinned))
    assert run(["adr", "pin", "KD-0650", "--dry-run"]) == 0
    assert "  not what is pinned: rows of the source came, went or changed\n" in capsys.readouterr().out


def test_after_the_pin_lint_asks_for_the_sentences(
    record: Path, rows: None, capsys: pytest.CaptureFixture[str]
) -> None:
    record.write_text(record.read_text().replace(BASELINE_7, TO_BE_PINNED))
    assert run(["adr", "pin", "KD-0650", "AC-7"]) == 0
    capsys.readouterr()

    assert run(["adr", "lint", "KD-0650"]) == 2
    out = capsys.readouterr().out
    assert "AC-7: says doesn't state the baseline's value 20000" in out
    assert "isn't measured yet" not in out


def test_the_published_baseline_is_refused(rows: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "pin", "KD-0650", "AC-7"]) == 2
    assert "its baseline is published: the figure is quoted" in capsys.readouterr().err
    assert run(["adr", "pin", "KD-0650"]) == 2
    assert "AC-7: published, so it is never run again" in capsys.readouterr().err


def test_a_source_whose_variable_is_not_set_is_said(
    house: Path, record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record.write_text(record.read_text().replace(BASELINE_7, TO_BE_PINNED))
    sources = house / "policies" / "sources.yml"
    sources.write_text(sources.read_text().replace("url: DISPATCHER_DATABASE_URL", "url: TRACKER_URL"))

    assert run(["adr", "pin", "KD-0650"]) == 2
    assert "the environment variable TRACKER_URL isn't set" in capsys.readouterr().err
