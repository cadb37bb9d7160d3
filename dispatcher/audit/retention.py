"""Deleting what is kept no longer: expired content, and rows that the policy keeps only for so long; blocking."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.append_only import allow_deletes
from dispatcher.audit.evidence import Evidence
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.statement import STARTED
from dispatcher.audit.tables import adjustments, calls, conversations, idempotency_keys, logs, results
from dispatcher.audit.trouble import reaching

AT_ONCE = 500
"""How many rows of a table are deleted in one transaction."""

_BY_ROW = (calls, adjustments)
_BY_KEY = (conversations, results, idempotency_keys)
_CONVERSATION = ("tenant", "feature", "conversation_id")
_KEYS = (*_CONVERSATION, "turn", "idempotency_key", "log_id")

OnProgress = Callable[[float], None]


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
    evidence: Sequence[Evidence]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionReport:
    """What was deleted; with a dry run, what would be.

    `content` counts the kept content that had expired, by table. `rows` are those of the log that began before
    `before`, with all that belongs to them; none where some of them are `needed`.
    """

    content: Mapping[str, int]
    before: dt.datetime | None
    rows: int
    needed: tuple[Needed, ...]


class Retention:
    """Deletes in batches, each in a transaction of its own, so that it may be stopped and run again at any time.

    What has expired is told by the database's clock. Several may run at once. All methods raise SourceUnreachable.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def apply(self, rule: RetentionRule, *, dry_run: bool, on_progress: OnProgress) -> RetentionReport:
        """Delete what the rule says; `on_progress` is told how much is done, from 0 to 1."""
        now = self._now()
        content = self.expired(now) if dry_run else self.forget_expired(now, lambda done: on_progress(done / 2))
        before = None if rule.keep_rows is None else now - rule.keep_rows
        needed: Sequence[Needed] = ()
        rows = 0
        if before is not None:
            needed = self.needed(rule.feature, before, rule.evidence)
            if not needed:
                second = partial(self.delete_old, on_progress=lambda done: on_progress(0.5 + done / 2))
                rows = (self.old if dry_run else second)(rule.feature, before)
        on_progress(1.0)
        return RetentionReport(content=content, before=before, rows=rows, needed=tuple(needed))

    def expired(self, now: dt.datetime) -> dict[str, int]:
        """How much kept content has expired, by table."""
        counts = {}
        with reaching(self._engine), self._engine.connect() as connection:
            for table in (conversations, results):
                query = sa.select(sa.func.count()).select_from(table).where(table.c.expires_at <= now)
                counts[table.name] = connection.execute(query).scalar_one()
        return counts

    def forget_expired(self, now: dt.datetime, on_progress: OnProgress) -> dict[str, int]:
        """Delete the kept content that has expired; returns how much, by table."""
        total, gone = sum(self.expired(now).values()), dict.fromkeys((conversations.name, results.name), 0)
        for table in (conversations, results):
            while batch := self._forget_some(table, now):
                gone[table.name] += batch
                on_progress(min(1.0, sum(gone.values()) / max(total, 1)))
        return gone

    def old(self, feature: str, before: dt.datetime) -> int:
        """How many rows of the feature are older, and so all of their conversation's."""
        query = sa.select(sa.func.count()).select_from(logs).where(_is_old(feature, before))
        with reaching(self._engine), self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def needed(self, feature: str, before: dt.datetime, evidence: Sequence[Evidence]) -> list[Needed]:
        """Whose evidence would lose rows, and how many; nobody whose rows are younger."""
        found = []
        with reaching(self._engine), self._engine.connect() as connection:
            for one in evidence:
                of_it = sa.and_(_is_old(feature, before), *_within(one))
                rows = connection.execute(sa.select(sa.func.count()).select_from(logs).where(of_it)).scalar_one()
                if rows:
                    found.append(Needed(evidence=one, rows=rows))
        return found

    def delete_old(self, feature: str, before: dt.datetime, on_progress: OnProgress) -> int:
        """Delete the rows, with their calls, adjustments, kept content and claims of keys; returns how many rows."""
        total, gone = self.old(feature, before), 0
        while batch := self._delete_some(feature, before):
            gone += batch
            on_progress(min(1.0, gone / max(total, 1)))
        return gone

    def _now(self) -> dt.datetime:
        with reaching(self._engine), self._engine.connect() as connection:
            moment: dt.datetime = connection.execute(sa.select(DatabaseNow())).scalar_one()
            return moment

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

    def _delete_some(self, feature: str, before: dt.datetime) -> int:
        keys = sa.select(*(logs.c[name] for name in _KEYS)).where(_is_old(feature, before))
        with self._deleting() as connection:
            oldest = keys.order_by(logs.c.created_at, logs.c.log_id).limit(AT_ONCE)
            rows = [dict(row) for row in connection.execute(oldest).mappings()]
            if rows:
                with allow_deletes(connection):
                    self._delete(connection, rows)
            return len(rows)

    def _delete(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        log_ids = [row["log_id"] for row in rows]
        for table in _BY_KEY:
            # What another row has under the same key since stays.
            its_own = sa.delete(table).where(*_of_key(table), table.c.log_id == sa.bindparam("of_log_id"))
            if keyed := [_bound(row) for row in rows if all(row[key.name] is not None for key in table.primary_key)]:
                connection.execute(its_own, keyed)
        for table in (*_BY_ROW, logs):
            connection.execute(sa.delete(table).where(table.c.log_id.in_(log_ids)))

    @contextmanager
    def _deleting(self) -> Iterator[sa.Connection]:
        with reaching(self._engine), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")


def _of_key(table: sa.Table) -> list[sa.ColumnElement[bool]]:
    return [column == sa.bindparam(f"of_{column.name}", type_=column.type) for column in table.primary_key]


def _bound(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"of_{name}": value for name, value in row.items()}


def _is_old(feature: str, before: dt.datetime) -> sa.ColumnElement[bool]:
    """Ended rows of ours that began before, unless their conversation goes on: it is deleted whole or not at all."""
    later = logs.alias("later")
    same = (later.c[name] == logs.c[name] for name in _CONVERSATION)
    goes_on = sa.exists().where(*same, sa.or_(later.c.created_at >= before, later.c.status == STARTED))
    of_ours = sa.and_(logs.c.feature == feature, logs.c.created_at < before, logs.c.log_id.is_not(None))
    return sa.and_(of_ours, logs.c.status != STARTED, ~goes_on)


def _within(evidence: Evidence) -> list[sa.ColumnElement[bool]]:
    conditions = [logs.c.created_at >= evidence.since]
    if evidence.until is not None:
        conditions.append(logs.c.created_at < evidence.until)
    if evidence.origin is not None:
        conditions.append(logs.c.origin == evidence.origin.value)
    return conditions
