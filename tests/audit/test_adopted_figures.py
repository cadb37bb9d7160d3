"""Figures over a log that lives in another application's table are those of the log's own rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import laravel_table
import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening

from dispatcher.audit.engine import connect, migrate_database, open_engine
from dispatcher.audit.log import Log
from dispatcher.audit.log_status import log_status
from dispatcher.audit.reading import reading
from dispatcher.audit.spool import Bounds
from dispatcher.audit.spooled_log import spool_of
from dispatcher.prices import PriceTable
from dispatcher.telemetry.export_parts import Form
from dispatcher.telemetry.exporter import ExportOrder, export
from dispatcher.telemetry.reconciling import reconcile
from dispatcher.telemetry.repricing import reprice, tie_out
from dispatcher.telemetry.summary import summary

PRICES = PriceTable.load(Path(__file__).parents[2] / "policies" / "prices.yml")
ORDER = ExportOrder(form=Form.CSV, origin=None, since=None, until=None, rows_per_part=10)


@pytest.fixture
def adopted(any_bare_url: str) -> Iterator[sa.Engine]:
    """The other application's table with its rows, in which the log lives."""
    other = connect(any_bare_url)
    laravel_table.make(other)
    other.dispose()
    migrate_database(any_bare_url, adopt=True)
    engine = open_engine(any_bare_url)
    yield engine
    engine.dispose()


async def test_the_other_applications_rows_are_in_no_figure_and_no_file(adopted: sa.Engine, tmp_path: Path) -> None:
    log, openings = Log(adopted), [an_opening() for _ in range(3)]
    for opening in openings:
        await log.open(opening)
    for opening in openings[:2]:
        await log.close(opening.log_id, an_ending(), [a_call()])
    log.shutdown()
    assert len(laravel_table.theirs(adopted)) > 0

    with reading(adopted) as connection:
        counted = {row.status: row.n for row in summary(connection)}
    exported = export(adopted, tmp_path / "out", ORDER, now=BEGAN + dt.timedelta(days=1))

    spool = spool_of(str(adopted.url), tmp_path / "spool", Bounds())
    status = log_status(adopted.url.render_as_string(hide_password=False), spool)
    spool.shutdown()

    assert counted == {"success": 2, "started": 1}
    assert status.database.rows == counted
    assert (exported.rows, exported.left) == (2, 0)
    assert (tie_out(adopted, PRICES).rows, reprice(adopted, PRICES).rows) == (2, 2)
    assert reconcile(adopted).sessions == 1
