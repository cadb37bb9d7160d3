"""Importing a file into the log: all of it, in one transaction, or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Status
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.tables import logs
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import InvalidImport, SourceUnreachable
from dispatcher.telemetry.csv_lines import CsvLines, decoded
from dispatcher.telemetry.import_map import ImportMap
from dispatcher.telemetry.import_row import RowReader
from dispatcher.telemetry.lines import Line, Lines
from dispatcher.telemetry.target import targets

_LINES_AT_ONCE = 500
_PROBLEMS_SHOWN = 20
_DIFFERENCES = 3

OnProgress = Callable[[float], None]
_Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import did: `lines` were read, `added` are new rows, `repeated` were in the log with the same content.

    `statuses` and `unknown` (rows in which a mapped column is NULL) count over all lines, so that a wrong map shows.
    """

    source: str
    lines: int
    added: int
    repeated: int
    statuses: Mapping[str, int]
    unknown: Mapping[str, int]


def import_lines(
    engine: sa.Engine,
    column_map: ImportMap,
    lines: Lines,
    subject: str,
    *,
    dry_run: bool = False,
    on_progress: OnProgress = lambda _done: None,
) -> ImportReport:
    """Import lines by a map; `on_progress` is told how much of them has been read, from 0 to 1.

    A dry run does the same and rolls it back, so its report is exact. Meanwhile other writers wait on SQLite, which
    has one writer at a time. Raises InvalidImport with the bad lines, or SourceUnreachable; the log is then as before.
    """
    try:
        with engine.connect() as connection, _writing(connection) as transaction:
            run = _Run(connection, column_map)
            for batch in _batches(lines):
                run.take(batch)
                on_progress(lines.done())
            if run.bad_lines:
                raise InvalidImport(subject, run.problems(lines.unit))
            if dry_run:
                transaction.rollback()
            return run.report()
    except sa.exc.SQLAlchemyError as error:
        reason = reason_of(error, engine.url)
        raise SourceUnreachable(f"nothing was imported: {named(engine.url)} can't be used: {reason}") from None


@contextmanager
def open_lines(path: Path, needed: Sequence[str]) -> Iterator[Lines]:
    """Open a file and look for the needed columns in it. Raises InvalidImport where there is nothing to read."""
    name = path.name.lower()
    if not name.endswith((".csv", ".csv.gz", ".parquet")):
        raise InvalidImport(str(path), ["is neither .csv, .csv.gz nor .parquet"])
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InvalidImport(str(path), [f"can't be read: {error.strerror}"]) from None
    with raw:
        if not name.endswith(".parquet"):
            with decoded(path, raw) as text:
                yield CsvLines(path, raw, text, needed)
            return
        try:
            from dispatcher.telemetry.parquet_lines import ParquetLines  # noqa: PLC0415 - pyarrow is an extra
        except ImportError:
            problem = "reading Parquet needs pyarrow; install the extra: pip install 'dispatcher[parquet]'"
            raise InvalidImport(str(path), [problem]) from None
        yield ParquetLines(path, raw, needed)


@contextmanager
def _writing(connection: sa.Connection) -> Iterator[sa.Transaction]:
    with connection.begin() as transaction:
        if connection.dialect.name == "sqlite":
            # The driver would begin at the first INSERT, and a savepoint before it would be a transaction of its own.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield transaction


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    remaining = iter(lines)
    while batch := list(islice(remaining, _LINES_AT_ONCE)):
        yield batch


class _Run:
    """One import under way. After a bad line it goes on, so that all bad lines are found; nothing of it is kept."""

    def __init__(self, connection: sa.Connection, column_map: ImportMap) -> None:
        self._connection = connection
        self._map = column_map
        self._reader = RowReader(column_map)
        self._lines = self._added = self._repeated = 0
        self._statuses: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._problems: list[tuple[int, str]] = []
        self.bad_lines = 0

    def take(self, batch: Sequence[Line]) -> None:
        """Read, compare and insert some lines."""
        rows = [(line, row) for line in batch if (row := self._read(line)) is not None]
        stored = self._stored([row["log_id"] for _, row in rows])
        fresh: dict[str, tuple[Line, _Row]] = {}
        for line, row in rows:
            earlier = fresh.get(row["log_id"])
            other = stored.get(row["log_id"]) if earlier is None else earlier[1]
            if other is None:
                fresh[row["log_id"]] = (line, row)
            elif differences := _differences(row, other):
                key = self._reader.key(line.cells)
                self._bad(line, f"a row with the same key ({key}) has other content: {differences}")
            else:
                self._repeated += 1
        self._insert(list(fresh.values()))

    def problems(self, unit: str) -> list[str]:
        """The bad lines in the order of the file, and how many more there are."""
        shown = [f"{unit} {number}: {problem}" for number, problem in sorted(self._problems)]
        more = self.bad_lines - len(shown)
        return [*shown, f"and {more} more bad {unit}s"] if more else shown

    def report(self) -> ImportReport:
        """What was done."""
        return ImportReport(
            source=self._map.source,
            lines=self._lines,
            added=self._added,
            repeated=self._repeated,
            statuses=dict(sorted(self._statuses.items())),
            unknown={name: self._unknown[name] for name in self._map.columns if self._unknown[name]},
        )

    def _read(self, line: Line) -> _Row | None:
        self._lines += 1
        if line.problem is not None:
            self._bad(line, line.problem)
            return None
        row, problems = self._reader.row(line.cells)
        if problems:
            self._bad(line, "; ".join(problems))
            return None
        self._statuses[row["status"]] += 1
        self._unknown.update(name for name in self._map.columns if row[name] is None)
        return row

    def _bad(self, line: Line, problem: str) -> None:
        self.bad_lines += 1
        if len(self._problems) < _PROBLEMS_SHOWN:
            self._problems.append((line.number, problem))

    def _stored(self, ids: Sequence[str]) -> dict[str, _Row]:
        columns = [logs.c[name] for name in ("log_id", *targets())]
        found = self._connection.execute(sa.select(*columns).where(logs.c.log_id.in_(ids)))
        return {row.log_id: row._asdict() for row in found}

    def _insert(self, fresh: Sequence[tuple[Line, _Row]]) -> None:
        try:
            with self._connection.begin_nested():
                _insert_rows(self._connection, [row for _, row in fresh])
        except sa.exc.IntegrityError:
            self._insert_singly(fresh)
        else:
            self._added += len(fresh)

    def _insert_singly(self, fresh: Sequence[tuple[Line, _Row]]) -> None:
        for line, row in fresh:
            try:
                with self._connection.begin_nested():
                    _insert_rows(self._connection, [row])
            except sa.exc.IntegrityError as error:
                self._bad(line, f"the log refuses the row: {reason_of(error, self._connection.engine.url)}")


def _insert_rows(connection: sa.Connection, rows: Sequence[_Row]) -> None:
    # An ending that was never learned has not arrived either.
    lost = [row for row in rows if row["status"] == Status.LOST]
    ended = [row for row in rows if row["status"] != Status.LOST]
    if lost:
        connection.execute(sa.insert(logs), lost)
    if ended:
        connection.execute(sa.insert(logs).values(landed_at=DatabaseNow()), ended)


def _differences(row: _Row, other: _Row) -> str:
    differing = [name for name in targets() if row.get(name) != other.get(name)]
    shown = [f"{name} {_told(other.get(name))} there, {_told(row.get(name))} here" for name in differing[:_DIFFERENCES]]
    more = len(differing) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _told(value: object) -> str:
    return "unknown" if value is None else str(value)
