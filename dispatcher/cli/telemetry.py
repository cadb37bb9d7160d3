"""`dispatcher telemetry`: standing reports over the log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from dispatcher.telemetry.distribution import DistributionRow, Selection

ORIGINS = ("production", "spike", "shadow", "import", "simulated")

_PAGE = 160
_SPAN = re.compile(r"([1-9][0-9]{0,4})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Span(click.ParamType[Any]):
    """How far back a report reaches, such as `30d`; `all` is without bound."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.timedelta | None:
        """The span, None for `all`."""
        from datetime import timedelta

        if value == "all":
            return None
        match = _SPAN.fullmatch(value)
        if match is None:
            self.fail(
                f"{value!r} is not a span: write a whole number and s, m, h or d, such as 30d, or all", param, ctx
            )
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.group()
def telemetry() -> None:
    """Standing reports over the log."""


@telemetry.command()
@click.option("--feature", default="agent_research", show_default=True, help="Rows of which feature.")
@click.option(
    "--origin", type=click.Choice(ORIGINS), default="production", show_default=True, help="Rows of which origin."
)
@click.option(
    "--by",
    type=click.Choice(("path", "variant", "tenant")),
    default="path",
    show_default=True,
    help="What the rows are grouped by.",
)
@click.option("--since", type=Span(), default="30d", show_default=True, help="How far back: 30d, 12h, all.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures and their SQL as JSON.")
def distribution(feature: str, origin: str, by: str, since: dt.timedelta | None, *, as_json: bool) -> None:
    """How long dispatches took: n, min, p50, p90, p95, max and avg of response_time_ms.

    Successes first; other endings have rows of their own and are never mixed in. Percentiles are nearest-rank.
    """
    import datetime as dt
    import json

    from dispatcher.audit.reading import reading
    from dispatcher.audit.record import Origin
    from dispatcher.settings import load_settings
    from dispatcher.telemetry import distribution as report
    from dispatcher.wiring.doors import read_database

    until = dt.datetime.now(dt.UTC)
    selection = report.Selection(
        feature=feature, origin=Origin(origin), since=None if since is None else until - since, until=until
    )
    engine = read_database(load_settings())
    try:
        with reading(engine) as connection:
            rows = report.distribution(connection, selection, report.By(by))
        sql = report.sql_text(report.histogram_statement(selection, report.By(by)), engine.dialect)
    finally:
        engine.dispose()
    if as_json:
        document = {**selection_document(selection), "by": by, "percentiles": report.PERCENTILES, "sql": sql}
        click.echo(json.dumps({**document, "rows": [row_document(row) for row in rows]}, indent=2, ensure_ascii=False))
    else:
        _print_distribution(selection, by, rows)


@telemetry.command()
@click.option("--feature", default="agent_research", show_default=True, help="Attempts of which feature.")
@click.option(
    "--origin", type=click.Choice(ORIGINS), default="production", show_default=True, help="Attempts of which origin."
)
@click.option("--since", type=Span(), default="30d", show_default=True, help="How far back: 30d, 12h, all.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures and their SQL as JSON.")
def failures(feature: str, origin: str, since: dt.timedelta | None, *, as_json: bool) -> None:
    """What failed: what users felt, who can do something about it, how many tenants it reaches.

    What a user stopped on purpose is no failure; failures and answers are timed apart.
    """
    import datetime as dt
    import json

    from dispatcher.audit.reading import reading
    from dispatcher.audit.record import Origin
    from dispatcher.cli.failure_report import failures_document, print_failures
    from dispatcher.settings import load_settings
    from dispatcher.telemetry import failures as report
    from dispatcher.telemetry.distribution import Selection, sql_text
    from dispatcher.wiring.doors import read_database

    until = dt.datetime.now(dt.UTC)
    selection = Selection(
        feature=feature, origin=Origin(origin), since=None if since is None else until - since, until=until
    )
    engine = read_database(load_settings())
    try:
        with reading(engine) as connection:
            found = report.failures(connection, selection)
        statements = report.counts_statement(selection), report.times_statement(selection)
        sql = dict(zip(("counts", "times"), (sql_text(one, engine.dialect) for one in statements), strict=True))
    finally:
        engine.dispose()
    if as_json:
        document = {**selection_document(selection), "sql": sql, **failures_document(found)}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print_failures(selection, found)


def selection_document(selection: Selection) -> dict[str, Any]:
    """Which rows a report read, as JSON holds it."""
    return {
        "feature": selection.feature,
        "origin": selection.origin,
        "since": None if selection.since is None else selection.since.isoformat(),
        "until": None if selection.until is None else selection.until.isoformat(),
    }


def row_document(row: DistributionRow) -> dict[str, Any]:
    """A row as JSON holds it: milliseconds, the avg to a tenth."""
    names = ("min", "p50", "p90", "p95", "max")
    return {
        "group": row.group,
        "status": row.status,
        "n": row.n,
        "unmeasured": row.unmeasured,
        **{name: None if row.times is None else getattr(row.times, name) for name in names},
        "avg": None if row.times is None else float(round(row.times.avg, 1)),
        "time_scales": list(row.time_scales),
    }


def distribution_table(rows: Sequence[DistributionRow], by: str) -> Table:
    """The table of a distribution, in milliseconds, for a person to read."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    table.add_column(by, overflow="fold")
    table.add_column("status", no_wrap=True)
    for name in ("n", "min", "p50", "p90", "p95", "max", "avg", "no time"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        times = row.times
        figures = (times.min, times.p50, times.p90, times.p95, times.max, round(times.avg)) if times else (None,) * 6
        cells = [number(figure) for figure in (row.n, *figures, row.unmeasured)]
        table.add_row(row.group or "unknown", row.status, *cells)
    return table


def page() -> Console:
    """Where tables are printed: as wide as the terminal, and wide enough for a table where there is none.

    What is in brackets or between colons is a text of the log, such as a tenant's name, and no markup.
    """
    from rich.console import Console

    console = Console(markup=False, emoji=False)
    return console if console.is_terminal else Console(width=_PAGE, markup=False, emoji=False)


def number(value: int | None) -> str:
    """A number with its thousands apart; a blank where there is none."""
    return "" if value is None else f"{value:,}".replace(",", " ")


def window(selection: Selection) -> str:
    """The moments between which a report's rows began."""
    assert selection.until is not None
    since = "the beginning" if selection.since is None else selection.since.isoformat(timespec="minutes")
    return f"{since} to {selection.until.isoformat(timespec='minutes')}"


def scales_note(scales: Sequence[float]) -> None:
    """Say which of the rows' time scales aren't that of real time."""
    listed = ", ".join(f"{scale:g}" for scale in scales if scale != 1)
    if listed:
        click.echo(f"Some rows ran on a time scale of {listed}: their waits are simulated, not real.")


def _print_distribution(selection: Selection, by: str, rows: Sequence[DistributionRow]) -> None:
    subject = f"response_time_ms of {selection.feature}, {selection.origin} rows, {window(selection)}"
    if not rows:
        click.echo(f"{subject}: no rows")
        return
    click.echo(subject)
    page().print(distribution_table(rows, by))
    click.echo("Milliseconds; percentiles are nearest-rank. Rows without a time are counted, not measured.")
    scales_note(sorted({scale for row in rows for scale in row.time_scales}))
