"""The tables beside the log that a verdict is reached from, and in which it is noted; each append-only."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column

from dispatcher.audit.moment import DatabaseNow, UtcDateTime
from dispatcher.audit.tables import LONG_TEXT, exact, metadata

registrations = sa.Table(
    "adr_registrations",
    metadata,
    Column("registration_id", sa.String(36), primary_key=True),
    Column("record", sa.String(64), nullable=False),
    Column("origin", sa.String(16), nullable=False),
    Column("epoch", sa.Integer, nullable=False),
    Column("candidate_hash", sa.String(64), nullable=False),
    Column("record_hash", sa.String(64), nullable=False),
    Column("block", sa.Text, nullable=False),
    Column("registered_at", UtcDateTime, nullable=False, server_default=DatabaseNow()),
    Column("start_at", UtcDateTime, nullable=False),
    # The key decides between two that register at once: an epoch of a record and origin is opened by one of them.
    sa.UniqueConstraint("record", "origin", "epoch", name="uq_adr_registrations_epoch"),
)
"""The moments from which the evidence of a record and origin counts. `block` is canonical JSON."""

flag_changes = sa.Table(
    "flag_changes",
    metadata,
    Column("change_id", sa.String(36), primary_key=True),
    Column("source", exact(300), nullable=False),
    Column("flag", exact(120), nullable=False),
    Column("sequence", sa.Integer, nullable=False),
    Column("from_fingerprint", sa.String(64)),
    Column("to_fingerprint", sa.String(64), nullable=False),
    Column("flag_version", sa.String(64), nullable=False),
    Column("revision", sa.BigInteger, nullable=False),
    Column("standing", LONG_TEXT, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("actor", sa.String(255)),
    # Of many processes that see one change, one appends it.
    sa.UniqueConstraint("source", "flag", "sequence", name="uq_flag_changes_sequence"),
)
"""The states of a flag one after the other, as the processes that ask it saw them. `standing` is JSON."""

verdicts = sa.Table(
    "verdicts",
    metadata,
    Column("verdict_id", exact(36), primary_key=True),
    Column("record", exact(64), nullable=False),
    Column("origin", exact(16), nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
    Column("epoch", sa.Integer),
    Column("verdict", exact(16), nullable=False),
    Column("document", LONG_TEXT, nullable=False),
    Column("record_hash", exact(64), nullable=False),
    Column("sql_hash", exact(64), nullable=False),
    Column("rows_hash", exact(64), nullable=False),
    Column("result_hash", exact(64), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False, server_default=DatabaseNow()),
    # The same verdict on the same rows at the same moment is one, whoever reaches it again.
    sa.UniqueConstraint("record", "origin", "as_of", "result_hash", name="uq_verdicts_result"),
)
"""The verdicts that were reached. `document` is the verdict's canonical JSON, `epoch` NULL without one."""
