"""Run by Alembic: migrate the connection that `runner` hands over, or print the statements instead."""

from __future__ import annotations

from alembic import context

import dispatcher.audit.migrations.resuming  # noqa: F401 - Alembic finds what it defines
from dispatcher.audit.revision import VERSION_TABLE

if context.is_offline_mode():
    dialect = context.config.attributes["dialect"]
    context.configure(dialect_name=dialect, transactional_ddl=False, version_table=VERSION_TABLE)
else:
    context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
