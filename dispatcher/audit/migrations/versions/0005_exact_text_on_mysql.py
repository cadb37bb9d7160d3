"""On MySQL and MariaDB, texts of any alphabet, and letters of either case as different ones, in every table."""

from __future__ import annotations

from alembic import op

from dispatcher.audit.migrations.log_table import LOG, is_adopted

revision = "0005"
down_revision = "0004"

# By themselves the tables have the character set and the collation that the database happens to have: with the ones
# that MariaDB is built with, a tenant `Acme` is a tenant `acme`, and a `✓` in a kept turn keeps its row from ending.
_EXACT = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_TABLES = {
    # A conversion from a narrower character set would turn a TEXT into a MEDIUMTEXT.
    "ai_outbound_logs": f", MODIFY section_fingerprints TEXT {_EXACT}",
    "ai_outbound_calls": "",
    "ai_outbound_adjustments": "",
    "ai_idempotency_keys": "",
    "ai_budget_locks": "",
    "ai_conversations": "",
    "ai_results": "",
    "adr_registrations": f", MODIFY block TEXT {_EXACT} NOT NULL",
    "flag_changes": "",
}


def upgrade() -> None:
    """Convert the tables, but not another application's; other engines keep every text as it is already."""
    if op.get_context().dialect.name in {"mysql", "mariadb"}:
        for table, kept in _TABLES.items():
            if table != LOG or not is_adopted():
                op.execute(f"ALTER TABLE {table} CONVERT TO {_EXACT}{kept}")
