"""A baseline is measured in another application's table, read-only, and becomes a figure with everything behind it."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from pins import FIXTURE, NOW, SAMPLE, published_as_pin, tracker
from sqlalchemy.dialects import mysql

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.document import Record
from dispatcher.adr.ranks import read_ranks
from dispatcher.adr.reader import read_record
from dispatcher.audit.engine import connect
from dispatcher.errors import InvalidPolicy, InvalidRecord, SourceUnreachable
from dispatcher.verdict.measurement.source_rows import source_rows
from dispatcher.verdict.pinning.pin import Pin, pin_of, pinnable
from dispatcher.verdict.pinning.sources import Source
from dispatcher.verdict.pinning.writing import files_of, write

ADRS = Path(__file__).parents[2] / "adrs"


@pytest.fixture
def table(any_bare_url: str) -> Iterator[sa.Engine]:
    """A table as Laravel makes it, on every engine, with 36 successes, their errors, and rows that aren't ours."""
    engine = connect(any_bare_url)
    Path(str(engine.url.database)).parent.mkdir(
        parents=True, exist_ok=True
    ) if engine.dialect.name == "sqlite" else None
    laravel_table().metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(laravel_table()), list(laravel_rows()))
    yield engine
    engine.dispose()


def laravel_table(metadata: sa.MetaData | None = None) -> sa.Table:
    moment = sa.DateTime().with_variant(mysql.TIMESTAMP(), "mysql", "mariadb")
    return sa.Table(
        "ai_outbound_logs",
        metadata or sa.MetaData(),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("feature", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("response_time_ms", sa.Integer),
        sa.Column("cost_usd", sa.Numeric(12, 6)),
        sa.Column("created_at", moment, nullable=False, server_default=sa.text("CURRENT_TIMESTAMP")),
    )


def moment(day: int, hour: int = 0) -> dt.datetime:
    """A moment of April 2026 in UTC, as the table has it: without a zone."""
    return dt.datetime(2026, 4, 1) + dt.timedelta(days=day - 1, hours=hour)  # noqa: DTZ001 - as the docstring says


def laravel_rows() -> Iterator[dict[str, Any]]:
    for place, time in enumerate(FIXTURE):
        row = {"feature": "agent_research", "status": "success", "response_time_ms": time, "cost_usd": None}
        yield {**row, "cost_usd": "0.012345", "created_at": moment(9 + place % 21)}
    wrong = {"feature": "agent_research", "status": "error", "response_time_ms": 700, "cost_usd": "0.000000"}
    yield from ({**wrong, "created_at": moment(10, hour)} for hour in range(4))
    yield {**row, "created_at": moment(8, 23)}
    yield {**row, "created_at": moment(39)}
    yield {**row, "feature": "story", "created_at": moment(10)}


def pinned(engine: sa.Engine, record: Record, criterion_id: str, source: Source) -> Pin:
    criterion = next(
        each for each in (record.acceptance.criteria if record.acceptance else ()) if each.id == criterion_id
    )
    baseline, used = pinnable(record, criterion, {"tracker": source})
    url = engine.url.render_as_string(hide_password=False)
    return pin_of(record, criterion, used, source_rows(url, used, criterion, baseline), NOW)


def test_the_published_figures_come_out_of_the_rows_on_every_engine(table: sa.Engine) -> None:
    pin = pinned(table, published_as_pin(), "AC-7", tracker())

    assert (pin.value, pin.n, pin.unknown, pin.ranks.failures) == (28036, 36, 0, 0)
    assert {value: rows for value, rows in pin.ranks.histogram.items() if rows > 1} == {18703: 2, 26340: 2, 28036: 2}
    assert "success_filter" in {trap.name for trap in pin.traps}
    assert "thin_sample" in {trap.name for trap in pin.traps}


def test_the_statement_can_be_run_as_it_is_written(table: sa.Engine) -> None:
    pin = pinned(table, published_as_pin(), "AC-7", tracker())

    with table.connect() as connection:
        rows = connection.exec_driver_sql(pin.sql.replace("%", "%%") if "%" in pin.sql else pin.sql).all()
    assert sum(count for status, _, count in rows if status == "success") == 36


def test_the_source_is_only_read(table: sa.Engine) -> None:
    def state() -> list[Any]:
        with table.connect() as connection:
            return list(connection.execute(sa.select(laravel_table())).all())

    before = state()
    pinned(table, published_as_pin(), "AC-7", tracker())

    assert state() == before


def test_a_record_with_its_pin_can_be_read_again(table: sa.Engine, tmp_path: Path) -> None:
    shutil.copytree(ADRS, tmp_path / "adrs")
    path = tmp_path / "adrs" / SAMPLE.name
    path.write_text(published_as_pin().text)
    record = read_record(path)

    write(files_of(record, pinned(table, record, "AC-7", tracker())))

    again = read_record(path)
    assert again.acceptance is not None
    baseline = again.acceptance.criteria[1].baseline
    assert baseline is not None
    assert baseline.ranks is not None
    assert (baseline.n, baseline.value, baseline.awaits_pin) == (36, 28036, False)
    assert read_ranks(path.parent, baseline.ranks).n == 36
    stated = yaml.safe_load((path.parent / "KD-0650-AC-7.pin.yml").read_text())
    assert stated["sql_sha256"] == hashlib.sha256(stated["sql"].encode()).hexdigest()
    assert (stated["authorised_by"], stated["tenant"], stated["window"]) == (
        "J. Doe",
        "script",
        ["2026-04-09", "2026-05-09"],
    )


def test_money_is_exact_to_the_nano_dollar(table: sa.Engine) -> None:
    pin = pinned(table, published_as_pin(measure="cost"), "AC-C", tracker())

    assert pin.ranks.histogram == {12_345_000: 36}
    assert str(pin.value) == "0.012345"


def test_a_column_that_isnt_there_is_named(table: sa.Engine) -> None:
    wrong = tracker(columns={"response_time_ms": {"column": "wall", "unit": "ms"}, "created_at": "at"})

    with pytest.raises(InvalidPolicy) as caught:
        pinned(table, published_as_pin(), "AC-7", wrong)

    assert list(caught.value.problems) == [
        "created_at: there is no column at",
        "response_time_ms: there is no column wall",
    ]


def test_a_table_that_isnt_there_is_named(table: sa.Engine) -> None:
    with pytest.raises(InvalidPolicy, match="no such table"):
        pinned(table, published_as_pin(), "AC-7", tracker(table="elsewhere"))


def test_a_file_that_isnt_there_isnt_made(tmp_path: Path) -> None:
    record = published_as_pin()
    criterion = record.acceptance.criteria[1] if record.acceptance else None
    assert criterion is not None
    assert criterion.baseline is not None

    with pytest.raises(SourceUnreachable):
        source_rows(f"sqlite:///{tmp_path}/none.db", tracker(), criterion, criterion.baseline)
    assert not (tmp_path / "none.db").exists()


def test_the_published_baseline_is_never_run_again() -> None:
    record = read_record(SAMPLE)
    criterion: Criterion = record.acceptance.criteria[1] if record.acceptance else pytest.fail("no block")

    with pytest.raises(InvalidRecord, match=r"its baseline is published.*never run again"):
        pinnable(record, criterion, {"tracker": tracker()})


@pytest.mark.parametrize("odd", ["soon", "1_000", "٣٤", b"\x00\x01", float("inf"), -5, 10**17, 1e300])
def test_what_is_no_time_is_one_error_and_no_pin(tmp_path: Path, odd: Any) -> None:
    """SQLite keeps whatever it is given in a column of numbers."""
    engine = connect(f"sqlite:///{tmp_path}/odd.db")
    laravel_table().metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(laravel_table()), list(laravel_rows()))
        statement = "UPDATE ai_outbound_logs SET response_time_ms = ? WHERE id = 3"
        connection.exec_driver_sql(statement, (odd,))
    with pytest.raises((InvalidPolicy, InvalidRecord), match=r"isn't a number|rows hold a value below 0"):
        pinned(engine, published_as_pin(), "AC-7", tracker())
    engine.dispose()


