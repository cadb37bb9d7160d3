"""What the database itself refuses: the triggers that keep rows as they are, and the one way to delete some.

A role that owns the tables can take triggers away again; that the serving role doesn't is a matter of its rights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields

import sqlalchemy as sa

from dispatcher.audit.connections import transaction
from dispatcher.audit.evidence_tables import flag_changes, registrations, verdicts
from dispatcher.audit.record import AttemptEnding, AttemptOpening
from dispatcher.audit.tables import adjustments, calls, log_gaps, logs

INSERT_ONLY = (calls, adjustments, log_gaps, flag_changes, registrations, verdicts)
"""The tables whose rows are inserted, and nothing else."""

SESSION = ("session_id", "agent_id", "agent_version")
"""What an open row may be told before its ending."""

_BY_THE_DATABASE = ("status", "landed_at", "swept_at")
_ENDED = "('success', 'error', 'cancelled')"
_ALLOWED = "dispatcher.deletes"
_OF_COLUMNS = {"sqlite", "postgresql"}
_VALUES, _OPENING, _ROWS, _TABLE = "_keeps_values", "_keeps_opening", "_keeps_rows", "_keeps_table"


def fixed_columns() -> list[str]:
    """The columns of a row of the log that are as they were opened."""
    opening = {field.name for field in fields(AttemptOpening)} - {field.name for field in fields(AttemptEnding)}
    return [name for name in _names(logs) if name in opening | {"recorded_at"}]


def ending_columns() -> list[str]:
    """The columns of a row of the log that an ending sets, the session's and the database's own apart."""
    apart = {*fixed_columns(), *SESSION, *_BY_THE_DATABASE}
    return [name for name in _names(logs) if name not in apart]


def making(dialect: str) -> list[str]:
    """The statements that make every trigger; there must be none."""
    kept = [statement for table in INSERT_ONLY for statement in _insert_only(dialect, table.name)]
    return [*_functions(dialect), *_opened_and_ended(dialect), *kept]


def removing(dialect: str) -> list[str]:
    """The statements that take every trigger away that is there."""
    return [
        f"DROP TRIGGER IF EXISTS {name}" + (f" ON {table}" if dialect == "postgresql" else "")
        for name, table in _triggers(dialect).items()
    ]


def triggers(dialect: str) -> dict[str, tuple[str, str]]:
    """Of every trigger, by its name, its table and the statement that makes it."""
    made = (statement for statement in making(dialect) if statement.startswith("CREATE TRIGGER"))
    by_name = {statement.split()[2]: statement for statement in made}
    return {name: (table, by_name[name]) for name, table in _triggers(dialect).items()}


def functions() -> dict[str, str]:
    """The bodies of what PostgreSQL's triggers call, by name."""
    refuse = "RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'restrict_violation'; "
    look = (
        "EXECUTE 'SELECT EXISTS (SELECT 1 FROM ' || quote_ident(TG_TABLE_SCHEMA) || '.' || quote_ident(TG_TABLE_NAME) "
        "|| ' WHERE log_id IS NOT NULL)' INTO found; "
    )
    while_any = f"DECLARE found boolean; BEGIN {look}IF found THEN {refuse}END IF; RETURN NULL; END"
    return {"dispatcher_refuse": f"BEGIN {refuse}END", "dispatcher_refuse_while_any": while_any}


@contextmanager
def allow_deletes(connection: sa.Connection) -> Iterator[None]:
    """One transaction in which rows may be deleted; all or nothing, committed when it is left.

    The connection commits by itself otherwise (AUTOCOMMIT), and its role has the right to delete. On SQLite the
    triggers are away in this transaction only, elsewhere they look at a setting of it. Values don't change here either.
    """
    with transaction(connection):
        match connection.dialect.name:
            case "sqlite":
                yield from _without_triggers(connection)
            case "postgresql":
                connection.exec_driver_sql(f"SET LOCAL {_ALLOWED} = 'allowed'")
                yield
            case _:
                connection.exec_driver_sql("SET @dispatcher_deletes = 1")
                try:
                    yield
                finally:
                    # What broke the connection has ended its settings, too, and is what must be told.
                    with suppress(sa.exc.SQLAlchemyError):
                        connection.exec_driver_sql("SET @dispatcher_deletes = NULL")


def _without_triggers(connection: sa.Connection) -> Iterator[None]:
    found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    triggers = [(name, text) for name, text in found if name in _triggers("sqlite") and name.endswith(_ROWS)]
    for name, _ in triggers:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    yield
    for _, text in triggers:
        connection.exec_driver_sql(text)


def _names(table: sa.Table) -> list[str]:
    return [column.name for column in table.columns]


def _triggers(dialect: str) -> dict[str, str]:
    """The names of all triggers, and their tables."""
    endings = [_VALUES, _ROWS, *([_TABLE] if dialect == "postgresql" else [])]
    names = {f"{table.name}{ending}": table.name for table in (logs, *INSERT_ONLY) for ending in endings}
    return names | ({f"{logs.name}{_OPENING}": logs.name} if dialect in _OF_COLUMNS else {})


