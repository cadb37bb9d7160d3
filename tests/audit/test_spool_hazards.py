"""What a spool must survive that nobody planned: two databases, a full disk, a database that comes and goes."""

from __future__ import annotations

import datetime as dt
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from attempts import BEGAN, an_ending, an_opening
from log_contract import rows
from outages import refusing

from dispatcher.audit.gap_file import GapFile
from dispatcher.audit.lock_file import SpoolTrouble
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spool_drain import Drain
from dispatcher.audit.tables import log_gaps
from dispatcher.errors import LogUnavailable

FOR_ANOTHER = "what waits in it is for database {}; drain it with that DISPATCHER_DATABASE_URL"
A_GAP = {"feature": "agent_research", "at": BEGAN, "owner": "host", "reason": "no disk"}


@pytest.fixture
def spool_for(tmp_path: Path) -> Iterator[Callable[[str], Spool]]:
    """The one spool directory of the host, for a process with a database."""
    spools = []

    def spool_for(name: str) -> Spool:
        spools.append(Spool(tmp_path / "spool", f"database {name}", Bounds(), lambda: BEGAN))
        spools[-1].prepare()
        return spools[-1]

    yield spool_for
    for spool in spools:
        spool.shutdown()


@pytest.fixture
def drain_of(engine: sa.Engine) -> Iterator[Callable[[Spool], Drain]]:
    drains = []

    def drain_of(spool: Spool) -> Drain:
        drains.append(Drain(spool, engine))
        return drains[-1]

    yield drain_of
    for drain in drains:
        drain.shutdown()


def test_what_waits_for_one_database_never_becomes_a_row_of_another_that_shares_the_directory(
    spool_for: Callable[[str], Spool], drain_of: Callable[[Spool], Drain], engine: sa.Engine
) -> None:
    """Both processes have the file open before anything waits in it."""
    theirs, ours = spool_for("a"), spool_for("b")
    opening = an_opening()
    theirs.open(opening)
    with pytest.raises(LogUnavailable, match=FOR_ANOTHER.format("a")):
        drain_of(ours).run()
    with pytest.raises(LogUnavailable, match=FOR_ANOTHER.format("a")):
        ours.open(an_opening())
    assert rows(engine) == []
    assert drain_of(theirs).run().landed == 1
    assert [opening.log_id] == [row["log_id"] for row in rows(engine)]
    ours.open(an_opening())
    assert ours.status().waiting == 1


def test_a_gap_of_one_database_is_not_told_to_another(
    spool_for: Callable[[str], Spool], drain_of: Callable[[Spool], Drain], engine: sa.Engine
) -> None:
    ours = spool_for("b")
    theirs = spool_for("a")
    theirs.note_gap(origin="production", **A_GAP)
    with pytest.raises(LogUnavailable, match=FOR_ANOTHER.format("a")):
        drain_of(ours).run()
    assert rows(engine, log_gaps) == []
    assert drain_of(theirs).run().gaps == 1


def test_a_gap_survives_a_disk_that_took_only_a_part_of_its_file(tmp_path: Path) -> None:
    gaps = GapFile(tmp_path / "gaps")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    try:
        with pytest.raises(SpoolTrouble, match="it can't be made as large as it must be; free some space"):
            gaps.prepare()
        with pytest.raises((SpoolTrouble, OSError)):
            gaps.note(origin="production", **A_GAP)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    gaps.note(origin="production", **A_GAP)
    with (tmp_path / "gaps").open("r+b") as file:
        file.truncate(65536)
    gaps.note(origin="simulated", **A_GAP)
    assert [gap.origin for gap in gaps.waiting()] == ["production", "simulated"]


def test_an_entry_that_waited_through_an_outage_is_not_set_aside_when_the_database_goes_again(
    spool_for: Callable[[str], Spool], drain_of: Callable[[Spool], Drain], engine: sa.Engine
) -> None:
    """However often it was refused, and although others landed in the same round."""
    spool = spool_for("a")
    drain, waited = drain_of(spool), an_opening()
    spool.open(waited)
    with refusing(engine):
        assert [drain.run().quarantined for _ in range(4)] == [0] * 4
    fresh = an_opening()
    spool.open(fresh)
    round_ = drain.batches()
    assert next(round_).landed == 1
    with refusing(engine):
        *_, done = round_
    assert (done.landed, done.quarantined, done.left) == (1, 0, 1)
    spool.close(waited.log_id, an_ending(finished_at=BEGAN + dt.timedelta(seconds=1)), [])
    assert drain.run().landed == 1
    assert {fresh.log_id: "started", waited.log_id: "success"} == {row["log_id"]: row["status"] for row in rows(engine)}


def test_whether_there_is_a_spool_is_no_question_that_breaks_a_start(tmp_path: Path) -> None:
    spool = Spool(tmp_path / ("x" * 300), "database a", Bounds(), lambda: BEGAN)
    with pytest.raises(LogUnavailable, match="the spool can't be opened"):
        spool.was_prepared()
