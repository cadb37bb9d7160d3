"""From here on the revision is noted in a table of our own, `dispatcher_alembic_version`.

It is renamed before migrations run, since they note what they did in it: see `dispatcher.audit.migrate`.
"""

from __future__ import annotations

revision = "0011"
down_revision = "0009"


def upgrade() -> None:
    """Change nothing; that there is a revision makes an older database one that has to be migrated."""
