"""`dispatcher migrate`: bring the database to the newest schema."""

from __future__ import annotations

import click


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing.")
@click.option("--adopt", is_flag=True, help="Keep the log in the ai_outbound_logs that another application has made.")
@click.option("--grant-to", metavar="ROLE", help="Then give the role of the serving process the rights that it needs.")
def migrate(*, dry_run: bool, adopt: bool, grant_to: str | None) -> None:
    """Bring the database to the newest schema, and make again what keeps its rows as they are.

    It is the one that DISPATCHER_DATABASE_URL names, reached as DISPATCHER_ADMIN_DATABASE_URL says where that is set:
    the role that owns the tables needn't be the one that serves. A SQLite file is created where there is none. Running
    it again does nothing. An adopted table gets columns that may be NULL, and what it has stays as it is.
    """
    from dispatcher.audit.engine import granted, migrate_database, pending_migration, restore_triggers
    from dispatcher.audit.migrate import head
    from dispatcher.settings import load_admin_settings, load_settings

    url = (load_admin_settings().admin_database_url or load_settings().database_url).get_secret_value()
    if dry_run:
        click.echo(pending_migration(url, adopt=adopt) or f"-- the schema is at {head()} already; nothing to do")
        if grant_to is not None:
            click.echo("\n".join(f"{statement};" for statement in granted(url, grant_to, dry_run=True)))
        return
    before = migrate_database(url, adopt=adopt)
    if before == head():
        if missing := restore_triggers(url):
            click.echo(f"made again what somebody had taken away: {', '.join(missing)}")
        click.echo(f"the schema is at {head()} already; nothing to do")
    else:
        click.echo(f"migrated {f'from {before} ' if before else ''}to {head()}")
    if grant_to is not None:
        granted(url, grant_to, dry_run=False)
        click.echo(f"{grant_to} may open, end and read rows; it may not change or delete what was logged")
