"""What every database must keep of the log's promises; a test class inherits it and provides `engine`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from freezegun import freeze_time

from dispatcher.action.observation import Call, EndedBy, Status, Usage
from dispatcher.audit.log import Log
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Origin, Role, new_log_id
from dispatcher.audit.sweeper import Sweeper
from dispatcher.audit.swept import SweptEnding
from dispatcher.audit.tables import calls, logs
from dispatcher.errors import ConversationBusy, LogUnavailable


def rows(engine: sa.Engine, table: sa.Table = logs) -> list[dict[str, Any]]:
    """All rows, as a connection that isn't the log's sees them."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()]


def fields_of(value: AttemptOpening | AttemptEnding | Usage) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


class OnDatabase:
    """A log on a database that the inheriting class names."""

    @pytest.fixture
    def engine(self) -> Iterator[sa.Engine]:
        raise NotImplementedError("the inheriting class names the database")

    @pytest.fixture
    def log(self, engine: sa.Engine) -> Iterator[Log]:
        log = Log(engine)
        yield log
        log.shutdown()


class LogContract(OnDatabase):
    async def test_an_opened_row_is_committed_when_open_returns(self, log: Log, engine: sa.Engine) -> None:
        opening = an_opening()
        await log.open(opening)
        (row,) = rows(engine)
        assert fields_of(opening) == {name: row[name] for name in fields_of(opening)}
        assert row["status"] == "started"
        others = set(row) - set(fields_of(opening)) - {"status", "recorded_at"}
        assert dict.fromkeys(others) == {name: row[name] for name in others}

    async def test_a_closed_row_holds_its_ending_beside_its_opening(self, log: Log, engine: sa.Engine) -> None:
        opening, ending = an_opening(), an_ending()
        await log.open(opening)
        await log.close(opening.log_id, ending, [])
        (row,) = rows(engine)
        expected = fields_of(opening) | fields_of(ending)
        assert expected == {name: row[name] for name in expected}
        assert row["swept_at"] is None

    async def test_the_calls_land_with_the_ending(self, log: Log, engine: sa.Engine) -> None:
        opening = an_opening()
        usage = Usage(
            input_tokens=1,
            output_tokens=2,
            cache_read_input_tokens=3,
            cache_creation_input_tokens=9,
            cache_creation_5m_input_tokens=4,
            cache_creation_1h_input_tokens=5,
        )
        made = [a_call(usage=usage), a_call(ordinal=2, request_id=None, prompt_fingerprint="beef")]
        await log.open(opening)
        await log.close(opening.log_id, an_ending(), made)
        assert [_as_row(opening.log_id, call) for call in made] == rows(engine, calls)

    async def test_texts_of_any_alphabet_come_back_as_they_went_in(self, log: Log, engine: sa.Engine) -> None:
        texts = {"tenant": "Ünïon ✓ 𝄞", "project": "研究", "actor": "'; DROP TABLE -- %s %(x)s \\ \""}
        opening = an_opening(**texts)
        await log.open(opening)
        await log.close(opening.log_id, an_ending(stop_reason="été ✓"), [a_call(stop_reason="fin ✓")])
        assert texts | {"stop_reason": "été ✓"} == _only(rows(engine), *texts, "stop_reason")
        assert _only(rows(engine, calls), "stop_reason") == {"stop_reason": "fin ✓"}

    async def test_unknown_stays_null_and_zero_stays_zero(self, log: Log, engine: sa.Engine) -> None:
        unknown, nothing = an_opening(), an_opening()
        nullable = [f.name for f in dataclasses.fields(AttemptEnding) if f.type == "int | None"]
        for opening, value in ((unknown, None), (nothing, 0)):
            await log.open(opening)
            usage = Usage(**dict.fromkeys(fields_of(Usage()), value))
            call = a_call(usage=usage, cost_nanousd=value, latency_ms=value)
            await log.close(opening.log_id, an_ending(**dict.fromkeys(nullable, value)), [call])
        by_id = {row["log_id"]: row for row in rows(engine)}
        assert {None} == {by_id[unknown.log_id][name] for name in nullable}
        assert [0] * len(nullable) == [by_id[nothing.log_id][name] for name in nullable]
        figures = {row["log_id"]: (row["cost_nanousd"], row["input_tokens"]) for row in rows(engine, calls)}
        assert figures == {unknown.log_id: (None, None), nothing.log_id: (0, 0)}

    async def test_an_ended_row_never_changes(self, log: Log, engine: sa.Engine) -> None:
        opening = an_opening()
        await log.open(opening)
        await log.close(opening.log_id, an_ending(), [a_call()])
        before = rows(engine), rows(engine, calls)
        late = an_ending(status=Status.ERROR, ended_by=EndedBy.FAILURE, cost_nanousd=1)
        await log.close(opening.log_id, late, [a_call(), a_call(ordinal=2)])
        assert before == (rows(engine), rows(engine, calls))

    async def test_a_noted_session_is_committed_and_an_ending_that_does_not_know_it_keeps_it(
        self, log: Log, engine: sa.Engine
    ) -> None:
        opening = an_opening()
        await log.open(opening)
        await log.note_session(opening.log_id, "sesn_1", "agent_1", 7)
        noted = {"session_id": "sesn_1", "agent_id": "agent_1", "agent_version": 7}
        assert noted | {"status": "started"} == _only(rows(engine), *noted, "status")
        await log.close(opening.log_id, an_ending(**dict.fromkeys(noted)), [])
        assert noted | {"status": "success"} == _only(rows(engine), *noted, "status")

    async def test_an_ended_row_takes_no_session(self, log: Log, engine: sa.Engine) -> None:
        opening = an_opening()
        await log.open(opening)
        await log.close(opening.log_id, an_ending(session_id=None), [])
        with pytest.raises(LogUnavailable, match="no such row is open"):
            await log.note_session(opening.log_id, "sesn_1", "agent_1", 7)
        assert _only(rows(engine), "session_id") == {"session_id": None}

    async def test_ending_a_row_that_is_not_there_is_an_error(self, log: Log, engine: sa.Engine) -> None:
        log_id = new_log_id()
        with pytest.raises(LogUnavailable, match=f"can't end row {log_id}: .* has no such row"):
            await log.close(log_id, an_ending(), [a_call()])
        assert (rows(engine), rows(engine, calls)) == ([], [])

    async def test_opening_the_same_row_again_changes_nothing(self, log: Log, engine: sa.Engine) -> None:
        opening = an_opening(conversation_id="c", turn=1)
        await log.open(opening)
        before = rows(engine)
        await log.open(opening)
        assert before == rows(engine)

    async def test_an_id_belongs_to_one_dispatch(self, log: Log, engine: sa.Engine) -> None:
        opening = an_opening()
        await log.open(opening)
        with pytest.raises(LogUnavailable, match="nothing was sent to the provider"):
            await log.open(an_opening(log_id=opening.log_id))
        assert {"dispatch_id": opening.dispatch_id} == _only(rows(engine), "dispatch_id")

    async def test_a_turn_of_a_conversation_belongs_to_one_action(self, log: Log, engine: sa.Engine) -> None:
        await log.open(an_opening(conversation_id="c", turn=2))
        with pytest.raises(ConversationBusy, match=r"conversation 'c' of tenant 'script': another .* begun turn 2;"):
            await log.open(an_opening(conversation_id="c", turn=2))
        assert len(rows(engine)) == 1

    @pytest.mark.parametrize(
        "other",
        [
            {"tenant": "acme"},
            {"tenant": "Script"},
            {"feature": "agent_review"},
            {"conversation_id": "d"},
            {"conversation_id": "C"},
            {"turn": 2},
            {"attempt": 2, "role": Role.FALLBACK},
            {"conversation_id": None, "turn": None},
        ],
        ids=",".join,
    )
    async def test_what_is_not_the_same_turn_is_not_refused(
        self, log: Log, engine: sa.Engine, other: dict[str, Any]
    ) -> None:
        await log.open(an_opening(conversation_id="c", turn=1))
        await log.open(an_opening(**({"conversation_id": "c", "turn": 1} | other)))
        assert len(rows(engine)) == 2

    async def test_one_of_several_that_race_for_a_turn_wins(self, engine: sa.Engine) -> None:
        rivals = [Log(engine) for _ in range(4)]
        turns = [rival.open(an_opening(conversation_id="c", turn=1)) for rival in rivals for _ in range(2)]
        outcomes = await asyncio.gather(*turns, return_exceptions=True)
        for rival in rivals:
            rival.shutdown()
        assert [ConversationBusy] * 7 == [type(outcome) for outcome in outcomes if outcome is not None]
        assert len(rows(engine)) == 1

    async def test_64_concurrent_dispatches_lose_and_double_nothing(self, log: Log, engine: sa.Engine) -> None:
        async def attempt(number: int) -> str:
            opening = an_opening(conversation_id=f"c{number}", turn=1)
            await log.open(opening)
            made = [a_call(ordinal=ordinal, cost_nanousd=number) for ordinal in (1, 2, 3)]
            await log.close(opening.log_id, an_ending(cost_nanousd=number), made)
            return opening.log_id

        ids = await asyncio.gather(*(attempt(number) for number in range(64)))
        found = {row["log_id"]: (row["status"], row["cost_nanousd"]) for row in rows(engine)}
        assert {log_id: ("success", number) for number, log_id in enumerate(ids)} == found
        made = sorted((row["log_id"], row["ordinal"], row["cost_nanousd"]) for row in rows(engine, calls))
        assert sorted((log_id, o, number) for number, log_id in enumerate(ids) for o in (1, 2, 3)) == made

    async def test_arrival_is_told_by_the_clock_of_the_database(self, log: Log, engine: sa.Engine) -> None:
        with freeze_time("2001-01-01", real_asyncio=True):
            opening = an_opening()
            await log.open(opening)
            await log.close(opening.log_id, an_ending(), [])
        arrivals = _only(rows(engine), "recorded_at", "landed_at")
        now = dt.datetime.now(dt.UTC)
        for moment in arrivals.values():
            assert now - dt.timedelta(minutes=1) < moment < now + dt.timedelta(minutes=1)
        assert arrivals["recorded_at"] <= arrivals["landed_at"]

    async def test_a_host_whose_clock_goes_back_loses_nothing(self, log: Log, engine: sa.Engine) -> None:
        """Not between two rows, of which one may even be a turn that follows, nor between a row and its ending."""
        for turn, back in enumerate((0, 3600), start=1):
            began = BEGAN - dt.timedelta(seconds=back)
            opening = an_opening(conversation_id="c", turn=turn, created_at=began)
            await log.open(opening)
            await log.close(opening.log_id, an_ending(finished_at=began - dt.timedelta(hours=2)), [a_call()])
        found = [(row["turn"], row["created_at"], row["finished_at"]) for row in rows(engine)]
        earlier = BEGAN - dt.timedelta(hours=1)
        assert sorted(found) == [
            *((1, BEGAN, BEGAN - dt.timedelta(hours=2)), (2, earlier, earlier - dt.timedelta(hours=2))),
        ]
        so_far = await log.conversation("script", "agent_research", "c", origin=Origin.PRODUCTION, now=earlier)
        assert (so_far.turn, so_far.answered) == (2, (1, 2))

    async def test_a_broken_connection_is_replaced(self, log: Log, engine: sa.Engine) -> None:
        opening = an_opening()
        await log.open(opening)
        break_connections(log)
        await log.close(opening.log_id, an_ending(), [a_call()])
        break_connections(log)
        await log.open(an_opening())
        assert sorted(row["status"] for row in rows(engine)) == ["started", "success"]
        assert len(rows(engine, calls)) == 1

    async def test_a_log_whose_connection_broke_shuts_down(self, engine: sa.Engine) -> None:
        log = Log(engine)
        await log.open(an_opening())
        break_connections(log)
        log.shutdown()
        assert len(rows(engine)) == 1

    async def test_shutdown_waits_for_what_was_asked_and_then_refuses(self, engine: sa.Engine) -> None:
        log = Log(engine)
        asked = [asyncio.ensure_future(log.open(an_opening())) for _ in range(16)]
        await asyncio.sleep(0)
        await asyncio.to_thread(log.shutdown)
        assert await asyncio.gather(*asked) == [None] * 16
        assert len(rows(engine)) == 16
        with pytest.raises(LogUnavailable, match="it is shut down"):
            await log.open(an_opening())


def sweep(engine: sa.Engine, log_id: str) -> None:
    """Give a row up, as nobody will end it."""
    sweeper = Sweeper(engine)
    assert sweeper.lose(log_id, SweptEnding(), [])
    sweeper.release()


def break_connections(log: Log) -> None:
    for connection in log._connections._held.values():
        driver_connection = connection.connection.dbapi_connection
        assert driver_connection is not None
        # Another thread may have asked since, and this one's connection is still the broken one.
        with contextlib.suppress(pymysql.err.Error):
            driver_connection.close()


def _only(found: list[dict[str, Any]], *names: str) -> dict[str, Any]:
    (row,) = found
    return {name: row[name] for name in names}


def _as_row(log_id: str, call: Call) -> dict[str, Any]:
    own = {field.name: getattr(call, field.name) for field in dataclasses.fields(call) if field.name != "usage"}
    return {"log_id": log_id} | own | fields_of(call.usage)
