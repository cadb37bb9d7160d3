"""`dispatcher logs status` and `dispatcher logs drain`."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

sys.path.append(str(Path(__file__).parents[1] / "audit"))
from attempts import BEGAN, a_call, an_ending, an_opening

from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import new_log_id
from dispatcher.audit.spool import Spool
from dispatcher.audit.tables import log_gaps
from dispatcher.cli import run as run_verb
from dispatcher.settings import load_settings
from dispatcher.wiring.doors import log_spool


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.chdir(tmp_path)
    return log_spool(load_settings())


def run(*words: str) -> str:
    """What the verb prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run_verb(["logs", *words]) == 0
    return printed.getvalue()


def status() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("status", "--json"))
    return found


def test_the_status_before_anything_was_done_creates_nothing(spool: Spool, tmp_path: Path) -> None:
    found = status()
    assert found["database"]["reachable"] is False
    assert found["database"]["problem"] == "it isn't there yet"
    assert (found["spool"]["waiting"], found["spool"]["quarantined"], found["gaps"]["waiting"]) == (0, [], [])
    assert list(tmp_path.iterdir()) == []
    assert "it isn't there yet" in run("status")


def test_what_waits_is_said_and_drained(spool: Spool) -> None:
    opening, alone = an_opening(), new_log_id()
    spool.open(opening)
    spool.close(opening.log_id, an_ending(), [a_call()])
    spool.close(alone, an_ending(), [])
    spool.note_gap(feature="agent_research", origin="production", at=BEGAN, owner="me", reason="both were full")
    waiting = status()
    assert (waiting["spool"]["waiting"], waiting["gaps"]["waiting"][0]["dispatches"]) == (2, 1)
    assert json.loads(run("drain", "--dry-run", "--json")) == {"dry_run": True, "waiting": 2, "gaps": 1}
    assert status() == waiting

    drained = json.loads(run("drain", "--json"))
    assert (drained["landed"], drained["quarantined"], drained["gaps"], drained["left"]) == (1, 1, 1, 0)
    found = status()
    assert found["rows"] == {"success": 1}
    assert (found["spool"]["waiting"], found["spool"]["oldest"]) == (0, None)
    assert [one["log_id"] for one in found["spool"]["quarantined"]] == [alone]
    assert found["spool"]["quarantined"][0]["reason"].endswith("has no such row")
    assert found["gaps"] == {"recorded": 1, "dispatches": 1, "waiting": []}
    text = run("status")
    for words in ("success 1", f"set aside: row {alone}: ", "1 gaps: 1 dispatches have no row"):
        assert words in text


def test_what_was_set_aside_is_tried_again_when_it_is_asked_for(spool: Spool) -> None:
    opening = an_opening()
    spool.close(opening.log_id, an_ending(), [])
    run("drain")
    spool.open(opening)
    assert "1 attempts" in run("drain")
    assert json.loads(run("drain", "--quarantined", "--json"))["landed"] == 1
    assert status()["spool"]["quarantined"] == []
    assert status()["rows"] == {"success": 1}


def test_the_bounds_of_the_spool_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch, spool: Spool) -> None:
    monkeypatch.setenv("DISPATCHER_SPOOL_MAX_AGE_H", "0.5")
    monkeypatch.setenv("DISPATCHER_SPOOL_MAX_BYTES", "2000000")
    monkeypatch.setenv("DISPATCHER_SPOOL_DIR", "elsewhere")
    settings = load_settings()
    bounds = log_spool(settings).bounds
    assert (bounds.bytes, bounds.age) == (2_000_000, dt.timedelta(minutes=30))
    assert status()["spool"]["directory"] == str(Path("elsewhere").absolute())


def test_gaps_are_told_once_although_the_drain_was_cut_short(spool: Spool) -> None:
    """Sealed, the gap takes no more dispatches; the next one is another gap."""
    gap = {"feature": "agent_research", "origin": "production", "owner": "me", "reason": "both were full"}
    spool.note_gap(at=BEGAN, **gap)
    (sealed,) = spool.gaps(sealed=True)
    spool.note_gap(at=BEGAN + dt.timedelta(minutes=1), **gap)
    engine = open_engine(load_settings().database_url.get_secret_value())
    with engine.begin() as connection:
        connection.execute(sa.insert(log_gaps).values(gap_id=sealed.gap_id, **_values(sealed)))
    run("drain")
    with engine.connect() as connection:
        found = connection.execute(sa.select(log_gaps.c.dispatches, log_gaps.c.began_at)).all()
    engine.dispose()
    assert sorted(found) == [(1, BEGAN), (1, BEGAN + dt.timedelta(minutes=1))]


def _values(gap: Any) -> dict[str, Any]:
    return {name: getattr(gap, name) for name in gap.__slots__ if name != "gap_id"}


def test_a_drain_that_was_stopped_is_no_success(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    """Or a script would take the host away, and with it what still waits."""
    spool.open(an_opening())
    with spool.draining() as alone:
        assert alone
        assert run_verb(["logs", "drain"]) == 1
    assert "1 still wait: " in capsys.readouterr().out
    assert run_verb(["logs", "drain"]) == 0


def test_a_span_that_ends_before_it_begins_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    span = ["--since", "2026-01-02", "--until", "2026-01-02"]
    assert run_verb(["logs", "export", str(tmp_path / "out"), *span]) == 2
    assert list(tmp_path.iterdir()) == []
