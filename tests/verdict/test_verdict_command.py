"""`dispatcher verdict` as it is typed: documents, exit codes, errors."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from freezegun import freeze_time
from verdict_worlds import COST, DAY, HASHES, LEGACY, MANAGED, P95, START, VALID, World, block

from dispatcher.adr.reader import find_record
from dispatcher.audit.record import Origin
from dispatcher.audit.registrations import Registration, append_registration
from dispatcher.cli import run

PROJECT = Path(__file__).parents[2]
NOW = START + 8 * DAY


@pytest.fixture
def adrs(tmp_path: Path) -> Path:
    directory = tmp_path / "adrs"
    directory.mkdir()
    return directory


@pytest.fixture
def typed(
    adrs: Path, database: Path, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Runs one command line at NOW on an empty log; returns its exit code, output and errors."""
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{database}")
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(adrs))

    def command(*arguments: str, at: dt.datetime = NOW) -> tuple[int, str, str]:
        with freeze_time(at):
            code = run(["verdict", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def write(adrs: Path, name: str, *criteria: dict[str, Any], status: str = "accepted", **others: str) -> None:
    acceptance = json.loads(
        block(*criteria, **{"on_rollback": "report"} | others).model_dump_json(by_alias=True, exclude_defaults=True)
    )
    acceptance |= {"criteria": list(criteria), "tenants": {"script": 1}, "max_unknown_share": 0.02}
    acceptance["traffic"] = {"dispatches_per_month": 36, "dispatches_per_conversation": 1}
    acceptance["looks"] |= {"alpha": 0.05, "settle": "24h"}
    acceptance["unit"]["window"] = "0d"
    acceptance["assignment"]["share"] = 0.67
    text = f"""---
id: {name}
title: A record
status: {status}
date: 2026-05-30
deciders: [someone]
---

# A record

## Confirmation

```yaml acceptance
{yaml.safe_dump(acceptance, allow_unicode=True)}```
"""
    (adrs / f"{name}-a-record.md").write_text(text)


def register(world: World, adrs: Path, name: str, origin: Origin = Origin.PRODUCTION) -> None:
    acceptance = find_record(adrs, name).acceptance
    assert acceptance is not None
    registration = Registration(
        record=name,
        origin=origin,
        epoch=1,
        start=START,
        candidate_hash=HASHES[MANAGED],
        record_hash=acceptance.hash,
        block=acceptance.canonical,
    )
    assert append_registration(world.engine, registration)


SLOW = P95 | {"at_most": {"value": 10_000}, "baseline": {"source": "own-target"}}
RECORDS = {
    "AA-0001": (P95,),
    "AA-0002": (SLOW,),
    "AA-0003": (COST, P95, VALID | {"severity": "gate", "at_least": {"value": 0.99}}),
    "AA-0004": (P95,),
}


@pytest.fixture
def four_records(world: World, adrs: Path) -> None:
    """One of each outcome, SHIP, ROLLBACK, HOLD, INVALID, over the same healthy rows; the last was edited."""
    for name, criteria in RECORDS.items():
        write(adrs, name, *criteria)
        register(world, adrs, name)
    write(adrs, "AA-0004", SLOW)
    world.rows(100)
    world.rows(60, LEGACY)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["AA-0001"], 0),
        (["AA-0002"], 1),
        (["AA-0003"], 3),
        (["AA-0004"], 4),
        (["AA-0001", "AA-0003"], 3),
        (["AA-0003", "AA-0002", "AA-0001"], 1),
        (["AA-0002", "AA-0004"], 4),
        ([], 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_gate_exits_by_the_verdict_and_of_several_by_precedence(
    four_records: None, typed: Any, names: list[str], code: int
) -> None:
    assert typed(*names, "--gate")[0] == code
    assert typed(*names)[0] == 0


def test_several_records_are_one_list_and_one_is_an_object(four_records: None, typed: Any) -> None:
    several, one = json.loads(typed("--json")[1]), json.loads(typed("AA-0002", "--json")[1])

    assert [each["verdict"] for each in several] == ["SHIP", "ROLLBACK", "HOLD", "INVALID"]
    assert one == several[1]


def test_an_unreadable_record_among_others_fails_the_gate_and_the_others_are_reported(
    four_records: None, adrs: Path, typed: Any
) -> None:
    (adrs / "AA-0009-broken.md").write_text("nothing\n")
    code, out, err = typed("AA-0001", "--gate")[0], *typed("--gate")[1:]

    assert code == 0
    assert typed("--gate")[0] == 2
    assert out.count("# AA-000") == 4
    assert "AA-0009-broken.md" in err


def test_closed_records_and_records_without_criteria_are_no_open_ones(world: World, adrs: Path, typed: Any) -> None:
    write(adrs, "AA-0001", P95, status="rejected")
    code, out, err = typed("--gate")

    assert (code, out) == (2, "")
    assert "no open record with criteria" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["AA-0099"], "the readable ones are: AA-0001"),
        (["AA-0001", "--as-of", "2026-06-30T00:00:00Z"], "lies in the future"),
        (["AA-0001", "--as-of", "2026-06-05T00:00:00"], "has no time zone"),
        (["AA-0001", "--as-of", "yesterday"], "is not a moment"),
        (["AA-0001", "--as-of", "0001-01-01T00:00:00+23:00"], "is not a moment"),
        (["AA-0001", "--origin", "elsewhere"], "is not one of"),
    ],
)
def test_bad_usage_is_one_clear_error(adrs: Path, typed: Any, arguments: list[str], message: str) -> None:
    write(adrs, "AA-0001", P95)
    code, out, err = typed(*arguments, "--gate")

    assert (code, out) == (2, "")
    assert message in err


