"""Verbs that only read, and dry runs, neither make a database nor migrate one; they say in one line why they can't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from dispatcher.audit.engine import connect, migrate_database, open_engine, open_to_read
from dispatcher.audit.revision import VERSION_TABLE
from dispatcher.cli import run
from dispatcher.errors import SourceUnreachable

ROOT = Path(__file__).parents[2]
IMPORT = "logs import --dry-run rows.csv --map map.yml"
NEED_A_LOG = {
    "logs summary": (),
    "logs export": ("out",),
    "logs export --dry-run": ("out",),
    "logs retention --dry-run": (),
    "logs sweep --dry-run": (),
    "telemetry distribution": (),
    "telemetry failures": (),
    "prices check": (),
    "prices reprice --dry-run": (),
    "prices reconcile --dry-run": (),
}
ANSWER_WITHOUT = {
    "logs status": 0,
    "logs drain --dry-run": 0,
    IMPORT: 0,
    "doctor": 0,
    "explain --tenant acme --conversation c-1": 0,
    "flags show": 0,
    "flags history": 0,
    "migrate --dry-run": 0,
}

Cli = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """A verb's exit code, standard output and standard error; its log is `log/dispatcher.db`, and isn't there."""
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{tmp_path}/log/dispatcher.db")
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(ROOT / "policies"))
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(ROOT / "adrs"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("id,ms,at\na,5,2026-01-01T00:00Z\n")
    (tmp_path / "map.yml").write_text(
        "schema: 1\nsource: bench\nkey: [id]\n"
        "columns: {response_time_ms: {from: ms, unit: ms}, created_at: {from: at}}\n"
        "constants: {feature: agent_research, tenant: bench, status: success}\n"
    )

    def call(verb: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(verb.split())
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def spoken(verb: str) -> str:
    return " ".join((verb, *NEED_A_LOG[verb]))


def contents(tmp_path: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (tmp_path / "log").glob("*")}


@pytest.mark.parametrize("verb", NEED_A_LOG)
def test_a_log_that_is_not_there_is_one_clear_error_and_nothing_is_made(cli: Cli, tmp_path: Path, verb: str) -> None:
    code, _, err = cli(spoken(verb))
    file = tmp_path / "log" / "dispatcher.db"
    why = "there is no such file; what dispatches first, or `dispatcher migrate`, makes it"
    assert (code, err) == (5, f"error: the database file {file} can't be used: {why}\n")
    assert not file.parent.exists()


@pytest.mark.parametrize("verb", ANSWER_WITHOUT)
def test_what_can_answer_without_a_log_does_and_makes_none(cli: Cli, tmp_path: Path, verb: str) -> None:
    code, _, err = cli(verb)
    assert (code, err) == (ANSWER_WITHOUT[verb], "")
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("verb", [*NEED_A_LOG, IMPORT, "flags history"])
@pytest.mark.parametrize(
    ("revision", "why"),
    [
        ("0003", "its schema 0003 is an older one; run `dispatcher migrate`"),
        ("9999", "its schema 9999 is newer than this program, which knows"),
    ],
)
def test_another_schema_is_one_clear_error_and_is_left_as_it_is(
    cli: Cli, tmp_path: Path, verb: str, revision: str, why: str
) -> None:
    at_revision(f"sqlite:///{tmp_path}/log/dispatcher.db", revision)
    before = contents(tmp_path)
    code, _, err = cli(spoken(verb) if verb in NEED_A_LOG else verb)
    assert (code, err.count("\n"), why in err) == (5, 1, True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("verb", NEED_A_LOG)
def test_a_table_of_another_application_is_named_with_what_may_be_done(cli: Cli, tmp_path: Path, verb: str) -> None:
    (tmp_path / "log").mkdir()
    engine = connect(f"sqlite:///{tmp_path}/log/dispatcher.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE ai_outbound_logs (id INTEGER PRIMARY KEY)")
    engine.dispose()
    before = contents(tmp_path)
    code, _, err = cli(spoken(verb))
    assert (code, err.count("\n"), "migrate --adopt --dry-run" in err) == (5, 1, True)
    assert "migrate --adopt --dry-run" in cli("logs status")[1]
    assert "migrate --adopt --dry-run" in cli("doctor")[1]
    assert contents(tmp_path) == before


def test_a_directory_is_no_log(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "log" / "dispatcher.db").mkdir(parents=True)
    code, _, err = cli("logs summary")
    assert (code, err.count("\n"), "it is a directory; name a file in it" in err) == (5, 1, True)


def test_the_status_says_what_is_wrong_with_the_schema(cli: Cli, tmp_path: Path) -> None:
    at_revision(f"sqlite:///{tmp_path}/log/dispatcher.db", "0003")
    code, out, _ = cli("logs status")
    assert (code, "its schema 0003 is an older one; run `dispatcher migrate`" in out) == (0, True)


def test_a_reader_migrates_no_database_of_a_server(any_bare_url: str, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match=r"has no schema yet; run|there is no such file"):
        open_to_read(any_bare_url)
    assert list(tmp_path.iterdir()) == []
    migrate_database(any_bare_url)
    engine = open_to_read(any_bare_url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '0003'"))
    engine.dispose()
    with pytest.raises(SourceUnreachable, match="its schema 0003 is an older one; run `dispatcher migrate`"):
        open_to_read(any_bare_url)


def at_revision(url: str, revision: str) -> None:
    open_engine(url).dispose()
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'"))
    engine.dispose()