def test_a_time_of_nothing_is_a_trap(table: sa.Engine) -> None:
    with table.begin() as connection:
        connection.execute(
            sa.update(laravel_table()).where(sa.column("response_time_ms") == 18703).values(response_time_ms=0)
        )
    pin = pinned(table, published_as_pin(), "AC-7", tracker())

    assert {trap.name: trap.told for trap in pin.traps}["zero_time"].startswith("2 rows took 0 ms")


@pytest.mark.parametrize(
    ("treated", "columns", "said"),
    [("sample", {}, True), ("sample", {"conversation_id": "feature"}, False), ("contract", {}, False)],
)
def test_a_sample_of_rows_whose_conversations_are_not_known_is_a_trap(
    table: sa.Engine, treated: str, columns: dict[str, str], said: bool
) -> None:
    pin = pinned(table, published_as_pin(treat_as=treated), "AC-7", tracker(columns=columns))

    assert ("conversations_unknown" in {trap.name for trap in pin.traps}) is said


def test_of_a_sample_the_first_row_of_each_conversation_counts(any_bare_url: str) -> None:
    engine = connect(any_bare_url)
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
    metadata = sa.MetaData()
    table = laravel_table(metadata)
    table.append_column(sa.Column("talk", sa.String(20)))
    metadata.create_all(engine)
    row = {"feature": "agent_research", "status": "success", "cost_usd": "1"}
    rows = [(1000, "a", 1), (9000, "a", 2), (2000, "b", 1), (9000, "b", 3), (3000, None, 1), (4000, None, 2)]
    with engine.begin() as connection:
        values = [
            {**row, "response_time_ms": time, "talk": talk, "created_at": moment(10, hour)} for time, talk, hour in rows
        ]
        connection.execute(sa.insert(table), values)

    found = pinned(
        engine, published_as_pin(treat_as="sample"), "AC-7", tracker(columns={"conversation_id": "talk"})
    )  # fmt: skip
    engine.dispose()

    assert found.ranks.histogram == {1000: 1, 2000: 1, 3000: 1, 4000: 1}
