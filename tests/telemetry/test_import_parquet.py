"""A Parquet file is imported like the CSV file with the same content."""

import datetime as dt
import sys
from decimal import Decimal

import pyarrow as pa
import pytest
from import_files import import_file
from pyarrow import parquet

from dispatcher.errors import InvalidImport
from dispatcher.telemetry.importer import open_lines

COLUMNS = ("id", "outcome", "wall", "cost", "tokens", "at")


@pytest.fixture
def write(tmp_path):
    def file(**columns):
        path = tmp_path / "runs.parquet"
        parquet.write_table(pa.table(columns), path)
        return path

    return file


def _lines(path, *needed):
    with open_lines(path, needed) as lines:
        return [tuple(line) for line in lines]


def test_the_same_content_makes_the_same_rows(engine, column_map, sample, write):
    import_file(engine, column_map(), sample())
    path = write(
        id=["a", "b", "c"],
        outcome=pa.array(["ok", "bad", None]).dictionary_encode(),
        wall=pa.array([100.0, 200.0, None]),
        cost=pa.array([Decimal("0.5"), Decimal(0), None], pa.decimal128(10, 4)),
        tokens=pa.array([7, 0, None], pa.int32()),
        at=pa.array(
            [dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 1, 22), dt.datetime(2026, 1, 3)],  # noqa: DTZ001
            pa.timestamp("ns", "UTC"),
        ),
    )
    report = import_file(engine, column_map(), path)

    assert (report.lines, report.added, report.repeated) == (3, 0, 3)


def test_every_plain_value_is_the_text_that_a_csv_file_would_hold(write):
    path = write(flag=[True], day=[dt.date(2026, 1, 2)], real=[0.1], void=pa.nulls(1), whole=[2**62])

    assert _lines(path, "flag", "day", "real", "void", "whole") == [
        (1, ("true", "2026-01-02", "0.1", "", str(2**62)), None)
    ]


def test_a_value_that_is_not_plain_is_a_bad_row(write):
    path = write(id=["a", "b"], tokens=[[1], None])

    assert _lines(path, "id", "tokens") == [
        (1, (), "holds a list, which is not a plain value"),
        (2, ("b", ""), None),
    ]


def test_not_a_number_is_no_unknown_value(engine, column_map, write):
    path = write(**{name: ["x"] for name in COLUMNS} | {"tokens": [float("nan")]})

    with pytest.raises(InvalidImport, match=r"row 1: .*output_tokens: 'nan' is not a number"):
        import_file(engine, column_map(), path)


def test_more_rows_than_are_read_at_once_are_all_read_and_their_progress_told(write):
    path = write(id=[str(i) for i in range(2500)])
    with open_lines(path, ["id"]) as lines:
        numbers = [line.number for line in lines]
        done = lines.done()

    assert list(range(1, 2501)) == numbers
    assert done == 1.0


def test_a_missing_column_is_named(write):
    with pytest.raises(InvalidImport, match="has no column 'token'; is it 'tokens'"):
        _lines(write(tokens=[1]), "token")


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    path = tmp_path / "runs.parquet"
    path.write_bytes(b"id,tokens\na,7\n")

    with pytest.raises(InvalidImport, match="is not a Parquet file"):
        _lines(path, "id")


def test_without_the_extra_the_error_names_it(write, monkeypatch):
    path = write(id=["a"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "dispatcher.telemetry.parquet_lines", raising=False)

    with pytest.raises(InvalidImport, match=r"pip install 'dispatcher\[parquet\]'"):
        _lines(path, "id")
