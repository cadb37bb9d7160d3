"""`dispatcher doctor`: what is enforced, what is missing, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dispatcher.audit.checkup import Check


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(*, as_json: bool) -> int:
    """Look at the database, the spool, the policies and the flags as a serving process would, and change nothing.

    Whether the database keeps rows as they are is tried, in a transaction that is never committed. Each line is ok,
    warn or fail, with what to do about it. Exit 1 where one failed, else 0.
    """
    import datetime as dt

    from dispatcher.audit.checkup import Outcome, check_database
    from dispatcher.cli.doctor_checks import check_flags, check_policies, check_spool
    from dispatcher.settings import load_settings

    settings = load_settings()
    checks = check_database(settings.database_url.get_secret_value(), lambda: dt.datetime.now(dt.UTC))
    checks += [*check_spool(settings, dt.datetime.now(dt.UTC)), *check_policies(settings), check_flags(settings)]
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    else:
        _show(checks)
    return 1 if Outcome.FAIL in {check.outcome for check in checks} else 0


def _show(checks: Sequence[Check]) -> None:
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    for check in checks:
        outcome = click.style(f"{check.outcome.value:5}", fg=colours[check.outcome.value])
        click.echo(f"{outcome}{check.subject}: {check.finding}")
        if check.fix is not None:
            click.echo(f"     → {check.fix}")
