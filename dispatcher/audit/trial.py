"""Trying out what a database lets through and what it refuses, in a transaction that is never committed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.append_only import INSERT_ONLY
from dispatcher.audit.moment import UtcDateTime
from dispatcher.audit.record import new_log_id
from dispatcher.audit.tables import logs
from dispatcher.audit.trouble import is_append_only, is_denied

_LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


class Answer(StrEnum):
    """What a database did with a statement that it should refuse."""

    TRIGGER = "refused by a trigger"
    RIGHTS = "refused for want of rights"
    DONE = "carried out"
    UNTRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A statement that should be refused, and what became of it; `problem` is the error where it was another one."""

    table: str
    verb: str
    answer: Answer
    problem: Exception | None = None


def open_and_end(connection: sa.Connection) -> None:
    """Open a row and end it as a dispatch does, then undo both. Raises sqlalchemy's error where that is refused."""
    with undone(connection):
        row = a_row(logs) | {"status": "started"}
        connection.execute(sa.insert(logs).values(row))
        ended = {"status": "success", "finished_at": _LONG_AGO, "input_tokens": 1, "response_time_ms": 1}
        connection.execute(sa.update(logs).where(logs.c.log_id == row["log_id"]).values(ended))


def taken_for_the_same(connection: sa.Connection, names: Sequence[str]) -> list[str]:
    """The columns in which a name with other letters' case, or with a blank more, is found as the same one."""
    with undone(connection):
        row = a_row(logs) | dict.fromkeys(names, "doctor")
        connection.execute(sa.insert(logs).values(row))
        found = []
        for name in names:
            same = sa.select(logs.c[name]).where(
                logs.c.log_id == row["log_id"], logs.c[name].in_(["DOCTOR", "doctor "])
            )
            found += [name] if connection.execute(same).first() is not None else []
        return found


def try_to_change(connection: sa.Connection) -> list[Tried]:
    """Try to change and to delete a row of each append-only table; the connection is in a transaction."""
    return [_tried(connection, table, verb) for table in (logs, *INSERT_ONLY) for verb in ("UPDATE", "DELETE")]


@contextmanager
def undone(connection: sa.Connection) -> Iterator[None]:
    """Undo what is done inside, errors included; the connection is in a transaction and stays in it."""
    connection.exec_driver_sql("SAVEPOINT dispatcher_trial")
    try:
        yield
    finally:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT dispatcher_trial")


def _tried(connection: sa.Connection, table: sa.Table, verb: str) -> Tried:
    row, key = a_row(table), next(iter(table.primary_key))
    changed = "status" if table is logs else key.name
    statement: sa.Update | sa.Delete = sa.delete(table)
    if verb == "UPDATE":
        statement = sa.update(table).values({changed: "error" if table is logs else row[key.name]})
    answer, problem = Answer.UNTRIED, None
    try:
        with undone(connection):
            connection.execute(sa.insert(table).values(row))
            answer = Answer.DONE
            connection.execute(statement.where(*(column == row[column.name] for column in table.primary_key)))
    except sa.exc.DBAPIError as error:
        answer, problem = _meaning(error, inserted=answer is Answer.DONE)
    return Tried(table=table.name, verb=verb, answer=answer, problem=problem)


def _meaning(error: sa.exc.DBAPIError, *, inserted: bool) -> tuple[Answer, Exception | None]:
    if inserted and is_append_only(error):
        return Answer.TRIGGER, None
    if inserted and is_denied(error):
        return Answer.RIGHTS, None
    return Answer.UNTRIED, error


def a_row(table: sa.Table) -> dict[str, Any]:
    """A row that has a value wherever there must be one, and that no other row has the key of."""
    row = {
        column.name: _a_value(column)
        for column in table.columns
        if column.primary_key or (not column.nullable and column.server_default is None)
    }
    return row | ({"status": "success"} if table is logs else {})


def _a_value(column: sa.Column[Any]) -> Any:
    match column.type:
        case UtcDateTime():
            return _LONG_AGO
        case sa.String(length=length):
            return new_log_id() if length is None or length >= len(new_log_id()) else "doctor"
        case sa.Double():
            return 1.0
        case _:
            return 1