def test_a_moment_in_any_zone_is_the_same_moment(four_records: None, typed: Any) -> None:
    one = typed("AA-0001", "--json", "--as-of", "2026-06-09T08:00:00Z")[1]
    other = typed("AA-0001", "--json", "--as-of", "2026-06-09T10:00:00+02:00")[1]

    assert one == other
    assert json.loads(one)["as_of"] == "2026-06-09T08:00:00+00:00"


def test_an_unreachable_database_exits_5(adrs: Path, typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write(adrs, "AA-0001", P95)
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", "sqlite:////proc/none/log.db")

    assert typed("AA-0001", "--gate")[0] == 5


def test_before_any_registration_the_sample_record_is_held_with_its_limit_and_its_baseline(
    typed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(PROJECT / "adrs"))
    code, out, _ = typed("KD-0650", "--json", "--gate")
    document = json.loads(out)
    p95 = next(finding for finding in document["findings"] if finding["id"] == "AC-7")

    assert (code, document["verdict"], document["start"]) == (3, "HOLD", None)
    assert {"not_registered", "no_data"} <= set(document["reasons"])
    assert (p95["limit"], p95["baseline"]["n"]) == (42_054, 36)


def test_simulated_rows_of_the_sample_record_need_time_first_and_are_thin_eight_days_later(
    world: World, typed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(PROJECT / "adrs"))
    register(world, PROJECT / "adrs", "KD-0650", Origin.SIMULATED)
    changed: dict[str, Any] = {"origin": "simulated", "time_scale": 0.02, "ms": 400}
    world.rows(24, **changed)
    world.rows(12, LEGACY, **changed)
    arguments = ("KD-0650", "--origin", "simulated", "--json", "--gate")
    code, out, _ = typed(*arguments, at=START + DAY)
    later_code, later_out, _ = typed(*arguments)
    now, later = json.loads(out), json.loads(later_out)

    assert (code, now["reasons"]) == (3, ["needs_time", "time_scaled"])
    assert [(f["preview"]["candidate"]["n"], f["preview"]["control"]["n"]) for f in now["findings"]] == [(24, 12)] * 3
    assert (later_code, later["reasons"]) == (3, ["thin_data", "time_scaled"])
    assert "SIMULATED" in now["title"]


@pytest.fixture
def weekly(tmp_path: Path) -> Any:
    """Runs the weekly script in a checkout whose program only says what it was asked, and exits 3."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(PROJECT / "scripts" / "weekly_verdict", tmp_path / "scripts")
    program = tmp_path / ".venv" / "bin" / "dispatcher"
    program.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    program.chmod(0o755)

    def script(*arguments: str, install: str = "exit 0") -> tuple[int, str]:
        installer = tmp_path / "scripts" / "install"
        installer.write_text(f"#!/bin/sh\n{install}\n")
        installer.chmod(0o755)
        command = [tmp_path / "scripts" / "weekly_verdict", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip()

    return script


def test_the_weekly_script_gates_unless_it_only_reports_and_passes_options_on(weekly: Any) -> None:
    kept = "--append --reports reports"

    assert weekly() == (3, f"verdict --gate {kept}")
    assert weekly("--json", "KD-0650") == (3, f"verdict --gate {kept} --json KD-0650")
    assert weekly("--json", "--report-only") == (3, f"verdict {kept} --json")


def test_the_weekly_script_tells_a_chat_where_one_is_named(weekly: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_WEBHOOK_URL", "https://chat.example/services/x")

    assert weekly() == (3, "verdict --gate --append --reports reports --notify")


def test_a_failed_installation_is_no_rollback(weekly: Any) -> None:
    assert weekly(install="exit 1") == (70, "")
