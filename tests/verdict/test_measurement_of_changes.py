"""What an adjustment changes is added for every cluster that counts, and for no other."""

from __future__ import annotations

import sqlalchemy as sa
from verdict_worlds import COST, DAY, MINUTE, START, World, block

from dispatcher.audit.tables import adjustments
from dispatcher.verdict.sums import Sums


def test_an_adjustment_counts_although_no_other_tenant_has_one(any_world: World) -> None:
    """When all tenants were in the assignment is read from all of their rows, not from the adjusted ones only."""
    row = any_world.made(START + MINUTE, cost_nanousd=100)
    any_world.write([row, any_world.made(START + MINUTE, cost_nanousd=100, tenant="acme")])
    made = {"kind": "reprice", "reason": "price_changed", "amount_nanousd": 1, "cost_nanousd": 70, "sequence": 1}
    adjusted = {"tenant": row["tenant"], "log_id": row["log_id"], "adjusted_at": START + 8 * DAY}
    with any_world.engine.begin() as connection:
        connection.execute(sa.insert(adjustments).values(made | adjusted))

    measurement = any_world.measured(block(COST, tenants={"script": 0.5, "acme": 0.5}), START + 15 * DAY)
    sums = sum((cell.valued["AC-6"].sums for cell in measurement.cells), Sums())

    assert (sums.clusters, sums.total, sums.total_squared) == (2, 170, 70**2 + 100**2)
