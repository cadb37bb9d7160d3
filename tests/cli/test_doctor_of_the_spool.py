"""`dispatcher doctor` says what waits on this host, what was set aside or refused, and which gaps nobody knows of."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "audit"))
from attempts import an_ending, an_opening

from dispatcher.audit.record import new_log_id
from dispatcher.audit.spool import Spool
from dispatcher.cli import run
from dispatcher.cli.doctor_checks import check_spool
from dispatcher.errors import LogUnavailable
from dispatcher.settings import load_settings
from dispatcher.wiring.doors import log_spool

ROOT = Path(__file__).parents[2]
Doctor = Callable[[], tuple[int, dict[str, dict[str, str]]]]


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    monkeypatch.setenv("DISPATCHER_SPOOL_MAX_BYTES", str(1 << 20))
    monkeypatch.chdir(tmp_path)
    return log_spool(load_settings())


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    def ask() -> tuple[int, dict[str, dict[str, str]]]:
        capsys.readouterr()
        code = run(["doctor", "--json"])
        return code, {check["subject"]: check for check in json.loads(capsys.readouterr().out)}

    return ask


def test_what_waits_is_a_warning_with_the_age_of_the_oldest(spool: Spool, doctor: Doctor) -> None:
    spool.open(an_opening())
    code, checks = doctor()
    assert (code, checks["spool"]["outcome"]) == (0, "warn")
    assert "1 rows wait, the oldest for 0 min" in checks["spool"]["finding"]
    later = {hours: next(check_spool(load_settings(), now_and(hours))) for hours in (5, 169)}
    assert ("the oldest for 5 h" in later[5].finding, later[5].outcome) == (True, "warn")
    assert ("it takes no more" in later[169].finding, later[169].outcome) == (True, "fail")


def test_what_was_set_aside_fails_as_the_log_will_never_have_it(spool: Spool, doctor: Doctor) -> None:
    spool.close(new_log_id(), an_ending(), [])
    assert run(["logs", "drain"]) == 0
    code, checks = doctor()
    assert (code, checks["spool"]["outcome"]) == (1, "fail")
    assert "0 rows wait, 1 are set aside" in checks["spool"]["finding"]
    assert "dispatcher logs status" in checks["spool"]["fix"]


def test_what_was_refused_is_said_when_nothing_waits_any_more(spool: Spool, doctor: Doctor) -> None:
    with contextlib.suppress(LogUnavailable):
        while True:
            spool.open(an_opening(repository="r" * 1_000))
    assert "it takes no more" in doctor()[1]["spool"]["finding"]
    assert run(["logs", "drain"]) == 0
    code, checks = doctor()
    assert (code, checks["spool"]["outcome"]) == (0, "warn")
    assert "0 rows wait, 0 are set aside, 1 were refused" in checks["spool"]["finding"]


def test_a_gap_that_the_database_does_not_know_of_fails_until_it_is_drained(spool: Spool, doctor: Doctor) -> None:
    at = dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)
    spool.note_gap(feature="agent_research", origin="production", at=at, owner="me", reason="both were full")
    code, checks = doctor()
    assert (code, checks["gaps"]["outcome"]) == (1, "fail")
    assert checks["gaps"]["finding"].startswith("1 dispatches since 2026-01-02 03:04 UTC have no row")
    assert run(["logs", "drain"]) == 0
    assert doctor()[1]["gaps"]["outcome"] == "ok"


def now_and(hours: int) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
