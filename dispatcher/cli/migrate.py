"""`dispatcher migrate`: bring the database to the newest schema."""

from __future__ import annotations

import click


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing.")
def migrate(*, dry_run: bool) -> None:
    """Bring the database that DISPATCHER_DATABASE_URL names to the newest schema.

    A SQLite file is created where there is none. Running it again does nothing.
    """
    from dispatcher.audit.engine import migrate_database, pending_migration
    from dispatcher.audit.migrate import head
    from dispatcher.settings import load_settings

    url = load_settings().database_url.get_secret_value()
    if dry_run:
        click.echo(pending_migration(url) or f"-- the schema is at {head()} already; nothing to do")
        return
    before = migrate_database(url)
    if before == head():
        click.echo(f"the schema is at {head()} already; nothing to do")
    else:
        click.echo(f"migrated {f'from {before} ' if before else ''}to {head()}")
