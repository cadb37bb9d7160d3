"""Whether a tenant's budget has room for an action, asked and answered in the transaction that opens its row."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import sqlalchemy as sa

from dispatcher.action.observation import Status
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.record import AttemptOpening, Role, Room
from dispatcher.audit.statement import Statement, given
from dispatcher.audit.tables import budget_locks, logs
from dispatcher.errors import BudgetExhausted

_KEY = ("tenant", "feature")
_RUNNING = sa.case((logs.c.status == Status.STARTED, logs.c.reserved_nanousd), else_=0)
# What an ended row's cost isn't known of may have cost all that was reserved.
_ENDED = sa.case(
    (logs.c.status != Status.STARTED, sa.func.coalesce(logs.c.cost_nanousd, logs.c.reserved_nanousd, 0)), else_=0
)


class NoBudgetLock(Exception):
    """The tenant has no row in `ai_budget_locks` yet."""


class Budgets:
    """The statements on `ai_budget_locks`, and the sum of what a tenant's rows have cost or reserved.

    No sum is kept anywhere: whoever opens a row under a budget holds the tenant's lock from before the sum until the
    row is committed, so that the next one's sum has it.
    """

    def __init__(self, dialect: sa.Dialect) -> None:
        of_tenant = (budget_locks.c[name] == given(budget_locks.c[name]) for name in _KEY)
        touch = sa.update(budget_locks).where(*of_tenant).values(touched=DatabaseNow())
        self._lock = Statement(touch, [], dialect)
        self._make = Statement(sa.insert(budget_locks).values(touched=DatabaseNow()), _KEY, dialect)

    def lock(self, connection: sa.Connection, opening: AttemptOpening) -> None:
        """Wait for the tenant's other starts, and hold off further ones until the transaction ends.

        Must be its first statement, so that what it reads is what the others have committed. Raises NoBudgetLock.
        """
        if not self._lock.run(connection, {name: getattr(opening, name) for name in _KEY}):
            raise NoBudgetLock

    def make_lock(self, connection: sa.Connection, opening: AttemptOpening) -> None:
        """Make the tenant's lock, outside a transaction; another process may have made it meanwhile."""
        with contextlib.suppress(sa.exc.IntegrityError):
            self._make.run(connection, {name: getattr(opening, name) for name in _KEY})

    def check(self, connection: sa.Connection, opening: AttemptOpening, room: Room) -> None:
        """Raise BudgetExhausted where the opening's reservation doesn't fit beside what is spent and reserved.

        A fallback's reservation takes the place of its dispatch's earlier one: what that attempt has cost is known by
        now, and counts instead.
        """
        of_tenant = (logs.c[name] == getattr(opening, name) for name in (*_KEY, "origin"))
        its_own = sa.and_(logs.c.dispatch_id == opening.dispatch_id, logs.c.status == Status.STARTED)
        counted = sa.and_(*of_tenant, logs.c.created_at >= room.since, logs.c.role != Role.SHADOW, ~its_own)
        row = connection.execute(sa.select(sa.func.sum(_ENDED), sa.func.sum(_RUNNING)).where(counted)).one()
        spent, reserved = (int(figure or 0) for figure in row)
        spent += room.own_nanousd
        asked = opening.reserved_nanousd or 0
        if spent + reserved + asked > room.nanousd:
            raise BudgetExhausted(
                f"the budget of tenant {opening.tenant!r} for {opening.feature} is {_usd(room.nanousd)} since "
                f"{room.since:%Y-%m-%d %H:%M} UTC: {_usd(spent)} is spent, {_usd(reserved)} is reserved by running "
                f"actions, and this one needs {_usd(asked)}; lower its cost limit, or raise the tenant's budget"
            )


def _usd(nanousd: int) -> str:
    return f"{Decimal(nanousd).scaleb(-9).normalize():f} USD"
