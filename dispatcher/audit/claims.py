"""Who holds an idempotency key: one dispatch at a time, and for good once it has answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Status
from dispatcher.audit.record import AttemptOpening
from dispatcher.audit.statement import Statement, given
from dispatcher.audit.tables import idempotency_keys as keys
from dispatcher.audit.tables import logs
from dispatcher.errors import ActionInProgress, DuplicateAction, IdempotencyKeyReused

_RELEASING = {Status.ERROR, Status.CANCELLED, Status.LOST}
_KEY = ("tenant", "feature", "idempotency_key")
_HOLDER = ("dispatch_id", "log_id", "request_hash", "claimed_at")


class KeyIsHeld(Exception):
    """The statement that should claim the key met another dispatch's claim."""


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key; it belongs to a tenant and a feature."""

    tenant: str
    feature: str
    idempotency_key: str

    def __str__(self) -> str:
        return f"idempotency key {self.idempotency_key!r} of tenant {self.tenant!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The dispatch that holds a key. `status` is that of its latest attempt's row, None where the row is gone."""

    dispatch_id: str
    log_id: str
    request_hash: str
    status: Status | None


class Claims:
    """The statements on `ai_idempotency_keys`; the claiming ones run in the transaction that opens the row.

    A dispatch's first attempt claims the key, its fallback keeps the claim and names its own row in it. So the row
    that a claim names says how the dispatch stands, and whoever takes a released claim over does it only as long as
    that row is the one that he saw. A `started` row never releases its key, however old it is: nobody knows what it
    spends until it is ended.
    """

    def __init__(self, dialect: sa.Dialect) -> None:
        own = sa.update(keys).where(*(keys.c[name] == given(keys.c[name]) for name in _KEY))
        passed_on = own.where(keys.c.log_id == sa.bindparam("given_released", type_=keys.c.log_id.type))
        kept = own.where(keys.c.dispatch_id == given(keys.c.dispatch_id))
        self._claim = Statement(sa.insert(keys), [*_KEY, *_HOLDER], dialect)
        self._take_over = Statement(passed_on, _HOLDER, dialect)
        self._keep = Statement(kept, ["log_id", "claimed_at"], dialect)

    def take(
        self, connection: sa.Connection, opening: AttemptOpening, request_hash: str, released: Holder | None
    ) -> None:
        """Claim the key for the row that is being opened, from the holder that released it if there is one.

        Raises KeyIsHeld; the transaction must be given up then.
        """
        values, taken = _values(opening, request_hash), 0
        if opening.attempt > 1:
            taken = self._keep.run(connection, values)
        elif released is not None:
            taken = self._take_over.run(connection, values | {"released": released.log_id})
        if taken:
            return
        # Also where retention has deleted the claim that was to be had: nobody holds the key then.
        try:
            self._claim.run(connection, values)
        except sa.exc.IntegrityError:
            raise KeyIsHeld from None

    def released(self, connection: sa.Connection, opening: AttemptOpening, request_hash: str | None) -> Holder | None:
        """The dispatch that held the key and has released it; None where its claim was deleted by retention since.

        Raises ActionInProgress, DuplicateAction or IdempotencyKeyReused where the key isn't to be had.
        """
        key = Key(*(getattr(opening, name) for name in _KEY))
        if (holder := _holder(connection, key)) is None:
            return None
        if opening.attempt > 1 and holder.request_hash == request_hash:
            raise ActionInProgress(
                f"{key} was released and another dispatch took it, see row {holder.log_id}",
                log_id=holder.log_id,
                dispatch_id=holder.dispatch_id,
            )
        _refuse_unless_released(key, request_hash, holder)
        return holder


def refuse_if_taken(connection: sa.Connection, key: Key, request_hash: str) -> None:
    """Raise ActionInProgress, DuplicateAction or IdempotencyKeyReused where the key isn't to be had right now."""
    holder = _holder(connection, key)
    if holder is not None:
        _refuse_unless_released(key, request_hash, holder)


def _holder(connection: sa.Connection, key: Key) -> Holder | None:
    claimed = sa.select(keys.c.dispatch_id, keys.c.log_id, keys.c.request_hash, logs.c.status)
    of_the_key = (keys.c[name] == getattr(key, name) for name in _KEY)
    row = connection.execute(
        claimed.select_from(keys.outerjoin(logs, keys.c.log_id == logs.c.log_id)).where(*of_the_key)
    ).first()
    if row is None:
        return None
    return Holder(
        dispatch_id=row.dispatch_id,
        log_id=row.log_id,
        request_hash=row.request_hash,
        status=None if row.status is None else Status(row.status),
    )


def _refuse_unless_released(key: Key, request_hash: str | None, holder: Holder) -> None:
    of_holder = {"log_id": holder.log_id, "dispatch_id": holder.dispatch_id}
    if holder.request_hash != request_hash:
        raise IdempotencyKeyReused(
            f"{key} belongs to another action, see row {holder.log_id}; give each action a key of its own",
            **of_holder,
        )
    if holder.status is Status.STARTED:
        raise ActionInProgress(
            f"{key}: the action is under way, see row {holder.log_id}; ask again when it has ended", **of_holder
        )
    if holder.status not in _RELEASING:
        raise DuplicateAction(
            f"{key}: the action was carried out, see row {holder.log_id}, and its result isn't kept", **of_holder
        )


def _values(opening: AttemptOpening, request_hash: str) -> dict[str, Any]:
    values = {name: getattr(opening, name) for name in (*_KEY, "dispatch_id", "log_id")}
    return values | {"request_hash": request_hash, "claimed_at": opening.created_at}
