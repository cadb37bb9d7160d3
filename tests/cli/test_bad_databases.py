"""A database that can't be used is one clear error of every verb, and of a dispatch, and loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dispatcher.audit.engine import connect, granted, open_engine
from dispatcher.audit.revision import VERSION_TABLE
from dispatcher.audit.tables import logs
from dispatcher.cli import run
from dispatcher.settings import Settings
from dispatcher.simulator.server import Simulator

Cli = Callable[..., tuple[int, str, str]]
READERS = ("logs summary", "telemetry distribution", "prices check")
WRITERS = ("prices reprice", "logs drain")


@pytest.fixture
def cli(
    live_settings: Settings,
    live_simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """`cli(url, verb)` on a database, with a spool of this test's own."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", live_simulator.base_url)
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(live_settings.policies_dir))
    monkeypatch.setenv("DISPATCHER_SPOOL_DIR", str(tmp_path / "spool"))

    def call(url: str, *verb: str) -> tuple[int, str, str]:
        monkeypatch.setenv("DISPATCHER_DATABASE_URL", url)
        capsys.readouterr()
        code = run(list(verb) if len(verb) > 1 else verb[0].split())
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def dispatched(cli: Cli, checkout: Path) -> Callable[[str], tuple[int, str, str]]:
    """One research action on a database."""
    where = ("--tenant", "umbrella", "--repository", str(checkout))
    return lambda url: cli(url, "research", "Where is the greeting computed?", "--json", *where)


@pytest.fixture
def engine(any_url: str) -> Iterator[sa.Engine]:
    engine = open_engine(any_url)
    yield engine
    engine.dispose()


def statuses(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(logs.c.status)).scalars())


def waiting(cli: Cli, url: str) -> int:
    number: int = json.loads(cli(url, "logs status --json")[1])["spool"]["waiting"]
    return number


def one_line(answer: tuple[int, str, str], words: str) -> None:
    code, out, err = answer
    assert (code, out) == (5, ""), err
    assert (err.count("\n"), err.startswith("error: "), words in err) == (1, True, True), err


def noted(engine: sa.Engine, revision: str) -> str:
    """Have the database say that it is at a revision; returns what it said before."""
    with engine.begin() as connection:
        before: str = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = :now"), {"now": revision})
    return before


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "the database URL can't be read; write it as sqlite:"),
        ("oracle://ada:s3cret@host/name", "its driver"),
        ("postgresql+psycopg://ada:s3cret@127.0.0.1:1/name", "127.0.0.1:1/name can't be used: "),
        ("mariadb+pymysql://ada:s3cret@127.0.0.1:1/name", "127.0.0.1:1/name can't be used: "),
        ("postgresql+psycopg://ada:s3cret@nowhere.invalid/name", "nowhere.invalid/name can't be used: "),
        ("mariadb+pymysql://ada:s3cret@127.0.0.1:1/name?unheard_of=1", "1/name can't be used: its host, or an option"),
        (
            "mariadb+pymysql://ada:s3cret@127.0.0.1:1/name?read_timeout=soon",
            "1/name can't be used: an option of the URL",
        ),
        (f"postgresql+psycopg://ada:s3cret@{'n' * 64}.invalid/name", "/name can't be used: its host, or an option"),
        ("sqlite:////proc/nothing/log.db", "/proc/nothing/log.db can't be used: "),
        ("sqlite:///", "a log in memory would not outlive its process"),
    ],
)
def test_a_wrong_url_is_one_line_without_its_secret(cli: Cli, dispatched: Any, url: str, words: str) -> None:
    for answer in (dispatched(url), *(cli(url, verb) for verb in (*READERS, *WRITERS, "migrate"))):
        one_line(answer, words)
        assert "s3cret" not in answer[2]


