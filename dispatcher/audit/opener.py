"""The opening of a row, blocking: alone, or in one transaction with its claim of a key and its part of a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.budget import Budgets, NoBudgetLock
from dispatcher.audit.claims import Claims, Holder, KeyIsHeld
from dispatcher.audit.connections import transaction
from dispatcher.audit.record import AttemptOpening, Room
from dispatcher.audit.statement import STARTED, Statement
from dispatcher.audit.tables import logs
from dispatcher.audit.units import Unit
from dispatcher.errors import BudgetExhausted, ConversationBusy

_COLUMNS = [field.name for field in fields(AttemptOpening)]
_values = attrgetter(*_COLUMNS)
_TURN = ("tenant", "feature", "conversation_id", "turn", "attempt", "role")


@dataclass(frozen=True, slots=True)
class _Wish:
    """A row to be opened, and what has to be granted with it."""

    opening: AttemptOpening
    request_hash: str | None
    room: Room | None

    @property
    def is_granted(self) -> bool:
        """Whether the row needs something that is granted."""
        return self.request_hash is not None or self.room is not None


class Opener:
    """Opens rows; each may be opened again with the same values."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._has_one_writer = dialect.name == "sqlite"
        self._insert = Statement(sa.insert(logs).values(status=STARTED), _COLUMNS, dialect)
        self._claims = Claims(dialect)
        self._budgets = Budgets(dialect)

    def opening(self, opening: AttemptOpening, request_hash: str | None, room: Room | None) -> Unit[None]:
        """What inserts the row as `started`, with its claim of the idempotency key, where the budget has room for it.

        It raises ConversationBusy, ActionInProgress, DuplicateAction, IdempotencyKeyReused or BudgetExhausted, and
        sqlalchemy's errors where the database refuses.
        """
        if (opening.idempotency_key is None) is not (request_hash is None):
            raise ValueError("an idempotency key and the hash of its request belong together")
        if room is not None and opening.reserved_nanousd is None:
            raise ValueError("a row under a budget reserves a part of it")
        wish = _Wish(opening, request_hash, room)
        # The turn of a conversation may be another's who hasn't committed it, and one would wait for that.
        joins = not wish.is_granted and (self._has_one_writer or opening.turn is None)
        return Unit(lambda connection: self._open(connection, wish), self._insert_many if joins else None, opening)

    def _insert_many(self, connection: sa.Connection, openings: Sequence[AttemptOpening]) -> Sequence[None]:
        self._insert.run_many(connection, [_values_of(opening) for opening in openings])
        return [None] * len(openings)

    def _open(self, connection: sa.Connection, wish: _Wish) -> None:
        opening = wish.opening
        try:
            if wish.is_granted:
                self._open_granted(connection, wish)
            else:
                self._insert.run(connection, _values_of(opening))
        except (sa.exc.IntegrityError, BudgetExhausted):
            if _is_ours(connection, opening):
                return
            if opening.conversation_id is not None and _is_there(connection, opening, _TURN):
                raise ConversationBusy(
                    f"conversation {opening.conversation_id!r} of tenant {opening.tenant!r}: another action has begun "
                    f"turn {opening.turn}; ask again when it has ended"
                ) from None
            raise

    def _open_granted(self, connection: sa.Connection, wish: _Wish) -> None:
        released: Holder | None = None
        # Another round of a claim is owed to a dispatch that took the key, failed and released it meanwhile.
        while True:
            try:
                with transaction(connection):
                    self._grant_and_insert(connection, wish, released)
            except NoBudgetLock:
                self._budgets.make_lock(connection, wish.opening)
            except KeyIsHeld:
                if _is_ours(connection, wish.opening):
                    return
                released = self._claims.released(connection, wish.opening, wish.request_hash)
            else:
                return

    def _grant_and_insert(self, connection: sa.Connection, wish: _Wish, released: Holder | None) -> None:
        if wish.room is not None:
            self._budgets.lock(connection, wish.opening)
        if wish.request_hash is not None:
            self._claims.take(connection, wish.opening, wish.request_hash, released)
        if wish.room is not None:
            self._budgets.check(connection, wish.opening, wish.room)
        self._insert.run(connection, _values_of(wish.opening))


def _values_of(opening: AttemptOpening) -> dict[str, Any]:
    return dict(zip(_COLUMNS, _values(opening), strict=True))


def _is_ours(connection: sa.Connection, opening: AttemptOpening) -> bool:
    # The first try landed although its connection broke: same row, made by the same dispatch.
    return _is_there(connection, opening, ("log_id", "dispatch_id"))


def _is_there(connection: sa.Connection, opening: AttemptOpening, columns: tuple[str, ...]) -> bool:
    same = (logs.c[name] == getattr(opening, name) for name in columns)
    return connection.execute(sa.select(logs.c.log_id).where(*same).limit(1)).first() is not None
