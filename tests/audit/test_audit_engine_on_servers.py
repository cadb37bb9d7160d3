"""What goes wrong with a PostgreSQL or a MariaDB is one clear error, and nothing is lost by it."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from attempts import BEGAN, an_ending, an_opening
from log_contract import rows
from road import road_to

from dispatcher.audit import migrate
from dispatcher.audit.connections import Connections, transaction
from dispatcher.audit.engine import connect, open_engine
from dispatcher.audit.log import Log
from dispatcher.audit.tables import budget_locks
from dispatcher.audit.trouble import reason_of
from dispatcher.errors import LogUnavailable, SourceUnreachable


@pytest.fixture
def engine(server_url: str) -> Iterator[sa.Engine]:
    engine = open_engine(server_url)
    yield engine
    engine.dispose()


def refusal(url: str | sa.URL) -> str:
    """The one clear error of a URL: one line, without user and password."""
    shown = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    with pytest.raises(SourceUnreachable) as caught:
        open_engine(shown)
    text = str(caught.value)
    assert "\n" not in text
    assert "s3cret" not in text
    assert "ada" not in text
    return text


@pytest.fixture
def as_ada(engine: sa.Engine, server_url: str) -> Iterator[sa.URL]:
    """The URL of a user who may read the log and nothing else."""
    url = sa.make_url(server_url)
    server = engine.execution_options(isolation_level="AUTOCOMMIT")
    if engine.dialect.name == "postgresql":
        made = ["CREATE ROLE ada LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO ada"]
        gone = ["DROP OWNED BY ada", "DROP ROLE ada"]
    else:
        made = [
            "CREATE USER ada@localhost IDENTIFIED BY 's3cret'",
            f"GRANT SELECT ON {url.database}.* TO ada@localhost",
        ]
        gone = ["DROP USER ada@localhost"]
    with server.connect() as connection:
        for statement in made:
            connection.exec_driver_sql(statement)
    yield url.set(username="ada", password="s3cret")
    with server.connect() as connection:
        for statement in gone:
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("any_bare_url", ["postgresql", "mariadb"], indirect=True)
def test_a_database_without_a_schema_is_not_migrated_unasked(any_bare_url: str) -> None:
    assert "it has no schema yet; run `dispatcher migrate`" in refusal(any_bare_url)
    engine = connect(any_bare_url)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


@pytest.mark.parametrize(
    ("revision", "words"),
    [
        ("0003", "its schema 0003 is an older one; run `dispatcher migrate`"),
        ("9999", "schema 9999 is newer than this program, .*; upgrade the program"),
    ],
    ids=["older", "newer"],
)
def test_another_schema_is_an_error_and_stays_as_it_is(
    engine: sa.Engine, server_url: str, revision: str, words: str
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE dispatcher_alembic_version SET version_num = '{revision}'")
    with pytest.raises(SourceUnreachable, match=words):
        open_engine(server_url)
    assert migrate.current(engine) == revision


def test_a_server_that_is_not_there_and_one_that_does_not_know_the_user_or_the_database_are_named(
    server_url: str,
) -> None:
    url = sa.make_url(server_url)
    nowhere = url.set(username="ada", password="s3cret", host="127.0.0.1", port=1, query={})
    assert "can't be used: " in refusal(nowhere)
    assert "can't be used: " in refusal(url.set(username="ada", password="s3cret"))
    assert "nobodys" in refusal(url.set(database="nobodys"))


@pytest.mark.parametrize("server_url", ["mariadb"], indirect=True)
def test_a_server_that_never_greets_is_told_also_to_who_may_ask_for_what_takes_its_time(server_url: str) -> None:
    url = sa.make_url(server_url).update_query_dict({"connect_timeout": "1"})
    with road_to(url.render_as_string(hide_password=False)) as (road, beginning):
        road.swallow()
        assert "can't be used: " in refusal(beginning)
        road.let_through()
        engine = open_engine(beginning)
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT sleep(1.5)")
        engine.dispose()


async def test_a_user_without_the_right_to_write_is_one_clear_error(as_ada: sa.URL, engine: sa.Engine) -> None:
    reader = open_engine(as_ada.render_as_string(hide_password=False))
    log = Log(reader)
    with pytest.raises(LogUnavailable) as refusal:
        await log.open(an_opening(tenant="tenant-of-secrets"))
    log.shutdown()
    reader.dispose()
    text = str(refusal.value)
    assert "nothing was sent to the provider" in text
    assert "denied" in text
    assert [word for word in ("\n", "'ada'", "s3cret", "tenant-of-secrets") if word in text] == []
    assert rows(engine) == []


def test_what_a_row_holds_is_not_told_with_the_error(engine: sa.Engine) -> None:
    lock = sa.insert(budget_locks).values(tenant="tenant-of-secrets", feature="f", touched=BEGAN)
    with engine.begin() as connection:
        connection.execute(lock)
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError) as refusal:
        connection.execute(lock)
    assert "key" in reason_of(refusal.value, engine.url)
    assert "tenant-of-secrets" not in reason_of(refusal.value, engine.url)


def test_of_two_that_wait_for_each_other_both_come_to_their_end(engine: sa.Engine) -> None:
    """The database gives one of them up, and it is done again."""
    with engine.begin() as connection:
        for tenant in "ab":
            connection.execute(sa.insert(budget_locks).values(tenant=tenant, feature="f", touched=BEGAN))
    connections, both_hold_one, tries = Connections(engine), threading.Barrier(2), []

    def take(order: str) -> None:
        def work(connection: sa.Connection) -> None:
            tries.append(order)
            with transaction(connection):
                for place, tenant in enumerate(order):
                    # By the whole key, as a part of it may be looked up by reading, and locking, all rows.
                    its_own = sa.update(budget_locks).where(
                        budget_locks.c.tenant == tenant, budget_locks.c.feature == "f"
                    )
                    connection.execute(its_own.values(touched=BEGAN + dt.timedelta(days="ab ba".index(order))))
                    if place == 0 and tries.count(order) == 1:
                        both_hold_one.wait(10)

        connections.run(work)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(take, ("ab", "ba")))
    connections.release()
    assert len(tries) == 3
    assert len({row["touched"] for row in rows(engine, budget_locks)}) == 1


async def test_a_log_goes_on_after_the_server_has_ended_its_connections(engine: sa.Engine) -> None:
    log, opening = Log(engine), an_opening()
    await log.open(opening)
    _end_all_connections(engine)
    await log.close(opening.log_id, an_ending(), [])
    log.shutdown()
    assert [row["status"] for row in rows(engine)] == ["success"]


def _end_all_connections(engine: sa.Engine) -> None:
    other = sa.create_engine(engine.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return
        here = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
        for number in connection.exec_driver_sql(here).scalars().all():
            connection.exec_driver_sql(f"KILL {number}")
