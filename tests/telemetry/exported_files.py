"""Exports for tests: their orders, the rows that go in, and what a reader finds in the files."""

from __future__ import annotations

import csv
import datetime as dt
import io
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from money_rows import BEGAN, everything, put

from dispatcher.audit.moment import UtcDateTime
from dispatcher.audit.tables import logs
from dispatcher.telemetry import exporter
from dispatcher.telemetry.export_parts import Form
from dispatcher.telemetry.exporter import ExportOrder, ExportReport

LATER = BEGAN + dt.timedelta(days=1)


def order(form: Form = Form.CSV, rows_per_part: int = 3, **changes: Any) -> ExportOrder:
    fields = {"form": form, "origin": None, "since": None, "until": None, "rows_per_part": rows_per_part}
    return ExportOrder(**(fields | changes))


def export(engine: sa.Engine, out: Path, order: ExportOrder, *, now: dt.datetime = LATER, **more: Any) -> ExportReport:
    """An export that is begun a day after the rows."""
    return exporter.export(engine, out, order, now=now, **more)


def fill(engine: sa.Engine, n: int, since: int = 0) -> None:
    """Rows of pairwise equal moments, the later ones with the smaller ids."""
    for place in range(since, since + n):
        put(engine, f"{9999 - place:04d}", created_at=BEGAN + dt.timedelta(seconds=place // 2))


def parts(out: Path) -> list[Path]:
    return sorted(out.glob("part-*"))


def exported(out: Path, form: Form) -> list[dict[str, Any]]:
    """The rows of all files, in order, with the log's own types."""
    if form is Form.PARQUET:
        from pyarrow import parquet  # noqa: PLC0415

        return [row for path in parts(out) for row in parquet.read_table(path).to_pylist()]
    rows = [row for path in parts(out) for row in csv.DictReader(_text(path))]
    return [{name: _value(logs.c[name], text) for name, text in row.items()} for row in rows]


def _text(path: Path) -> io.StringIO:
    return io.StringIO(path.read_bytes().decode(), newline="")


def _value(column: sa.Column[Any], text: str) -> Any:
    if text == "":
        return None
    if isinstance(column.type, UtcDateTime):
        return dt.datetime.fromisoformat(text)
    kind = column.type.python_type
    return {"true": True, "false": False}[text] if kind is bool else kind(text)


def in_order(engine: sa.Engine) -> list[dict[str, Any]]:
    return sorted(everything(engine, logs), key=lambda row: (row["created_at"], row["log_id"]))
