"""How the database should go about counting everything."""

from __future__ import annotations

import sqlalchemy as sa


def plan_for_groups(connection: sa.Connection) -> None:
    """Settings of this transaction: PostgreSQL's guesses about groups of groups are wrong by orders of magnitude, and
    made it sort all rows, join in quadratic time, and compile what runs once.
    """
    if connection.dialect.name == "postgresql":
        for way in ("jit", "enable_mergejoin", "enable_nestloop", "enable_sort", "enable_bitmapscan"):
            connection.exec_driver_sql(f"SET LOCAL {way} = off")
        connection.exec_driver_sql("SET LOCAL work_mem = '256MB'")
