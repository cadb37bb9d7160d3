"""Another application's table becomes rows of origin import, by the map of policies/sources.yml, and is only read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from dispatcher.audit.engine import open_engine
from dispatcher.audit.tables import logs
from dispatcher.cli import run
from dispatcher.errors import InvalidImport, SourceUnreachable
from dispatcher.telemetry.importer import ImportReport, import_lines
from dispatcher.telemetry.table_lines import open_table
from dispatcher.verdict.pinning.sources import Source

COLUMNS: dict[str, Any] = {
    "created_at": "began",
    "status": "state",
    "tenant": "customer",
    "response_time_ms": {"column": "wall", "unit": "s"},
    "cost": {"column": "price", "unit": "microusd", "zero_is_unknown": True},
    "output_valid": {"column": "valid"},
    "iterations": {"column": "steps"},
}
TABLE = sa.Table(
    "researches",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("began", sa.DateTime),
    sa.Column("state", sa.String(20)),
    sa.Column("customer", sa.String(20)),
    sa.Column("wall", sa.Numeric(12, 4)),
    sa.Column("price", sa.BigInteger),
    sa.Column("valid", sa.Boolean),
    sa.Column("steps", sa.Integer),
    sa.Column("kind", sa.String(20)),
)
BEGAN = dt.datetime(2026, 4, 10, 8, 0, 0)  # noqa: DTZ001 - the other application keeps no zone
ROWS = [
    (1, BEGAN, "done", "script", "19.2345", 120_000, True, 3, "research"),
    (2, BEGAN, "failed", "script", None, 0, None, None, "research"),
    (3, BEGAN, None, "hooli", "0.5", None, False, 1, "research"),
    (4, BEGAN, "done", "hooli", "1", 1, True, 1, "chat"),
]


def a_source(**changes: Any) -> Source:
    fields = {
        "url": "OTHER_DATABASE_URL",
        "table": "researches",
        "authorised_by": "J. Doe, 2026-05-08",
        "feature": "agent_research",
        "zone": "Europe/Amsterdam",
        "success": ["done"],
        "only": {"kind": "research"},
        "columns": COLUMNS,
    }
    return Source.model_validate(fields | changes)


@pytest.fixture
def other(any_bare_url: str) -> Iterator[sa.Engine]:
    """The other application's database, on every engine in turn."""
    engine = sa.create_engine(_in_a_file(any_bare_url), poolclass=sa.NullPool)
    TABLE.create(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(TABLE), [dict(zip(TABLE.columns.keys(), row, strict=True)) for row in ROWS])
    yield engine
    TABLE.drop(engine)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/log/log.db")
    yield engine
    engine.dispose()


def _in_a_file(url: str) -> str:
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return url


def take(engine: sa.Engine, other: sa.Engine, source: Source) -> ImportReport:
    url = other.url.render_as_string(hide_password=False)
    with open_table("tracker", source, url) as (column_map, lines):
        return import_lines(engine, column_map, lines, "source tracker")


def test_every_row_that_the_source_is_about_becomes_one_of_origin_import(engine: sa.Engine, other: sa.Engine) -> None:
    """Units, zone and words as mapped; what is unknown stays so; a second import adds nothing."""
    first = take(engine, other, a_source())
    second = take(engine, other, a_source())

    assert (first.lines, first.added, second.added, second.repeated) == (3, 3, 0, 3)
    with engine.connect() as connection:
        found = (
            connection.execute(sa.select(logs).order_by(logs.c.tenant.desc(), logs.c.status.desc())).mappings().all()
        )
    names = ("tenant", "status", "response_time_ms", "cost_nanousd", "output_valid", "iterations")
    assert [tuple(row[name] for name in names) for row in found] == [
        ("script", "success", 19_235, 120_000_000, True, 3),
        ("script", "error", None, None, None, None),
        ("hooli", "lost", 500, None, False, 1),
    ]
    assert {row["created_at"] for row in found} == {dt.datetime(2026, 4, 10, 6, 0, tzinfo=dt.UTC)}
    assert {(row["origin"], row["feature"]) for row in found} == {("import", "agent_research")}


def test_the_table_is_only_read(engine: sa.Engine, other: sa.Engine) -> None:
    take(engine, other, a_source())

    with other.connect() as connection:
        assert [row.id for row in connection.execute(sa.select(TABLE).order_by(TABLE.c.id))] == [1, 2, 3, 4]
    tables = set(sa.inspect(other).get_table_names())
    assert tables == {"researches"}


def test_a_source_without_a_status_has_answers_only(engine: sa.Engine, other: sa.Engine) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "status"}
    assert take(engine, other, a_source(columns=columns)).statuses == {"success": 3}


def test_what_the_table_does_not_have_is_named_at_once(engine: sa.Engine, other: sa.Engine) -> None:
    source = a_source(columns=COLUMNS | {"tenant": "client"}, only={"sort": "research"})
    with pytest.raises(InvalidImport) as caught:
        take(engine, other, source)
    assert caught.value.problems == ("tenant: there is no column client", "sort: there is no column sort")
    with pytest.raises(InvalidImport, match="there is no table research"):
        take(engine, other, a_source(table="research"))


def test_a_source_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with (
        pytest.raises(SourceUnreachable, match="its file isn't there"),
        open_table("tracker", a_source(), f"sqlite:///{tmp_path}/none.db"),
    ):
        pass


def test_a_source_is_imported_by_its_name(
    other: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policies").mkdir()
    document = {"schema": 1, "sources": {"tracker": a_source().model_dump(exclude_none=True, mode="json")}}
    (tmp_path / "policies" / "sources.yml").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(tmp_path / "policies"))
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{tmp_path}/log.db")
    monkeypatch.setenv("OTHER_DATABASE_URL", other.url.render_as_string(hide_password=False))

    codes = [run(["logs", "import", *words]) for words in (["--source", "tracker"], ["--source", "nobody"], [])]
    out, err = capsys.readouterr()

    assert codes == [0, 2, 2]
    assert "source tracker as tracker: 3 lines, 3 rows added, 0 were there already" in out
    assert "isn't in sources.yml, which has tracker" in err
    assert "name a FILE and its --map, or a --source" in err
