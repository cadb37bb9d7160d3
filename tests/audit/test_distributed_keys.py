"""The log in a table whose rows are distributed by tenant: every key may contain the tenant, and nothing else changes.

PostgreSQL's own partitions ask the same of keys as the engines that distribute rows over machines do: each unique key
contains the column that says where a row lies.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from database_servers import Place
from log_contract import rows

from dispatcher.audit.adoption import other_table
from dispatcher.audit.engine import open_engine, restore_triggers
from dispatcher.audit.log import Log
from dispatcher.audit.spool import Bounds
from dispatcher.audit.spool_drain import Drain
from dispatcher.audit.spooled_log import spool_of
from dispatcher.audit.tables import calls, logs, metadata
from dispatcher.errors import ConversationBusy
from dispatcher.telemetry.export_parts import Form
from dispatcher.telemetry.exporter import ExportOrder, export

PARTS = 4
TENANTS = [f"tenant-{number}" for number in range(12)]
DISTRIBUTED = f"""
ALTER TABLE ai_outbound_logs RENAME TO gathered;
CREATE TABLE ai_outbound_logs (LIKE gathered INCLUDING DEFAULTS) PARTITION BY HASH (tenant);
ALTER TABLE ai_outbound_logs ADD PRIMARY KEY (tenant, log_id),
  ADD UNIQUE (tenant, feature, conversation_id, turn, attempt, role);
{
    "".join(
        f"CREATE TABLE part_{n} PARTITION OF ai_outbound_logs FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {n});"
        for n in range(PARTS)
    )
}
DROP TABLE gathered;
"""


@pytest.fixture
def url(database_places: dict[str, Place]) -> Iterator[str]:
    place = database_places["postgresql"]
    url = place.migrated()
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in filter(str.strip, DISTRIBUTED.split(";")):
            connection.exec_driver_sql(statement)
    # What keeps rows as they are went with the table that had it.
    assert "ai_outbound_logs_keeps_values" in restore_triggers(url)
    yield url
    place.bare()


async def test_attempts_are_opened_ended_and_drained_into_a_distributed_log(url: str, tmp_path: Path) -> None:
    engine = open_engine(url)
    spool = spool_of(url, tmp_path / "spool", Bounds())
    log, drain = Log(engine), Drain(spool, engine)
    direct = [an_opening(tenant=tenant) for tenant in TENANTS]
    waiting = [an_opening(tenant=tenant, created_at=BEGAN + dt.timedelta(minutes=1)) for tenant in TENANTS]
    for opening in direct:
        await log.open(opening)
        await log.open(opening)
        await log.close(opening.log_id, an_ending(), [a_call()])
    for opening in [*waiting, direct[0]]:
        spool.open(opening)
        spool.close(opening.log_id, an_ending(), [a_call()])

    drained = drain.run()

    expected = sorted(opening.log_id for opening in [*direct, *waiting])
    assert sorted(row["log_id"] for row in rows(engine)) == expected
    assert sorted(row["log_id"] for row in rows(engine, calls)) == expected
    assert {row["status"] for row in rows(engine)} == {"success"}
    assert (drained.quarantined, spool.status().waiting) == (0, 0)
    with engine.connect() as connection:
        filled = [connection.exec_driver_sql(f"SELECT COUNT(*) FROM part_{n}").scalar_one() for n in range(PARTS)]
    assert sum(filled) == 2 * len(TENANTS)
    assert sum(n > 0 for n in filled) > 1
    order = ExportOrder(form=Form.CSV, origin=None, since=None, until=None, rows_per_part=7)
    assert export(engine, tmp_path / "out", order, now=BEGAN + dt.timedelta(days=1)).rows == 2 * len(TENANTS)
    log.shutdown()
    drain.shutdown()
    spool.shutdown()
    engine.dispose()


async def test_a_turn_is_claimed_once_in_a_distributed_log(url: str) -> None:
    engine = open_engine(url)
    log = Log(engine)
    await log.open(an_opening(conversation_id="c", turn=1))

    with pytest.raises(ConversationBusy):
        await log.open(an_opening(conversation_id="c", turn=1))

    log.shutdown()
    engine.dispose()


@pytest.mark.parametrize("statement", ["UPDATE ai_outbound_logs SET cost_nanousd = 1", "DELETE FROM ai_outbound_logs"])
async def test_a_distributed_log_keeps_its_rows_as_they_are(url: str, statement: str) -> None:
    engine = open_engine(url)
    log, opening = Log(engine), an_opening()
    await log.open(opening)
    await log.close(opening.log_id, an_ending(), [])
    before = rows(engine)

    with engine.begin() as connection, pytest.raises(sa.exc.DBAPIError):
        connection.exec_driver_sql(statement)

    assert rows(engine) == before
    log.shutdown()
    engine.dispose()


def test_a_distributed_log_is_not_taken_for_another_applications(url: str) -> None:
    engine = open_engine(url)
    with engine.connect() as connection:
        assert other_table(connection) is None
    engine.dispose()


def test_no_table_refers_to_another_one() -> None:
    """A foreign key across tables can't be kept where their rows lie on different machines."""
    assert [key for table in metadata.tables.values() for key in table.foreign_keys] == []


def test_every_unique_key_of_the_log_but_its_primary_one_contains_the_tenant() -> None:
    keys = [constraint.columns.keys() for constraint in logs.constraints if isinstance(constraint, sa.UniqueConstraint)]

    assert keys != []
    assert all("tenant" in names for names in keys)
