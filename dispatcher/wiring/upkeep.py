"""What keeps the log in order, from settings: sweeps and retention."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from dispatcher.action.observation import Status
from dispatcher.audit.evidence import Evidence, evidence_of
from dispatcher.audit.late_costs import LateCosts
from dispatcher.audit.log import Log
from dispatcher.audit.owner import Life, life_of, look_at, read_owner, this_process
from dispatcher.audit.record import SweptRow
from dispatcher.audit.retention import Retention, RetentionReport, RetentionRule
from dispatcher.audit.spool import Spool
from dispatcher.audit.sweeper import Sweeper
from dispatcher.dispatch.completing import Completion
from dispatcher.dispatch.sweep_report import CostsReport, RowsReport
from dispatcher.dispatch.sweeping import Provider, RowSweep
from dispatcher.errors import InvalidRecord, NoApiKey, ProviderUnavailable
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.paths.managed.session import Failed
from dispatcher.paths.managed.sweep import LoggedRow, SweepReport, SweepRules
from dispatcher.prices import PriceTable
from dispatcher.routing.policy import Policies
from dispatcher.settings import Settings
from dispatcher.wiring.doors import (
    ask_where_answers_come_from,
    claude_of,
    log_spool,
    open_database,
    origin_of_mark,
    read_database,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


SWEEP_GRACE = dt.timedelta(minutes=1)
"""How long past its deadline an attempt may still be winding down."""


async def sweep_rows(
    settings: Settings, *, dry_run: bool, on_progress: Callable[[float], None] = lambda _done: None
) -> RowsReport:
    """Give up the rows that processes which are gone left open, after reading their sessions and putting them away.

    Without a key the sessions can't be read. Raises InvalidPolicy, SourceUnreachable or LogUnavailable.
    """
    prices = PriceTable.load(settings.policies_dir / "prices.yml")
    provider = _provider(settings)
    database = read_database(settings) if dry_run else open_database(settings)
    spool = log_spool(settings)
    try:
        return await sweep_rows_of(
            settings, database, spool, provider, prices, dry_run=dry_run, on_progress=on_progress
        )
    finally:
        spool.shutdown()
        database.dispose()


def _provider(settings: Settings) -> Provider | None:
    """Whose sessions can be read; None without a key."""
    mark = ask_where_answers_come_from(settings.anthropic_base_url)
    try:
        sessions = ManagedPath(claude_of(settings, mark), lambda _tenant, _url: None)
    except NoApiKey:
        return None
    return Provider(sessions=sessions, origin=origin_of_mark(mark))


async def complete_costs(settings: Settings, *, dry_run: bool) -> CostsReport | None:
    """Append the costs of ended rows whose sessions were not at rest when they ended; None without a key to ask with.

    Raises InvalidPolicy, SourceUnreachable or LogUnavailable.
    """
    prices = PriceTable.load(settings.policies_dir / "prices.yml")
    provider = _provider(settings)
    if provider is None:
        return None
    database = read_database(settings) if dry_run else open_database(settings)
    try:
        return await Completion(LateCosts(database), provider, prices, set()).run(dry_run=dry_run)
    finally:
        database.dispose()


async def sweep_rows_of(
    settings: Settings,
    database: Engine,
    spool: Spool,
    provider: Provider | None,
    prices: PriceTable,
    *,
    dry_run: bool = False,
    on_progress: Callable[[float], None] = lambda _done: None,
) -> RowsReport:
    """The same with parts that are there already."""
    here, sweeper = this_process(), Sweeper(database)

    def life(owner: str | None) -> Life:
        return life_of(read_owner(owner), here, look_at)

    patience = dt.timedelta(seconds=settings.sweep_patience_s)
    sweep = RowSweep(sweeper, life, spool.waits_for, provider, prices, patience)
    return await sweep.run(dry_run=dry_run, on_progress=on_progress)


def apply_retention(
    settings: Settings,
    *,
    older_than: dt.timedelta | None,
    force: bool,
    dry_run: bool,
    on_progress: Callable[[float], None] = lambda _done: None,
) -> RetentionReport:
    """Delete the content that has expired, and the rows that are older than the policy, or the caller, keeps them.

    Rows stay where one of them is the evidence of a registered record that is still open, unless it is forced. Raises
    InvalidPolicy or SourceUnreachable.
    """
    policies = Policies.load(settings.policies_dir)
    closed = _closed_records(settings)

    def evidence(connection: Connection) -> Sequence[Evidence]:
        return () if force else evidence_of(connection, policies.feature, closed)

    engine = read_database(settings) if dry_run else open_database(settings)
    try:
        rule = RetentionRule(feature=policies.feature, keep_rows=older_than or policies.keep_rows, evidence=evidence)
        return Retention(engine).apply(rule, dry_run=dry_run, on_progress=on_progress)
    finally:
        engine.dispose()


def _closed_records(settings: Settings) -> set[str]:
    """The records that wait for no verdict any more; whatever can't be read may."""
    from dispatcher.adr.reader import read_records  # noqa: PLC0415 - serving traffic needs no records

    try:
        records, _ = read_records(settings.adrs_dir)
    except InvalidRecord:
        return set()
    return {record.id for record in records if not record.status.is_open}


async def sweep_sessions(settings: Settings, *, since: dt.datetime, now: dt.datetime, dry_run: bool) -> SweepReport:
    """Stop and archive the managed sessions that nobody needs any more, of those created since then.

    Only sessions whose rows are in this log are touched. Raises InvalidPolicy, SourceUnreachable, NoApiKey,
    LogUnavailable, or ProviderUnavailable where the provider can't be asked.
    """
    conduct = Policies.load(settings.policies_dir).conduct
    mark = ask_where_answers_come_from(settings.anthropic_base_url)
    claude = claude_of(settings, mark)
    log = Log(read_database(settings))

    async def look_up(log_ids: frozenset[str]) -> Mapping[str, LoggedRow]:
        return {log_id: _as_swept(row) for log_id, row in (await log.sessions(sorted(log_ids))).items()}

    rules = SweepRules(now=now, since=since, session_ttl=conduct.session_ttl, grace=SWEEP_GRACE)
    try:
        return await ManagedPath(claude, lambda _tenant, _url: None).sweep(look_up, rules, dry_run=dry_run)
    except Failed as failed:
        raise ProviderUnavailable(f"the provider's sessions can't be swept: {failed.failure.message}") from None
    finally:
        await asyncio.to_thread(log.shutdown)


def _as_swept(row: SweptRow) -> LoggedRow:
    """What a sweep must know of a row, and of its conversation, whose later turns may go on in the row's session."""
    return LoggedRow(
        status=row.status if row.busy_until is None else Status.STARTED,
        session_id=row.session_id,
        deadline_at=row.busy_until or row.deadline_at or row.active_at,
        conversation_used_at=row.active_at if row.resumable else None,
    )
