"""Costs that were adjusted: what a row costs as a look sees it, and what an adjustment changes at later looks.

An adjustment counts from the first look after its own time. A look that took a cluster in keeps the cost that it saw;
what becomes known later is added to the sums from a later look on, as the difference between the two.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.audit.tables import adjustments
from dispatcher.verdict.looks import WEEK
from dispatcher.verdict.measurement.integers import Bytewise, EpochMs, Quotient

if TYPE_CHECKING:
    from dispatcher.verdict.measurement.population import Population

_WEEK_MS = WEEK // dt.timedelta(milliseconds=1)


def priced(population: Population, placed: sa.CTE) -> sa.CTE:
    """The attempts with their cost by the latest adjustment that the look could see.

    For a repricing, once for each look at which an adjustment of the cluster takes effect, the first of them being the
    one that took it in.
    """
    prices = _prices()
    if not population.repricing:
        return _seen(placed, placed.c.until_ms, prices)
    looks = _looks_of_change(population, placed, prices)
    p, s = placed.c, looks.c
    states = (
        select(*p, s.at_look, population.look_ms(s.at_look).label("cost_until_ms"))
        .select_from(placed.join(looks, (p.tenant == s.tenant) & (p.unit == s.unit)))
        .cte("states")
    )
    return _seen(states, states.c.cost_until_ms, prices)


def _seen(placed: sa.CTE, until_ms: sa.ColumnElement[int], prices: sa.CTE) -> sa.CTE:
    p, of = placed.c, prices.c
    at = (p.tenant == of.tenant) & (p.log_id == of.log_id) & (of.from_ms <= until_ms)
    at &= of.to_ms.is_(None) | (of.to_ms > until_ms)
    cost = case((of.from_ms.is_not(None), of.cost_nanousd), else_=p.cost)
    kept = [column for column in p if column.name != "cost"]
    return select(*kept, cost.label("cost")).select_from(placed.outerjoin(prices, at)).cte("priced")


def _prices() -> sa.CTE:
    """Each adjustment with the moment it is of, and that of the row's next one."""
    c = adjustments.c
    from_ms = EpochMs(c.adjusted_at)
    following: sa.ColumnElement[Any] = func.lead(from_ms).over(partition_by=[c.tenant, c.log_id], order_by=c.sequence)
    columns: dict[str, sa.ColumnElement[Any]] = {
        "tenant": Bytewise(c.tenant),
        "log_id": Bytewise(c.log_id),
        "from_ms": from_ms,
        "to_ms": following,
        "cost_nanousd": c.cost_nanousd,
    }
    return select(*(column.label(name) for name, column in columns.items())).cte("prices")


def _looks_of_change(population: Population, placed: sa.CTE, prices: sa.CTE) -> sa.CTE:
    """Of every cluster with an adjustment that came after its look: that look, and those at which one takes effect."""
    p, of = placed.c, prices.c
    assert population.start_ms is not None
    since = of.from_ms - population.start_ms + (_WEEK_MS - 1)
    at_look = case((since < 0, 0), else_=Quotient(since, sa.literal(_WEEK_MS, sa.BigInteger)))
    changed = (
        select(p.tenant, p.unit, p.look, at_look.label("at_look"))
        .select_from(placed.join(prices, (p.tenant == of.tenant) & (p.log_id == of.log_id)))
        .where(p.look.is_not(None), at_look > p.look, at_look <= population.looks.done)
        .cte("changed")
    )
    looks = (changed.c.look.label("at_look"), changed.c.at_look)
    return sa.union(*(select(changed.c.tenant, changed.c.unit, look) for look in looks)).cte("looks_of_change")
