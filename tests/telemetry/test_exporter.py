"""The log in files: all of it, once, as the database has it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from exported_files import LATER, export, exported, fill, in_order, order, parts
from money_rows import BEGAN, put, put_turn

from dispatcher.audit.append_only import allow_deletes
from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import logs
from dispatcher.cli.log_export import export_text
from dispatcher.errors import InvalidExport, SourceUnreachable
from dispatcher.telemetry import exporter
from dispatcher.telemetry.export_parts import Form, read_back


@pytest.fixture
def engine(any_engine: sa.Engine) -> sa.Engine:
    return any_engine


def test_every_row_is_exported_once_as_the_log_has_it(engine: sa.Engine, out: Path, form: Form) -> None:
    """Umlauts, quotes, line ends, truth values and 64-bit figures included."""
    fill(engine, 7)
    put_turn(
        engine,
        "x",
        created_at=BEGAN + dt.timedelta(microseconds=1),
        actor='a, "b"\r\nü=1',
        flag_stale=True,
        output_valid=False,
        assignment_share=0.67,
        project="a lone\rreturn",
        output_tokens=2**62,
        input_tokens=None,
    )

    report = export(engine, out, order(form))

    assert exported(out, form) == in_order(engine)
    assert [path.name for path in parts(out)] == [f"part-00000{n}.{form}" for n in (1, 2, 3)]
    assert (report.parts, report.resumed, report.rows, report.left) == (3, 0, 8, 0)
    assert report.sums["output_tokens"] == 7 * 100 + 2**62
    assert report.sums["platform_list_cost_nanousd"] == 10_000_000


def test_sums_beyond_64_bits_are_exact(engine: sa.Engine, out: Path, form: Form) -> None:
    largest = 2**63 - 1
    for log_id in "abc":
        put(engine, log_id, output_tokens=largest, cost_nanousd=-largest)

    report = export(engine, out, order(form))

    assert (report.sums["output_tokens"], report.sums["cost_nanousd"]) == (3 * largest, -3 * largest)


def test_open_rows_other_origins_and_what_came_after_the_beginning_are_left_out(engine: sa.Engine, out: Path) -> None:
    put(engine, "a")
    put(engine, "b", status="started")
    put(engine, "c", origin="simulated")
    put(engine, "d", created_at=LATER)

    report = export(engine, out, order(origin=Origin.PRODUCTION))

    assert [row["log_id"] for row in exported(out, Form.CSV)] == ["a"]
    assert (report.rows, report.left) == (1, 0)


def test_a_span_has_the_rows_that_began_in_it_its_end_excluded(engine: sa.Engine, out: Path) -> None:
    """Whatever came before and comes after; so spans side by side have every row once."""
    days = [BEGAN + dt.timedelta(days=day) for day in range(4)]
    for day, moment in enumerate(days):
        put(engine, f"{day}", created_at=moment)

    exports = [export(engine, out / f"{n}", order(since=since, until=until)) for n, (since, until) in
               enumerate([(None, days[1]), (days[1], days[3]), (days[3], None)])]  # fmt: skip

    assert [[row["log_id"] for row in exported(out / f"{n}", Form.CSV)] for n in range(3)] == [["0"], ["1", "2"], []]
    assert [(report.rows, report.left) for report in exports] == [(1, 0), (2, 0), (0, 0)]


def test_an_empty_log_is_an_export_without_files(engine: sa.Engine, out: Path) -> None:
    assert export(engine, out, order()).parts == 0
    assert [path.name for path in out.iterdir()] == ["manifest.json"]


def test_rows_that_end_or_come_in_behind_an_export_are_told(engine: sa.Engine, out: Path) -> None:
    fill(engine, 4)
    put(engine, "open", status="started")
    export(engine, out, order())
    with engine.begin() as connection:
        connection.execute(sa.update(logs).where(logs.c.log_id == "open").values(status="success"))

    assert export(engine, out, order()).left == 1


def test_rows_that_retention_has_deleted_since_are_told_beside_those_that_came_in(engine: sa.Engine, out: Path) -> None:
    fill(engine, 8)
    export(engine, out, order())
    first = in_order(engine)[0]["log_id"]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection, allow_deletes(connection):
        connection.execute(sa.delete(logs).where(logs.c.log_id == first))
    put(engine, "late", created_at=in_order(engine)[-1]["created_at"] + dt.timedelta(microseconds=-1))

    report = export(engine, out, order())

    assert (report.rows, report.left, report.gone) == (8, 1, 1)
    said = export_text(report).splitlines()
    assert said[1:] == [
        "1 rows ended or came in behind it; a new export has them",
        "1 of them are in the log no longer",
    ]


def test_the_same_rows_are_the_same_bytes(engine: sa.Engine, tmp_path: Path, form: Form) -> None:
    fill(engine, 5)
    one, other = tmp_path / "one", tmp_path / "other"
    export(engine, one, order(form))
    export(engine, other, order(form))
    assert [path.read_bytes() for path in parts(one)] == [path.read_bytes() for path in parts(other)]


def test_a_file_whose_figures_are_not_the_logs_is_an_error_and_no_part(out: Path) -> None:
    with pytest.raises(InvalidExport) as caught:
        exporter._refuse_other_figures(_touched(out / "part-1"), (2, {"output_tokens": 200}), (1, {"output_tokens": 1}))
    assert str(caught.value) == (
        f"{out}/part-1: 2 problems\n  - has 1 rows, the log 2\n  - output_tokens adds up to 1, in the log to 200"
    )
    assert parts(out) == []


@pytest.mark.parametrize(
    ("form", "content"),
    [(Form.CSV, b"output_tokens\n1\nx\n"), (Form.CSV, b"\xff\n"), (Form.CSV, b"a\n1\n"), (Form.PARQUET, b"PAR1")],
)
def test_a_file_that_is_not_of_its_form_can_not_be_read_back(tmp_path: Path, form: Form, content: bytes) -> None:
    path = tmp_path / "part"
    path.write_bytes(content)
    with pytest.raises(InvalidExport, match="can't be read back"):
        read_back(path, form, ["output_tokens"])


def _touched(path: Path) -> Path:
    path.parent.mkdir()
    path.touch()
    return path


def test_a_directory_that_can_not_be_made_is_one_clear_error(engine: sa.Engine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidExport, match="can't be written: Not a directory"):
        export(engine, tmp_path / "file" / "out", order())


def test_a_database_that_can_not_be_read_is_one_clear_error(out: Path, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/other.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE ai_outbound_logs")
    with pytest.raises(SourceUnreachable, match="no such table"):
        export(engine, out, order())
    engine.dispose()


def test_the_manifest_holds_what_a_reader_needs_to_check_the_files(engine: sa.Engine, out: Path) -> None:
    fill(engine, 4)
    report = export(engine, out, order())

    manifest = json.loads((out / "manifest.json").read_text())

    assert manifest["columns"] == list(logs.columns.keys())
    assert [part["rows"] for part in manifest["parts"]] == [3, 1]
    assert sum(part["sums"]["cost_nanousd"] for part in manifest["parts"]) == report.sums["cost_nanousd"]
