"""A role with the rights of serving does all that a dispatch needs, and can't change or delete what was logged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from claim_contract import HASH, keyed
from flag_change_contract import a_sighting
from log_contract import rows, sweep

from dispatcher.action.observation import Status
from dispatcher.audit.append_only import INSERT_ONLY
from dispatcher.audit.engine import granted, migrate_database, open_engine
from dispatcher.audit.flag_changes import FlagChanges
from dispatcher.audit.log import Log
from dispatcher.audit.record import Kept, Origin, Room
from dispatcher.audit.retention import Retention, RetentionRule
from dispatcher.audit.revision import VERSION_TABLE
from dispatcher.audit.rights import granting, standing
from dispatcher.audit.tables import conversations, logs
from dispatcher.audit.trial import Answer, a_row, try_to_change
from dispatcher.errors import InvalidSettings, SourceUnreachable


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def owner(server_url: str) -> Iterator[sa.Engine]:
    engine = open_engine(server_url)
    yield engine
    engine.dispose()


@pytest.fixture
def role(owner: sa.Engine) -> Iterator[str]:
    """A role that may log in, and nothing else; its name needs quoting."""
    postgresql = owner.dialect.name == "postgresql"
    name = "the-server" if postgresql else "the-server@localhost"
    quoted = '"the-server"' if postgresql else "'the-server'@'localhost'"
    run(owner, f"CREATE ROLE {quoted} LOGIN" if postgresql else f"CREATE USER {quoted}")
    yield name
    run(owner, *([f"DROP OWNED BY {quoted}", f"DROP ROLE {quoted}"] if postgresql else [f"DROP USER {quoted}"]))


@pytest.fixture
def serving(owner: sa.Engine, role: str) -> Iterator[sa.Engine]:
    """The log as that role, with the rights of serving."""
    granted(owner.url.render_as_string(hide_password=False), role, dry_run=False)
    url = sa.make_url(owner.url).set(username="the-server", password=None)
    engine = open_engine(url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()


async def test_it_does_all_that_is_done_while_serving(serving: sa.Engine) -> None:
    """Turns, keys, budgets, sessions, calls, kept content that expires, sweeps, flips, verdicts, adjustments."""
    log, expired = Log(serving), Kept(turn="t", turn_expires_at=BEGAN, max_conversation_bytes=99)
    room = Room(nanousd=10**12, since=BEGAN)
    for turn in (1, 2):
        opening = keyed(conversation_id="c", turn=turn, reserved_nanousd=1)
        await log.open(opening, request_hash=HASH, room=room)
        await log.note_session(opening.log_id, "s", "a", 1)
        await log.close(opening.log_id, an_ending(status=Status.ERROR), [a_call()], expired)
    lost = keyed()
    await log.open(lost, request_hash=HASH)
    sweep(serving, lost.log_id)
    await log.conversation("script", "agent_research", "c", origin=Origin.PRODUCTION, now=BEGAN)
    log.shutdown()
    assert FlagChanges(serving).record(**a_sighting("a", 1))
    with serving.begin() as connection:
        for table in INSERT_ONLY:
            connection.execute(sa.insert(table).values(a_row(table)))
    assert [row["status"] for row in rows(serving)] == ["error", "error", "lost"]
    assert rows(serving, conversations) == []


async def test_what_was_logged_is_out_of_its_reach(serving: sa.Engine) -> None:
    log, opening = Log(serving), an_opening()
    await log.open(opening)
    await log.close(opening.log_id, an_ending(), [a_call()])
    log.shutdown()
    before = rows(serving)
    with serving.connect() as connection, connection.begin():
        tried = {(one.table, one.verb): one.answer for one in try_to_change(connection)}
    assert tried.pop((logs.name, "UPDATE")) is Answer.TRIGGER
    assert set(tried.values()) == {Answer.RIGHTS}
    for statement in ("TRUNCATE {0}", "DROP TABLE {0}", "ALTER TABLE {0} ADD COLUMN x INTEGER"):
        with pytest.raises(sa.exc.DBAPIError, match=r"(?i)denied|must be owner"):
            run(serving, statement.format(logs.name))
    for column in ("tenant", "created_at", "recorded_at", "origin"):
        with serving.connect() as connection, pytest.raises(sa.exc.DBAPIError, match=r"(?i)denied"):
            connection.execute(sa.update(logs).values({column: logs.c[column]}))
    assert rows(serving) == before


async def test_what_is_too_old_it_may_not_delete_and_is_told_which_setting_names_who_may(serving: sa.Engine) -> None:
    log = Log(serving)
    await log.open(opening := an_opening(created_at=BEGAN - dt.timedelta(days=99)))
    await log.close(opening.log_id, an_ending(), [a_call()])
    log.shutdown()
    rule = RetentionRule(feature="agent_research", keep_rows=dt.timedelta(days=32), evidence=lambda _: ())
    with pytest.raises(SourceUnreachable, match="name a role that may with DISPATCHER_ADMIN_DATABASE_URL") as refused:
        Retention(serving).apply(rule, dry_run=False, on_progress=lambda _done: None)
    assert str(refused.value).count("\n") == 0
    assert len(rows(serving)) == 1


def test_its_standing_is_that_it_has_what_it_needs_and_no_more(serving: sa.Engine) -> None:
    with serving.connect() as connection:
        found = standing(connection)
    assert found is not None
    assert found.role.partition("@")[0] == "the-server"
    assert (found.too_much, found.lacks) == ((), ())


def test_the_owner_is_said_to_be_able_to_do_too_much(owner: sa.Engine) -> None:
    with owner.connect() as connection:
        found = standing(connection)
    assert found is not None
    assert found.lacks == ()
    expected = "it is a superuser" if owner.dialect.name == "postgresql" else "ALL PRIVILEGES on *.*"
    assert expected in " ".join(found.too_much)


def test_a_right_too_much_and_one_too_few_are_seen(owner: sa.Engine, serving: sa.Engine) -> None:
    name = '"the-server"' if owner.dialect.name == "postgresql" else "'the-server'@'localhost'"
    run(owner, f"GRANT DELETE ON ai_outbound_calls TO {name}", f"REVOKE INSERT ON flag_changes FROM {name}")
    serving.dispose()
    with serving.connect() as connection:
        found = standing(connection)
    assert found is not None
    assert found.too_much == ("it has DELETE on ai_outbound_calls",)
    assert found.lacks == ("INSERT on flag_changes",)


def test_rights_are_granted_again_without_harm_and_a_file_has_none(
    owner: sa.Engine, role: str, engine: sa.Engine
) -> None:
    granted(owner.url.render_as_string(hide_password=False), role, dry_run=False)
    granted(owner.url.render_as_string(hide_password=False), role, dry_run=False)
    with engine.connect() as connection:
        assert standing(connection) is None
        with pytest.raises(InvalidSettings, match="a SQLite file has no roles"):
            granting(connection, role)


def test_a_role_that_served_before_the_revision_had_a_table_of_its_own_is_told_what_to_do(
    owner: sa.Engine, role: str, server_url: str
) -> None:
    """First that the schema is old; on MariaDB, where rights stay with the old name, then that it lacks the new one."""
    quoted = '"the-server"' if owner.dialect.name == "postgresql" else "'the-server'@'localhost'"
    run(
        owner,
        f"ALTER TABLE {VERSION_TABLE} RENAME TO alembic_version",
        "UPDATE alembic_version SET version_num = '0009'",
        f"GRANT SELECT ON alembic_version TO {quoted}",
    )
    url = owner.url.set(username="the-server", password=None).render_as_string(hide_password=False)
    with pytest.raises(SourceUnreachable, match="its schema 0009 is an older one; run `dispatcher migrate`"):
        open_engine(url)
    assert migrate_database(server_url) == "0009"
    if owner.dialect.name != "postgresql":
        with pytest.raises(SourceUnreachable, match=rf"denied .*{VERSION_TABLE}"):
            open_engine(url)
        granted(server_url, role, dry_run=False)
    open_engine(url).dispose()
