"""Deleting what is kept no longer: expired content, and rows that the policy keeps only for so long; blocking."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.append_only import allow_deletes
from dispatcher.audit.evidence import Evidence
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.statement import STARTED
from dispatcher.audit.tables import adjustments, calls, conversations, idempotency_keys, logs, results
from dispatcher.audit.trouble import is_denied, named, reaching, reason_of
from dispatcher.errors import SourceUnreachable

AT_ONCE = 500
"""How many rows of a table are deleted in one transaction, and the rest of their conversations with them."""

_BY_ROW = (calls, adjustments)
_BY_KEY = (conversations, results, idempotency_keys)
_CONVERSATION = ("tenant", "feature", "conversation_id")
_KEYS = (*_CONVERSATION, "turn", "idempotency_key", "log_id")

OnProgress = Callable[[float], None]
EvidenceNow = Callable[[sa.Connection], Sequence[Evidence]]
"""What the registered records need, asked anew in every transaction that deletes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Rows that would be deleted although a record's evidence needs them."""

    evidence: Evidence
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """What is deleted beside the content that has expired: rows of the feature that are older than `keep_rows`.

    None keeps them for good. Nothing is deleted of them where any is `evidence`.
    """

    feature: str
    keep_rows: dt.timedelta | None
    evidence: EvidenceNow


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionReport:
    """What was deleted; with a dry run, what would be.

    `content` counts the kept content that had expired, by table. `rows` are those of the log that began before
    `before`, with all that belongs to them. Where some that are left are `needed`, no further row was deleted: none at
    all, unless a record was registered meanwhile.
    """

    content: Mapping[str, int]
    before: dt.datetime | None
    rows: int
    needed: tuple[Needed, ...]


@dataclass(frozen=True, slots=True)
class _Old:
    """Rows of a feature that began before a moment."""

    feature: str
    before: dt.datetime


class _NeededNow(Exception):
    def __init__(self, needed: Sequence[Needed]) -> None:
        self.needed = needed


