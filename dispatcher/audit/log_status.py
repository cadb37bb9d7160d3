"""How the log stands: what the database has, what waits for it on this host, and where there is a gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from dispatcher.audit import migrate
from dispatcher.audit.engine import open_existing
from dispatcher.audit.gap_file import Gap
from dispatcher.audit.spool import Quarantined, Spool, SpoolStatus
from dispatcher.audit.tables import log_gaps, logs
from dispatcher.audit.trouble import named, reason_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStatus:
    """The database's part; `problem` is why it can't be asked, or None. `dispatches_in_gaps` have no row."""

    database: str
    problem: str | None = None
    rows: Mapping[str, int]
    gaps: int = 0
    dispatches_in_gaps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStatus:
    """How the log stands. `gaps` are those that the database doesn't know of yet."""

    database: DatabaseStatus
    spool: SpoolStatus
    quarantined: tuple[Quarantined, ...]
    gaps: tuple[Gap, ...]


def log_status(url: str, spool: Spool) -> LogStatus:
    """How the log stands; creates and changes nothing.

    Raises SourceUnreachable for an unusable URL, and LogUnavailable where the spool can't be read.
    """
    return LogStatus(
        database=_database_status(url),
        spool=spool.status(),
        quarantined=tuple(spool.quarantined()),
        gaps=tuple(spool.gaps()),
    )


def _database_status(url: str) -> DatabaseStatus:
    engine = open_existing(url)
    if engine is None:
        return DatabaseStatus(database=named(sa.make_url(url)), problem="it isn't there yet", rows={})
    # In an adopted table the other application's rows have no id of the log's.
    of_ours = sa.select(logs.c.status, sa.func.count()).where(logs.c.log_id.is_not(None))
    by_status = of_ours.group_by(logs.c.status).order_by(logs.c.status)
    in_gaps = sa.select(sa.func.count(), sa.func.sum(log_gaps.c.dispatches))
    try:
        with engine.connect() as connection:
            if (problem := migrate.problem_of(connection)) is not None:
                return DatabaseStatus(database=named(engine.url), problem=problem, rows={})
            rows = {status: int(count) for status, count in connection.execute(by_status)}
            gaps, dispatches = connection.execute(in_gaps).one()
    except (sa.exc.SQLAlchemyError, OSError) as error:
        return DatabaseStatus(database=named(engine.url), problem=reason_of(error, engine.url), rows={})
    finally:
        engine.dispose()
    return DatabaseStatus(database=named(engine.url), rows=rows, gaps=gaps, dispatches_in_gaps=int(dispatches or 0))
