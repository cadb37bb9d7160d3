"""The changes of the flags, as the processes that ask them saw them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column
from sqlalchemy.dialects import mysql

from dispatcher.audit.moment import UtcDateTime

revision = "0003"
down_revision = "0002"

_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def _exact(length: int) -> sa.types.TypeEngine[str]:
    """A text in which letters of either case are different ones, as MySQL and MariaDB by themselves don't have it."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


_FLAG_CHANGES = (
    Column("change_id", sa.String(36), primary_key=True),
    Column("source", _exact(300), nullable=False),
    Column("flag", _exact(120), nullable=False),
    Column("sequence", sa.Integer, nullable=False),
    Column("from_fingerprint", sa.String(64)),
    Column("to_fingerprint", sa.String(64), nullable=False),
    Column("flag_version", sa.String(64), nullable=False),
    Column("revision", sa.BigInteger, nullable=False),
    Column("standing", _LONG_TEXT, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("actor", sa.String(255)),
    sa.UniqueConstraint("source", "flag", "sequence", name="uq_flag_changes_sequence"),
)


def upgrade() -> None:
    """Add the table."""
    op.create_table("flag_changes", *_FLAG_CHANGES)
