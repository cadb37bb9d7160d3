"""From here on the database refuses to change what was logged.

The triggers aren't made here but after the newest revision, for the tables that it leaves: see `append_only`.
"""

from __future__ import annotations

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Change nothing; that there is a revision makes an older database one that has to be migrated."""