class Retention:
    """Deletes in batches, each in a transaction of its own, so that it may be stopped and run again at any time.

    What has expired is told by the database's clock. Several may run at once. All methods raise SourceUnreachable.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def apply(self, rule: RetentionRule, *, dry_run: bool, on_progress: OnProgress) -> RetentionReport:
        """Delete what the rule says; `on_progress` is told how much is done, from 0 to 1."""
        with self._reading() as connection:
            now: dt.datetime = connection.execute(sa.select(DatabaseNow())).scalar_one()
            content = _expired(connection, now)
            old = None if rule.keep_rows is None else _Old(rule.feature, now - rule.keep_rows)
            needed: Sequence[Needed] = [] if old is None else _needed(connection, old, rule.evidence)
            rows = 0 if old is None or needed else _count(connection, _is_old(old))
        if not dry_run:
            content = self._forget_expired(now, content, lambda done: on_progress(done / 2))
            if old is not None and rows:
                rows, needed = self._delete_old(old, rule.evidence, rows, lambda done: on_progress(0.5 + done / 2))
        on_progress(1.0)
        before = None if old is None else old.before
        return RetentionReport(content=content, before=before, rows=rows, needed=tuple(needed))

    def _forget_expired(self, now: dt.datetime, found: Mapping[str, int], on_progress: OnProgress) -> dict[str, int]:
        """Delete the kept content that has expired; returns how much, by table."""
        total, gone = sum(found.values()), dict.fromkeys(found, 0)
        for table in (conversations, results):
            while batch := self._forget_some(table, now):
                gone[table.name] += batch
                on_progress(min(1.0, sum(gone.values()) / max(total, 1)))
        return gone

    def _delete_old(
        self, old: _Old, evidence: EvidenceNow, total: int, on_progress: OnProgress
    ) -> tuple[int, Sequence[Needed]]:
        """Delete the rows, with their calls, adjustments, kept content and claims of keys; returns how many rows, and
        what keeps the others.
        """
        gone = 0
        try:
            while log_ids := self._some_old(old):
                gone += self._delete_some(old, log_ids, evidence)
                on_progress(min(1.0, gone / max(total, 1)))
        except _NeededNow as stopped:
            return gone, stopped.needed
        return gone, ()

    def _forget_some(self, table: sa.Table, now: dt.datetime) -> int:
        key = list(table.primary_key)
        expired = sa.select(*key).where(table.c.expires_at <= now).order_by(*key).limit(AT_ONCE)
        # What was kept anew under the same key meanwhile stays.
        gone = sa.delete(table).where(*_of_key(table), table.c.expires_at <= now)
        with self._deleting() as connection:
            found = [dict(row) for row in connection.execute(expired).mappings()]
            if found:
                with allow_deletes(connection):
                    connection.execute(gone, [_bound(row) for row in found])
            return len(found)

    def _some_old(self, old: _Old) -> list[str]:
        """The oldest rows, and with a row of a conversation all of its rows."""
        oldest = sa.select(logs).where(_is_old(old)).order_by(logs.c.created_at, logs.c.log_id).limit(AT_ONCE)
        some = oldest.with_only_columns(*(logs.c[name] for name in ("log_id", *_CONVERSATION)))
        with self._reading() as connection:
            found = connection.execute(some).all()
            log_ids = [row.log_id for row in found]
            of_conversation = sorted({tuple(row[1:]) for row in found if row.conversation_id is not None})
            if of_conversation:
                whole = sa.tuple_(*(logs.c[name] for name in _CONVERSATION)).in_(of_conversation)
                more = sa.select(logs.c.log_id).where(whole, _is_old(old), logs.c.log_id.not_in(log_ids))
                log_ids += connection.execute(more).scalars()
        return log_ids

    def _delete_some(self, old: _Old, log_ids: Sequence[str], evidence: EvidenceNow) -> int:
        """Delete those of the rows that still are old, all or none of a conversation. Raises _NeededNow."""
        columns = (logs.c[name] for name in _KEYS)
        # Locked, so that each is deleted as it is seen here: by its key, which holds up no other row's writer.
        still = sa.select(*columns).where(logs.c.log_id.in_(log_ids), _is_old(old)).with_for_update(of=logs)
        with self._deleting() as connection, allow_deletes(connection):
            rows = [dict(row) for row in connection.execute(still).mappings()]
            if needed := _needed(connection, old, evidence):
                raise _NeededNow(needed)
            if rows:
                _delete(connection, rows)
            return len(rows)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with reaching(self._engine), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _deleting(self) -> Iterator[sa.Connection]:
        with reaching(self._engine), self._engine.connect() as connection:
            try:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
            except sa.exc.DBAPIError as error:
                if not is_denied(error):
                    raise
                why = f"{reason_of(error, self._engine.url)}; name a role that may with DISPATCHER_ADMIN_DATABASE_URL"
                raise SourceUnreachable(f"{named(self._engine.url)} can't be used: {why}") from None


def _expired(connection: sa.Connection, now: dt.datetime) -> dict[str, int]:
    """How much kept content has expired, by table."""
    return {table.name: _count(connection, table.c.expires_at <= now, table) for table in (conversations, results)}


def _needed(connection: sa.Connection, old: _Old, evidence: EvidenceNow) -> list[Needed]:
    """Whose evidence would lose rows, and how many; nobody whose rows are younger."""
    counted = ((one, _count(connection, sa.and_(_is_old(old), *_within(one)))) for one in evidence(connection))
    return [Needed(evidence=one, rows=rows) for one, rows in counted if rows]


def _count(connection: sa.Connection, which: sa.ColumnElement[bool], table: sa.Table = logs) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(which)).scalar_one())


def _delete(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    log_ids = [row["log_id"] for row in rows]
    for table in _BY_KEY:
        # What another row has under the same key since stays.
        its_own = sa.delete(table).where(*_of_key(table), table.c.log_id == sa.bindparam("of_log_id"))
        if keyed := [_bound(row) for row in rows if all(row[key.name] is not None for key in table.primary_key)]:
            connection.execute(its_own, keyed)
    for table in (*_BY_ROW, logs):
        connection.execute(sa.delete(table).where(table.c.log_id.in_(log_ids)))


def _of_key(table: sa.Table) -> list[sa.ColumnElement[bool]]:
    return [column == sa.bindparam(f"of_{column.name}", type_=column.type) for column in table.primary_key]


def _bound(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"of_{name}": value for name, value in row.items()}


def _is_old(old: _Old) -> sa.ColumnElement[bool]:
    """Ended rows of ours that began before, unless their conversation goes on: it is deleted whole or not at all."""
    later = logs.alias("later")
    same = (later.c[name] == logs.c[name] for name in _CONVERSATION)
    goes_on = sa.exists().where(*same, sa.or_(later.c.created_at >= old.before, later.c.status == STARTED))
    of_ours = sa.and_(logs.c.feature == old.feature, logs.c.created_at < old.before, logs.c.log_id.is_not(None))
    return sa.and_(of_ours, logs.c.status != STARTED, ~goes_on)


def _within(evidence: Evidence) -> list[sa.ColumnElement[bool]]:
    conditions = [logs.c.created_at >= evidence.since]
    if evidence.until is not None:
        conditions.append(logs.c.created_at < evidence.until)
    if evidence.origin is not None:
        conditions.append(logs.c.origin == evidence.origin.value)
    return conditions
