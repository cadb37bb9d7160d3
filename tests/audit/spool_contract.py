"""What becomes of a spool's entries in every database; a test class inherits it and provides `engine`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from log_contract import OnDatabase, fields_of, rows

from dispatcher.action.observation import EndedBy, Status
from dispatcher.audit.log import Log
from dispatcher.audit.record import Kept, new_log_id
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spool_drain import MOST_AT_ONCE, Drain, Drained
from dispatcher.audit.tables import calls, conversations, log_gaps, logs

SESSION: dict[str, Any] = {"session_id": "sesn_1", "agent_id": "agent_1", "agent_version": 7}


class DrainContract(OnDatabase):
    @pytest.fixture
    def spool(self, tmp_path: Path) -> Iterator[Spool]:
        spool = Spool(tmp_path / "spool", "the database", Bounds(), lambda: BEGAN)
        yield spool
        spool.shutdown()

    @pytest.fixture
    def drain(self, spool: Spool, engine: sa.Engine) -> Iterator[Drain]:
        drain = Drain(spool, engine)
        yield drain
        drain.shutdown()

    async def test_an_attempt_that_waited_is_the_row_that_the_log_would_have_written(
        self, log: Log, spool: Spool, drain: Drain, engine: sa.Engine
    ) -> None:
        openings = [an_opening(dispatch_id="d") for _ in range(2)]
        ending, made = an_ending(), [a_call(), a_call(ordinal=2, request_id=None)]
        await log.open(openings[0])
        await log.close(openings[0].log_id, ending, made)
        spool.open(openings[1])
        spool.close(openings[1].log_id, ending, made)
        assert drain.run() == Drained(landed=1)
        direct, drained = (_told_of(engine, opening.log_id) for opening in openings)
        assert direct == drained
        assert len(drained) == 1 + len(made)
        assert spool.status().waiting == 0

    def test_arrival_is_told_by_the_clock_of_the_database(self, spool: Spool, drain: Drain, engine: sa.Engine) -> None:
        opened, ended = an_opening(), an_opening()
        spool.open(opened)
        spool.open(ended)
        spool.close(ended.log_id, an_ending(), [])
        drain.run()
        by_id = {row["log_id"]: row for row in rows(engine)}
        now, minute = dt.datetime.now(dt.UTC), dt.timedelta(minutes=1)
        arrivals = [by_id[opened.log_id]["recorded_at"]]
        arrivals += [by_id[ended.log_id][name] for name in ("recorded_at", "landed_at")]
        assert [moment for moment in arrivals if not now - minute < moment < now + minute] == []
        assert by_id[opened.log_id]["landed_at"] is None

    @pytest.mark.parametrize("ending_knows", [True, False])
    def test_an_attempt_in_three_parts_is_one_row(
        self, spool: Spool, drain: Drain, engine: sa.Engine, ending_knows: bool
    ) -> None:
        opening, ending = an_opening(), an_ending(**(SESSION if ending_knows else dict.fromkeys(SESSION)))
        spool.open(opening)
        spool.note_session(opening.log_id, *SESSION.values())
        spool.close(opening.log_id, ending, [])
        assert drain.run() == Drained(landed=1)
        expected = fields_of(opening) | fields_of(ending) | SESSION
        (row,) = rows(engine)
        assert expected == {name: row[name] for name in expected}

    def test_parts_that_come_one_after_the_other_are_one_row(
        self, spool: Spool, drain: Drain, engine: sa.Engine
    ) -> None:
        opening = an_opening()
        spool.open(opening)
        assert drain.run() == Drained(landed=1)
        spool.note_session(opening.log_id, *SESSION.values())
        assert drain.run() == Drained(landed=1)
        assert _only(engine, *SESSION, "status") == SESSION | {"status": "started"}
        spool.close(opening.log_id, an_ending(**SESSION), [a_call()])
        assert drain.run() == Drained(landed=1)
        assert (_only(engine, "status"), len(rows(engine, calls))) == ({"status": "success"}, 1)

    async def test_what_was_opened_in_the_database_is_ended_from_the_spool(
        self, log: Log, spool: Spool, drain: Drain, engine: sa.Engine
    ) -> None:
        """A conversation's turn and its content, too: the keys are the row's own."""
        opening = an_opening(conversation_id="c", turn=1)
        await log.open(opening)
        kept = Kept(turn="t", turn_expires_at=BEGAN + dt.timedelta(days=1), max_conversation_bytes=9)
        spool.note_session(opening.log_id, *SESSION.values())
        spool.close(opening.log_id, an_ending(**SESSION), [a_call()], kept)
        assert drain.run() == Drained(landed=1)
        assert _only(engine, *SESSION, "status") == SESSION | {"status": "success"}
        assert [(row["turn"], row["content"]) for row in rows(engine, conversations)] == [(1, "t")]

    @pytest.mark.parametrize("landed", ["opening", "opening and session", "all"])
    async def test_what_the_slow_database_took_after_all_is_not_doubled(
        self, log: Log, spool: Spool, drain: Drain, engine: sa.Engine, landed: str
    ) -> None:
        opening, ending = an_opening(), an_ending(**SESSION)
        await log.open(opening)
        if landed != "opening":
            await log.note_session(opening.log_id, *SESSION.values())
        if landed == "all":
            await log.close(opening.log_id, ending, [a_call()])
        spool.open(opening)
        spool.note_session(opening.log_id, *SESSION.values())
        spool.close(opening.log_id, ending, [a_call()])
        spool.open(an_opening())
        assert drain.run() == Drained(landed=2)
        assert sorted(row["status"] for row in rows(engine)) == ["started", "success"]
        assert len(rows(engine, calls)) == 1

    @pytest.mark.parametrize(
        ("other", "words"),
        [
            ({"opening": {"tenant": "acme"}}, "differs in tenant"),
            ({"ending": {"cost_nanousd": 1}}, "differs in cost_nanousd"),
            ({"ending": {"status": Status.ERROR, "ended_by": EndedBy.FAILURE}}, "differs in ended_by, status"),
            ({"calls": [a_call(cost_nanousd=1)]}, "differs in its calls"),
            ({"calls": []}, "differs in its calls"),
        ],
        ids=["opening", "cost", "status", "call", "no call"],
    )
    async def test_an_entry_that_contradicts_its_row_is_set_aside_and_the_row_stays(
        self, log: Log, spool: Spool, drain: Drain, engine: sa.Engine, other: dict[str, Any], words: str
    ) -> None:
        opening = an_opening()
        await log.open(opening)
        await log.close(opening.log_id, an_ending(), [a_call()])
        before = rows(engine), rows(engine, calls)
        spool.open(an_opening(**(fields_of(opening) | other.get("opening", {}))))
        spool.close(opening.log_id, an_ending(**other.get("ending", {})), other.get("calls", [a_call()]))
        assert drain.run() == Drained(quarantined=1)
        assert before == (rows(engine), rows(engine, calls))
        (aside,) = spool.quarantined()
        assert (aside.log_id, aside.reason.partition("has the row, and it ")[2]) == (opening.log_id, words)

    def test_an_ending_without_a_row_is_set_aside(self, spool: Spool, drain: Drain, engine: sa.Engine) -> None:
        spool.close(new_log_id(), an_ending(), [])
        assert drain.run() == Drained(quarantined=1)
        assert rows(engine) == []
        assert spool.quarantined()[0].reason.endswith("has no such row")

    def test_an_entry_that_the_database_cannot_take_stops_no_other_and_its_opening_is_a_row(
        self, spool: Spool, drain: Drain, engine: sa.Engine
    ) -> None:
        """Two calls of one ordinal are refused by every engine."""
        openings = [an_opening() for _ in range(3)]
        for place, opening in enumerate(openings):
            spool.open(opening)
            spool.close(opening.log_id, an_ending(), [a_call(), a_call(ordinal=1 if place == 1 else 2)])
        assert drain.run() == Drained(landed=2, quarantined=1)
        expected = {opening.log_id: "success" for opening in openings} | {openings[1].log_id: "started"}
        assert expected == {row["log_id"]: row["status"] for row in rows(engine)}
        assert [openings[1].log_id] == [aside.log_id for aside in spool.quarantined()]

    async def test_a_conflict_on_another_key_is_not_taken_for_the_row(
        self, log: Log, spool: Spool, drain: Drain, engine: sa.Engine
    ) -> None:
        """A fallback's turn that another row has: refused by the unique key of turns, not by that of ids."""
        turn = {"conversation_id": "c", "turn": 1, "attempt": 2}
        await log.open(an_opening(**turn))
        spool.open(an_opening(**turn))
        assert drain.run() == Drained(quarantined=1)
        assert len(rows(engine)) == 1
        assert "has no such row" not in spool.quarantined()[0].reason

    def test_more_than_fit_into_one_statement_all_land_once(
        self, spool: Spool, drain: Drain, engine: sa.Engine
    ) -> None:
        ids = [new_log_id() for _ in range(MOST_AT_ONCE + 3)]
        assert not any(spool.take([spool.opening(an_opening(log_id=log_id)) for log_id in ids]))
        assert drain.run() == Drained(landed=len(ids))
        assert sorted(ids) == [row["log_id"] for row in rows(engine)]
        assert drain.run() == Drained()

    async def test_among_many_what_is_there_is_compared_what_is_unfit_is_set_aside_and_all_else_lands(
        self, log: Log, spool: Spool, drain: Drain, engine: sa.Engine
    ) -> None:
        """Rows that were written by a drain that was killed, rows that say something else, and what no row can be."""
        openings = [an_opening() for _ in range(23)]
        there, contradicted, unfit = openings[3:9], openings[11], openings[17]
        for opening in [*there, contradicted]:
            await log.open(opening)
            await log.close(opening.log_id, an_ending(cost_nanousd=1 if opening is contradicted else 7), [a_call()])
        for opening in openings:
            spool.open(opening)
            made = [a_call(), a_call()] if opening is unfit else [a_call()]
            spool.close(opening.log_id, an_ending(cost_nanousd=7), made)
        assert drain.run() == Drained(landed=21, quarantined=2)
        assert {contradicted.log_id, unfit.log_id} == {aside.log_id for aside in spool.quarantined()}
        found = {row["log_id"]: (row["status"], row["cost_nanousd"]) for row in rows(engine)}
        expected = {opening.log_id: ("success", 7) for opening in openings}
        expected |= {contradicted.log_id: ("success", 1), unfit.log_id: ("started", None)}
        assert expected == found
        assert sorted(expected.keys() - {unfit.log_id}) == [call["log_id"] for call in rows(engine, calls)]

    def test_rows_wait_for_no_gap_that_the_database_refuses(
        self, spool: Spool, drain: Drain, engine: sa.Engine
    ) -> None:
        spool.prepare()
        spool.note_gap(feature="agent_research", origin="production", at=BEGAN, owner="host", reason="no disk")
        spool.open(an_opening())
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {log_gaps.name} RENAME TO elsewhere")
        drained = drain.run()
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE elsewhere RENAME TO {log_gaps.name}")
        assert (drained.landed, drained.gaps, drained.left) == (1, 0, 0)
        assert log_gaps.name in str(drained.stopped)
        assert drain.run() == Drained(gaps=1)
        assert (len(rows(engine)), len(rows(engine, log_gaps))) == (1, 1)

    def test_an_attempt_set_aside_in_two_parts_is_one_row_when_it_is_tried_again(
        self, spool: Spool, drain: Drain, engine: sa.Engine
    ) -> None:
        """Its opening was set aside, so its ending had no row either."""
        opening = an_opening()
        spool.open(opening)
        (entry,) = spool.waiting(1)
        spool.quarantine(entry, "of old")
        spool.close(opening.log_id, an_ending(), [a_call()])
        assert drain.run() == Drained(quarantined=1)
        spool.retry_quarantined()
        assert (spool.status().waiting, spool.status().quarantined) == (1, 0)
        assert drain.run() == Drained(landed=1)
        assert (_only(engine, "status"), len(rows(engine, calls))) == ({"status": "success"}, 1)

    def test_what_the_database_refuses_for_a_reason_of_its_own_stays_in_its_order(
        self, spool: Spool, drain: Drain, engine: sa.Engine
    ) -> None:
        openings = [an_opening() for _ in range(3)]
        for opening in openings:
            spool.open(opening)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE ai_outbound_logs RENAME TO elsewhere")
        for _ in range(4):
            drained = drain.run()
            assert (drained.landed, drained.quarantined, drained.left) == (0, 0, 3)
            assert "ai_outbound_logs" in str(drained.stopped)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO ai_outbound_logs")
        assert drain.run() == Drained(landed=3)
        assert len(rows(engine)) == 3


def _only(engine: sa.Engine, *names: str) -> dict[str, Any]:
    (row,) = rows(engine)
    return {name: row[name] for name in names}


def _told_of(engine: sa.Engine, log_id: str) -> list[dict[str, Any]]:
    """A row and its calls, but for the id and what the clock of the database says."""
    found = [row for table in (logs, calls) for row in rows(engine, table) if row["log_id"] == log_id]
    own = {"log_id", "recorded_at", "landed_at"}
    return [{name: value for name, value in row.items() if name not in own} for row in found]
