"""Parquet, by pyarrow: each value as the text that a CSV file would hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from dispatcher.errors import InvalidImport
from dispatcher.telemetry.lines import Line, as_text, not_text, places

_ROWS_AT_ONCE = 1000


class ParquetLines:
    """The rows of a Parquet file, numbered from 1; null is an empty cell."""

    unit = "row"

    def __init__(self, path: Path, raw: BinaryIO, needed: Sequence[str]) -> None:
        try:
            self._file = parquet.ParquetFile(raw)
        except (pa.ArrowException, OSError) as error:
            raise InvalidImport(str(path), [f"is not a Parquet file: {error}"]) from None
        places(path, self._file.schema_arrow.names, needed)
        self._needed = list(needed)
        self._read = 0

    def __iter__(self) -> Iterator[Line]:
        """Rows in the order of the file."""
        try:
            for batch in self._file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=self._needed):
                columns = [_values(batch.column(name)) for name in self._needed]
                for values in zip(*columns, strict=True):
                    self._read += 1
                    yield _line(self._read, values)
        except (pa.ArrowException, OSError) as error:
            yield Line(self._read + 1, (), f"{error}; nothing from here on was read")

    def done(self) -> float:
        """By the number of rows."""
        rows: int = self._file.metadata.num_rows
        return self._read / rows if rows else 1.0


def _values(column: Any) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # Python's moments have microseconds.
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values


def _line(number: int, values: tuple[Any, ...]) -> Line:
    cells = []
    for value in values:
        cell = as_text(value)
        if cell is None:
            return Line(number, (), f"holds a {type(value).__name__}, which is not a plain value")
        cells.append(cell)
    return Line(number, tuple(cells), not_text("".join(cells)))