def test_a_database_that_is_not_there_and_a_user_that_is_none_are_one_line_each(
    cli: Cli, dispatched: Any, server_url: str
) -> None:
    url = sa.make_url(server_url)
    nobody = url.set(username="nobody-knows", password="s3cret") if "mariadb" in server_url else None
    for wrong in (url.set(database="is_not_there"), nobody):
        if wrong is None:
            continue
        text = wrong.render_as_string(hide_password=False)
        for answer in (dispatched(text), *(cli(text, verb) for verb in (*READERS, *WRITERS, "migrate"))):
            one_line(answer, "can't be used: ")
            assert "s3cret" not in answer[2]
            assert "nobody-knows" not in answer[2]


def test_a_newer_schema_takes_no_row_and_keeps_what_it_has(
    cli: Cli, dispatched: Any, engine: sa.Engine, any_url: str
) -> None:
    assert dispatched(any_url)[0] == 0
    before = noted(engine, "9999")
    try:
        for answer in (dispatched(any_url), *(cli(any_url, verb) for verb in (*READERS, *WRITERS, "migrate"))):
            one_line(answer, "its schema 9999 is newer than this program, which knows")
        assert (statuses(engine), waiting(cli, any_url)) == (["success"], 0)
    finally:
        noted(engine, before)
    assert dispatched(any_url)[0] == 0
    assert statuses(engine) == ["success", "success"]


@pytest.mark.parametrize("any_url", ["postgresql", "mariadb"], indirect=True)
def test_an_older_schema_of_a_server_takes_no_row_until_it_is_migrated(
    cli: Cli, dispatched: Any, engine: sa.Engine, any_url: str
) -> None:
    assert dispatched(any_url)[0] == 0
    before = noted(engine, "0009")
    try:
        for answer in (dispatched(any_url), *(cli(any_url, verb) for verb in (*READERS, *WRITERS))):
            one_line(answer, "its schema 0009 is an older one; run `dispatcher migrate`")
        assert (statuses(engine), waiting(cli, any_url)) == (["success"], 0)
        assert cli(any_url, "migrate")[1] == f"migrated from 0009 to {before}\n"
    finally:
        noted(engine, before)
    assert dispatched(any_url)[0] == 0
    assert statuses(engine) == ["success", "success"]


@pytest.mark.parametrize("any_url", ["postgresql", "mariadb"], indirect=True)
def test_a_role_without_rights_is_told_what_it_lacks_and_no_accepted_row_is_lost(
    cli: Cli, dispatched: Any, engine: sa.Engine, any_url: str
) -> None:
    postgresql = engine.dialect.name == "postgresql"
    role = "newcomer" if postgresql else "newcomer@localhost"
    as_role = engine.url.set(username="newcomer").render_as_string(hide_password=False)
    execute(engine, f"CREATE {'ROLE newcomer LOGIN' if postgresql else f'USER {role}'}")
    try:
        for answer in (dispatched(as_role), *(cli(as_role, verb) for verb in (*READERS, *WRITERS))):
            one_line(answer, "denied")
        assert (statuses(engine), waiting(cli, as_role)) == ([], 0)
        # One that may look and not write is a database that refuses rows: they are accepted by the spool, and wait.
        execute(engine, f"GRANT SELECT ON {VERSION_TABLE} TO {role}")
        assert dispatched(as_role)[0] == 0
        assert (statuses(engine), waiting(cli, as_role)) == ([], 1)
        code, out, _ = cli(as_role, "logs drain")
        assert (code, "1 still wait: " in out, "denied" in out) == (1, True, True)
        assert "lacks INSERT on ai_outbound_logs" in cli(as_role, "doctor")[1].replace(
            "SELECT on ai_outbound_logs, ", ""
        )
        granted(any_url, role, dry_run=False)
        assert cli(as_role, "logs drain")[0] == 0
        assert dispatched(as_role)[0] == 0
        assert (statuses(engine), waiting(cli, as_role)) == (["success", "success"], 0)
    finally:
        execute(engine, *(["DROP OWNED BY newcomer", "DROP ROLE newcomer"] if postgresql else [f"DROP USER {role}"]))


def execute(engine: sa.Engine, *statements: str) -> None:
    url = engine.url.render_as_string(hide_password=False)
    other = connect(url)
    with other.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    other.dispose()