def _functions(dialect: str) -> list[str]:
    if dialect != "postgresql":
        return []
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$"
        for name, body in functions().items()
    ]


def _insert_only(dialect: str, table: str) -> list[str]:
    always = "1 = 1"
    return [
        _trigger(dialect, f"{table}{_VALUES}", f"BEFORE UPDATE ON {table}", always, f"a row of {table} never changes"),
        *_on_delete(dialect, table, only_where=None),
    ]


def _opened_and_ended(dialect: str) -> list[str]:
    """A row of the log is opened, told its session, ended; one without `log_id` is another application's, and so is
    every column that isn't ours.
    """
    table, ending = logs.name, ending_columns()
    unchanged = _same(dialect, [*SESSION, *ending, *_BY_THE_DATABASE])
    told = f"OLD.status = 'started' AND {_same(dialect, [*ending, *_BY_THE_DATABASE])}"
    ended = f"OLD.status = 'started' AND NEW.status IN {_ENDED} AND NEW.swept_at IS NULL"
    swept = "OLD.status = 'started' AND NEW.status = 'lost' AND NEW.swept_at IS NOT NULL"
    late = f"OLD.status = 'lost' AND OLD.swept_at IS NOT NULL AND NEW.status IN {_ENDED}"
    late += f" AND {_same(dialect, ['swept_at'])}"
    opened, how = _same(dialect, fixed_columns()), " OR ".join((ended, told, swept, late, unchanged))
    why = f"a row of {table} is opened and ended, and then never changes"
    if dialect not in _OF_COLUMNS:
        on_update = [_on_update(dialect, _VALUES, "UPDATE", f"{opened} AND ({how})", why)]
    else:
        # An ending names none of the opening's columns, and isn't held up by comparing them.
        of_opening = f"UPDATE OF {', '.join(fixed_columns())}"
        on_update = [
            _on_update(dialect, _OPENING, of_opening, opened, why),
            _on_update(dialect, _VALUES, "UPDATE", how, why),
        ]
    return [*on_update, *_on_delete(dialect, table, only_where="OLD.log_id IS NOT NULL")]


def _on_update(dialect: str, ending: str, event: str, allowed: str, why: str) -> str:
    # A comparison with an unknown status is unknown itself, and must let nothing through.
    refused = f"(OLD.log_id IS NOT NULL OR NEW.log_id IS NOT NULL) AND COALESCE({allowed}, 0 = 1) = (0 = 1)"
    return _trigger(dialect, f"{logs.name}{ending}", f"BEFORE {event} ON {logs.name}", refused, why)


def _on_delete(dialect: str, table: str, only_where: str | None) -> list[str]:
    why = f"only the retention of the log deletes rows of {table}"
    not_allowed = {
        "sqlite": "1 = 1",
        "postgresql": f"current_setting('{_ALLOWED}', true) IS DISTINCT FROM 'allowed'",
    }.get(dialect, "@dispatcher_deletes IS NULL")
    refused = not_allowed if only_where is None else f"{only_where} AND {not_allowed}"
    of_row = _trigger(dialect, f"{table}{_ROWS}", f"BEFORE DELETE ON {table}", refused, why)
    if dialect != "postgresql":
        return [of_row]
    function = "dispatcher_refuse" if only_where is None else "dispatcher_refuse_while_any"
    of_table = f"CREATE TRIGGER {table}{_TABLE} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT WHEN ({not_allowed})"
    return [of_row, f"{of_table} EXECUTE FUNCTION {function}('append-only: {why}')"]


def _same(dialect: str, columns: Sequence[str]) -> str:
    """That the columns have the values that they had, where unknown is the same as unknown."""
    # MariaDB compares as bytes: by a column's own rules letters of either case, and blanks at the end, may be the same.
    form = "{}.{}" if dialect in {"sqlite", "postgresql"} else "CAST({}.{} AS BINARY)"
    news, olds = (", ".join(form.format(row, name) for name in columns) for row in ("NEW", "OLD"))
    operator = {"sqlite": "IS", "postgresql": "IS NOT DISTINCT FROM"}.get(dialect, "<=>")
    return f"(({news}) {operator} ({olds}))"


def _trigger(dialect: str, name: str, event: str, refused: str, why: str) -> str:
    begin, why = f"CREATE TRIGGER {name} {event} FOR EACH ROW", f"append-only: {why}"
    match dialect:
        case "sqlite":
            return f"{begin} WHEN {refused} BEGIN SELECT RAISE(ABORT, '{why}'); END"
        case "postgresql":
            return f"{begin} WHEN ({refused}) EXECUTE FUNCTION dispatcher_refuse('{why}')"
        case _:
            return f"{begin} IF {refused} THEN SIGNAL SQLSTATE '23000' SET MESSAGE_TEXT = '{why}'; END IF"
