"""Exporting the log to files, part by part: what is written is counted and added up against the database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Status
from dispatcher.audit.reading import snapshot
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import logs
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import InvalidExport, SourceUnreachable
from dispatcher.telemetry.export_manifest import Manifest, Part, alone_in
from dispatcher.telemetry.export_parts import Form, read_back, refuse_missing_library, write_part
from dispatcher.telemetry.pages import beyond, up_to

_ROWS_AT_ONCE = 1_000
_KEY = (logs.c.created_at, logs.c.log_id)
_LIMB = 1 << 32

SUMMED = tuple(column.name for column in logs.columns if column.name.endswith(("_nanousd", "_tokens", "_ms")))
"""The columns that are added up: money, tokens and durations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOrder:
    """What to export: the rows that have ended, of one origin or all, that began in [since, until), in which form, and
    how many rows a file has at most. Without `since` from the log's beginning, without `until` up to when the export
    began.
    """

    form: Form
    origin: Origin | None
    since: dt.datetime | None
    until: dt.datetime | None
    rows_per_part: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export holds; `resumed` of its parts were there already.

    `left` rows of the order aren't in it: they were still open when their part was written, or came in later. `gone`
    rows are in it and in the log no longer. Both are counted part by part, and are too low where a part has both.
    """

    parts: int
    resumed: int
    rows: int
    left: int
    gone: int
    sums: Mapping[str, int]


def export(
    engine: sa.Engine,
    directory: Path,
    order: ExportOrder,
    *,
    now: dt.datetime,
    on_progress: Callable[[float], None] = lambda _done: None,
) -> ExportReport:
    """Write the rows into a directory, a manifest beside the parts; a directory that was begun is continued.

    Every part is one snapshot of the database, is read back from the disk, and must have the database's own count and
    sums. Memory doesn't grow with the log. A continued export ends where it was to end when it began. Raises
    InvalidExport or SourceUnreachable; the parts that are in the manifest are then whole.
    """
    refuse_missing_library(order.form)
    with _told(engine, directory), alone_in(directory):
        manifest = Manifest.begun(directory, _document(order), now)
        resumed = len(manifest.parts)
        ended = _conditions(order.origin, order.since, manifest.until)
        total = _count(engine, ended)
        done = sum(part.rows for part in manifest.parts)
        while (part := _write_next(engine, manifest, order, ended)) is not None:
            manifest.add(part)
            done += part.rows
            on_progress(min(1.0, done / max(total, 1)))
        left, gone = _differing(engine, ended, manifest)
    sums = {name: sum(part.sums[name] for part in manifest.parts) for name in SUMMED}
    return ExportReport(parts=len(manifest.parts), resumed=resumed, rows=done, left=left, gone=gone, sums=sums)


def count(engine: sa.Engine, order: ExportOrder, *, now: dt.datetime) -> int:
    """How many rows an export would have. Raises SourceUnreachable."""
    with _told(engine, Path()):
        return _count(engine, _conditions(order.origin, order.since, order.until or now))


def _document(order: ExportOrder) -> dict[str, Any]:
    """The order as the manifest has it."""
    origin = None if order.origin is None else order.origin.value
    span = {"since": order.since, "until": order.until}
    return {"form": order.form, "origin": origin, **span, "columns": list(logs.columns.keys())}


def _conditions(origin: Origin | None, since: dt.datetime | None, until: dt.datetime) -> list[sa.ColumnElement[bool]]:
    # In an adopted table the other application's rows have no id of the log's.
    ours = logs.c.log_id.is_not(None)
    ended = [ours, logs.c.status != Status.STARTED.value, logs.c.created_at < until]
    if since is not None:
        ended.append(logs.c.created_at >= since)
    return ended if origin is None else [*ended, logs.c.origin == origin.value]


def _count(engine: sa.Engine, conditions: Sequence[sa.ColumnElement[bool]]) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(logs).where(*conditions)).scalar_one())


def _differing(engine: sa.Engine, ended: Sequence[sa.ColumnElement[bool]], manifest: Manifest) -> tuple[int, int]:
    """How many rows the log has that the parts don't have, and how many they have and the log no longer."""
    left = gone = 0
    last: Mapping[str, Any] | None = None
    for part in manifest.parts:
        key = {"created_at": part.last_created_at, "log_id": part.last_log_id}
        more = _count(engine, [*ended, beyond(_KEY, last), up_to(_KEY, key)]) - part.rows
        left, gone, last = left + max(more, 0), gone + max(-more, 0), key
    return left + _count(engine, [*ended, beyond(_KEY, last)]), gone


def _write_next(
    engine: sa.Engine, manifest: Manifest, order: ExportOrder, ended: Sequence[sa.ColumnElement[bool]]
) -> Part | None:
    rest = [*ended, beyond(_KEY, manifest.last)]
    path = manifest.next_path()
    with snapshot(engine) as connection:
        query = sa.select(logs).where(*rest).order_by(*_KEY).limit(order.rows_per_part)
        places = [list(logs.columns).index(column) for column in _KEY]
        last: tuple[Any, ...] | None = None

        def batches() -> Iterator[Sequence[Sequence[Any]]]:
            nonlocal last
            found = connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))
            for batch in found.partitions():
                last = tuple(batch[-1][place] for place in places)
                yield batch

        write_part(path, order.form, list(logs.columns), batches())
        if last is None:
            path.unlink()
            return None
        key = {"created_at": last[0], "log_id": last[1]}
        expected = _figures(connection, [*rest, up_to(_KEY, key)])
    _refuse_other_figures(path, expected, read_back(path, order.form, SUMMED))
    return Part(
        file=path.name,
        bytes=path.stat().st_size,
        rows=expected[0],
        last_created_at=last[0],
        last_log_id=last[1],
        sums=expected[1],
    )


def _figures(connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]]) -> tuple[int, dict[str, int]]:
    # In limbs, because SQLite refuses a sum that has more than 64 bits. Not every engine divides integers to integers,
    # but each divides a multiple exactly.
    sums: list[sa.ColumnElement[Any]] = [sa.func.count()]
    for name in SUMMED:
        low = logs.c[name] % _LIMB
        sums += [sa.func.sum((logs.c[name] - low) // _LIMB), sa.func.sum(low)]
    rows, *limbs = connection.execute(sa.select(*sums).select_from(logs).where(*conditions)).one()
    pairs = zip(limbs[::2], limbs[1::2], strict=True)
    totals = [int(high or 0) * _LIMB + int(low or 0) for high, low in pairs]
    return int(rows), dict(zip(SUMMED, totals, strict=True))


def _refuse_other_figures(path: Path, expected: tuple[int, dict[str, int]], found: tuple[int, dict[str, int]]) -> None:
    problems = [] if expected[0] == found[0] else [f"has {found[0]} rows, the log {expected[0]}"]
    for name, total in expected[1].items():
        if found[1][name] != total:
            problems.append(f"{name} adds up to {found[1][name]}, in the log to {total}")
    if problems:
        path.unlink()
        raise InvalidExport(str(path), problems)


@contextmanager
def _told(engine: sa.Engine, directory: Path) -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        reason = reason_of(error, engine.url)
        raise SourceUnreachable(f"{named(engine.url)} can't be read: {reason}") from None
    except OSError as error:
        raise InvalidExport(str(directory), [f"can't be written: {error.strerror}; what is whole was kept"]) from None
