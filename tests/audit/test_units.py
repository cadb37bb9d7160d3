"""Statements of several dispatches in one transaction, on every engine: each is committed, or refused for its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from log_contract import rows, sweep

from dispatcher.action.observation import Status
from dispatcher.audit.connections import Connections
from dispatcher.audit.log import Log
from dispatcher.audit.opener import Opener
from dispatcher.audit.record import AttemptOpening, Kept
from dispatcher.audit.tables import calls
from dispatcher.audit.units import Unit, carried_out
from dispatcher.audit.writer import Writer
from dispatcher.errors import ConversationBusy


class Asked:
    """Units of openings and endings on a database, and the statements that are sent for them."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.connections = Connections(engine)
        self.sent: list[str] = []
        self._opener, self._writer = Opener(engine.dialect), Writer(engine.dialect)
        sa.event.listen(engine, "before_cursor_execute", lambda *given: self.sent.append(given[2]))

    def opening(self, opening: AttemptOpening) -> Unit[Any]:
        return self._opener.opening(opening, None, None)

    def ending(self, opening: AttemptOpening, kept: Kept | None = None, **changes: Any) -> Unit[Any]:
        made = [a_call(ordinal=1), a_call(ordinal=2)]
        return self._writer.ending(opening.log_id, an_ending(**changes), made, kept)

    def outcomes(self, *units: Unit[Any]) -> list[Any]:
        self.sent.clear()
        return carried_out(self.connections, units)

    def statuses(self) -> dict[str, str]:
        return {row["log_id"]: row["status"] for row in rows(self.engine)}


@pytest.fixture
def asked(any_engine: sa.Engine) -> Iterator[Asked]:
    asked = Asked(any_engine)
    yield asked
    asked.connections.release()


@pytest.fixture
def on_sqlite(engine: sa.Engine) -> Iterator[Asked]:
    asked = Asked(engine)
    yield asked
    asked.connections.release()


def test_openings_and_endings_of_several_are_one_transaction(asked: Asked) -> None:
    before, after = ([an_opening() for _ in range(5)] for _ in range(2))
    assert asked.outcomes(*map(asked.opening, before)) == [None] * 5
    mixed = [unit for old, new in zip(before, after, strict=True) for unit in (asked.ending(old), asked.opening(new))]
    assert asked.outcomes(*mixed) == [True, None] * 5
    assert sum(statement == "COMMIT" for statement in asked.sent) == 1
    expected = dict.fromkeys((o.log_id for o in before), "success") | dict.fromkeys(
        (o.log_id for o in after), "started"
    )
    assert asked.statuses() == expected
    assert len(rows(asked.engine, calls)) == 10


@pytest.mark.parametrize("place", [0, 3, 6])
def test_one_that_is_refused_is_refused_alone_and_with_its_own_reason(asked: Asked, place: int) -> None:
    known, others = an_opening(), [an_opening() for _ in range(6)]
    asked.outcomes(asked.opening(known))
    units = [asked.opening(opening) for opening in others]
    units.insert(place, asked.opening(an_opening(log_id=known.log_id)))
    outcomes = asked.outcomes(*units)
    assert isinstance(outcomes.pop(place), sa.exc.IntegrityError)
    assert outcomes == [None] * 6
    assert asked.statuses().keys() == {known.log_id, *(opening.log_id for opening in others)}


def test_an_ending_whose_calls_are_refused_leaves_its_row_open_and_its_neighbours_ended(asked: Asked) -> None:
    openings = [an_opening() for _ in range(4)]
    asked.outcomes(*map(asked.opening, openings))
    twice = Writer(asked.engine.dialect).ending(openings[2].log_id, an_ending(), [a_call(), a_call()], None)
    units = [asked.ending(opening) for opening in openings]
    outcomes = asked.outcomes(*units[:2], twice, units[3])
    assert [type(outcome) for outcome in outcomes] == [bool, bool, sa.exc.IntegrityError, bool]
    assert [asked.statuses()[opening.log_id] for opening in openings] == ["success", "success", "started", "success"]
    assert len(rows(asked.engine, calls)) == 6


