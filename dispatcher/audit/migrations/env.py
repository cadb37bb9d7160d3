"""Run by Alembic: migrate the connection that `runner` hands over, or print the statements instead."""

from __future__ import annotations

from alembic import context

import dispatcher.audit.migrations.resuming  # noqa: F401 - Alembic finds what it defines

if context.is_offline_mode():
    context.configure(dialect_name=context.config.attributes["dialect"], transactional_ddl=False)
else:
    context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
