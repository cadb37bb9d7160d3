"""The files of an export: written, and read back to be counted and added up."""

from __future__ import annotations

import csv
import datetime as dt
import importlib.util
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from dispatcher.audit.moment import UtcDateTime
from dispatcher.errors import InvalidExport

_Row = Sequence[Any]
_Figures = tuple[int, dict[str, int]]


# Readers take a group at a time: many small ones are slow to read, large ones need memory here.
_ROWS_OF_A_GROUP = 25_000


class Form(StrEnum):
    """What an exported file is."""

    CSV = "csv"
    PARQUET = "parquet"


def write_part(path: Path, form: Form, columns: Sequence[sa.Column[Any]], batches: Iterable[Sequence[_Row]]) -> None:
    """Write rows to a file that is whole and on the disk when this returns; what was there is replaced.

    Raises OSError.
    """
    write = _write_csv if form is Form.CSV else _write_parquet
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        write(file, columns, batches)
        file.flush()
        os.fsync(file.fileno())
    move_into_place(unfinished, path)


def move_into_place(unfinished: Path, path: Path) -> None:
    """Give a finished file its name, so that the name outlives a crash."""
    unfinished.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_back(path: Path, form: Form, summed: Sequence[str]) -> _Figures:
    """How many rows a file has, and the sum of each of some columns, in which what is unknown counts 0.

    Raises OSError, or InvalidExport where the file isn't of the form.
    """
    try:
        return (_read_csv if form is Form.CSV else _read_parquet)(path, summed)
    except (csv.Error, ValueError, LookupError) as error:
        raise InvalidExport(str(path), [f"can't be read back: {error}"]) from None


def refuse_missing_library(form: Form) -> None:
    """Raise InvalidExport where the form needs a library that isn't installed."""
    if form is Form.PARQUET and importlib.util.find_spec("pyarrow") is None:
        fix = "install the extra: pip install 'dispatcher[parquet]'"
        raise InvalidExport(form, [f"writing Parquet needs pyarrow; {fix}, or export CSV"])


def _write_csv(file: IO[bytes], columns: Sequence[sa.Column[Any]], batches: Iterable[Sequence[_Row]]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    # It quotes only those line ends that are in its own; a reader takes the other one for the end of a row, too.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([column.name for column in columns])
    told = [(place, _CELLS[kind]) for place, column in enumerate(columns) if (kind := _kind(column)) in _CELLS]
    for batch in batches:
        writer.writerows(_cells(row, told) for row in batch)
    text.detach()


def _cells(row: _Row, told: Sequence[tuple[int, Callable[[Any], str]]]) -> list[Any]:
    cells = list(row)
    for place, tell in told:
        if cells[place] is not None:
            cells[place] = tell(cells[place])
    return cells


def _moment(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="microseconds")


_CELLS: Mapping[str, Callable[[Any], str]] = {"moment": _moment, "truth": lambda truth: "true" if truth else "false"}


def _kind(column: sa.Column[Any]) -> str:
    if isinstance(column.type, UtcDateTime):
        return "moment"
    if isinstance(column.type, sa.Boolean):
        return "truth"
    if isinstance(column.type, sa.Integer):
        return "integer"
    return "number" if isinstance(column.type, sa.Float) else "text"


def _read_csv(path: Path, summed: Sequence[str]) -> _Figures:
    sums = dict.fromkeys(summed, 0)
    n = 0
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, strict=True)
        header = next(rows, [])
        places = [(name, header.index(name)) for name in summed]
        for n, row in enumerate(rows, 1):  # noqa: B007 - the count
            for name, place in places:
                if text := row[place]:
                    sums[name] += int(text)
    return n, sums


def _write_parquet(file: IO[bytes], columns: Sequence[sa.Column[Any]], batches: Iterable[Sequence[_Row]]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    types = {
        "moment": pa.timestamp("us", tz="UTC"),
        "truth": pa.bool_(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "text": pa.string(),
    }
    schema = pa.schema([pa.field(column.name, types[_kind(column)]) for column in columns])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        group: list[Any] = []
        for batch in batches:
            values = zip(*batch, strict=True)
            arrays = [pa.array(list(cells), field.type) for cells, field in zip(values, schema, strict=True)]
            group.append(pa.record_batch(arrays, schema=schema))
            if sum(one.num_rows for one in group) >= _ROWS_OF_A_GROUP:
                writer.write_table(pa.Table.from_batches(group))
                group = []
        if group:
            writer.write_table(pa.Table.from_batches(group))


def _read_parquet(path: Path, summed: Sequence[str]) -> _Figures:
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    sums = dict.fromkeys(summed, 0)
    n = 0
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=5_000, columns=list(summed)):
            n += batch.num_rows
            for name in summed:
                # Added up by Python, whose integers don't overflow.
                sums[name] += sum(_known(batch.column(name).to_pylist()))
    return n, sums


def _known(values: Iterable[int | None]) -> Iterator[int]:
    return (value for value in values if value is not None)