def test_a_value_that_is_none_of_the_column_fails_alone(asked: Asked) -> None:
    good, bad = an_opening(), an_opening(created_at=BEGAN.replace(tzinfo=None))
    outcomes = asked.outcomes(asked.opening(bad), asked.opening(good))
    assert [type(outcome) for outcome in outcomes] == [ValueError, type(None)]
    assert asked.statuses() == {good.log_id: "started"}


def test_endings_of_rows_that_are_not_open_are_what_they_are_alone(asked: Asked) -> None:
    """One has ended, one was swept, one isn't there; and each other one is simply ended."""
    plain, ended, swept, missing = (an_opening() for _ in range(4))
    asked.outcomes(*map(asked.opening, (plain, ended, swept)))
    asked.outcomes(asked.ending(ended))
    sweep(asked.engine, swept.log_id)
    late = {"status": Status.ERROR}
    units = [asked.ending(opening, **late) for opening in (missing, swept, ended, plain)]
    assert asked.outcomes(*units) == [False, True, True, True]
    assert asked.statuses() == {plain.log_id: "error", ended.log_id: "success", swept.log_id: "error"}
    assert len(rows(asked.engine, calls)) == 6


def test_what_is_told_twice_is_there_once(asked: Asked) -> None:
    openings = [an_opening() for _ in range(3)]
    for _ in range(2):
        assert asked.outcomes(*map(asked.opening, openings)) == [None] * 3
    for _ in range(2):
        assert asked.outcomes(*map(asked.ending, openings)) == [True] * 3
    assert (len(rows(asked.engine)), len(rows(asked.engine, calls))) == (3, 6)


def test_of_two_that_begin_a_turn_together_one_does(on_sqlite: Asked) -> None:
    rivals = [an_opening(conversation_id="c", turn=1) for _ in range(2)]
    other = an_opening(conversation_id="d", turn=1)
    outcomes = on_sqlite.outcomes(*map(on_sqlite.opening, (*rivals, other)))
    assert [type(outcome) for outcome in outcomes] == [type(None), ConversationBusy, type(None)]
    assert on_sqlite.statuses().keys() == {rivals[0].log_id, other.log_id}


def test_what_may_wait_for_another_program_keeps_no_neighbours_waiting(asked: Asked) -> None:
    """SQLite's one writer has nobody to wait for when it has begun."""
    has_one_writer = asked.engine.dialect.name == "sqlite"
    plain, turn = an_opening(), an_opening(conversation_id="c", turn=1)
    units = [asked.opening(plain), asked.ending(plain), asked.opening(turn), asked.ending(turn, Kept(turn="t"))]
    assert [unit.many is not None for unit in units] == [True, True, has_one_writer, False]


def test_what_a_locked_file_refused_late_is_refused_once_for_all(on_sqlite: Asked, database: Path) -> None:
    on_sqlite.engine.dispose()
    sa.event.listen(on_sqlite.engine, "connect", lambda raw, _record: raw.execute("PRAGMA busy_timeout=1100"))
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcomes = on_sqlite.outcomes(*(on_sqlite.opening(an_opening()) for _ in range(8)))
    other.close()
    assert [type(outcome) for outcome in outcomes] == [sa.exc.OperationalError] * 8
    assert on_sqlite.sent == ["BEGIN IMMEDIATE"]
    assert on_sqlite.statuses() == {}


async def test_those_that_came_while_the_file_was_locked_are_a_few_commits(on_sqlite: Asked, database: Path) -> None:
    log, openings = Log(on_sqlite.engine), [an_opening() for _ in range(64)]
    await log.open(an_opening())
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    on_sqlite.sent.clear()
    tasks = [asyncio.ensure_future(log.open(opening)) for opening in openings]
    while not on_sqlite.sent:  # noqa: ASYNC110 - another thread sends it
        await asyncio.sleep(0.01)
    other.close()
    await asyncio.gather(*tasks)
    # The first, or the first few, had begun before the others came.
    assert sum(statement == "COMMIT" or statement.startswith("INSERT") for statement in on_sqlite.sent) < 8
    assert len(on_sqlite.statuses()) == 65
    await asyncio.to_thread(log.shutdown)
