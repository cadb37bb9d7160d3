"""How `dispatcher telemetry failures` shows its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.telemetry import number, page, scales_note, window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from dispatcher.telemetry.distribution import Selection
    from dispatcher.telemetry.failures import Count, FailureReport, Timed


def failures_document(found: FailureReport) -> dict[str, Any]:
    """A report of failures as JSON holds it: shares as fractions of 1, times in milliseconds."""
    from dataclasses import asdict

    return {
        "product": {view: asdict(count) for view, count in found.by_product().items()},
        "engineering": {view: asdict(count) for view, count in found.by_engineering().items()},
        "failure_share": found.failure_share,
        "unclassified_share": found.unclassified_share,
        "failures": [{**asdict(kind), **asdict(kind.views), **asdict(count)} for kind, count in found.failures],
        "times": {"answered": _timed_document(found.answered), "failed": _timed_document(found.failed)},
        "left_out": [{"reason": reason, "n": n} for reason, n in found.left_out.items()],
        "time_scales": list(found.time_scales),
    }


def _timed_document(timed: Timed) -> dict[str, Any]:
    times = timed.times
    figures = {name: None if times is None else getattr(times, name) for name in ("min", "p50", "p90", "p95", "max")}
    return {"n": timed.n, "unmeasured": timed.unmeasured, **figures}


def print_failures(selection: Selection, found: FailureReport) -> None:
    """A report of failures for a person to read."""
    subject = f"endings of {selection.feature}, {selection.origin} attempts, {window(selection)}"
    if not found.counts:
        click.echo(f"{subject}: no rows")
        return
    click.echo(subject)
    page().print(_views_table("what users felt", found.by_product()))
    page().print(_views_table("who can do something", found.by_engineering()))
    if found.failures:
        page().print(_kinds_table(found))
    for what, timed in (("answers", found.answered), ("failures", found.failed)):
        click.echo(_timed_text(what, timed))
    click.echo(f"Failures among attempts that nobody stopped: {_percent(found.failure_share)}.")
    click.echo(f"Failures without a name: {_percent(found.unclassified_share)}.")
    for reason, n in found.left_out.items():
        click.echo(f"Left out: {number(n)} {reason}.")
    scales_note(found.time_scales)


def _views_table(what: str, counts: Mapping[Any, Count]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    table.add_column(what, no_wrap=True, min_width=20)
    for name in ("n", "share", "tenants"):
        table.add_column(name, justify="right", no_wrap=True)
    total = sum(count.n for count in counts.values())
    for view, count in counts.items():
        table.add_row(view.value, number(count.n), _percent(count.n / total), number(count.tenants))
    return table


def _kinds_table(found: FailureReport) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for name in ("status", "error_type", "stage", "users felt", "can do something", "owner", "ask again"):
        table.add_column(name, no_wrap=True)
    for name in ("tenants", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind, count in found.failures:
        views = kind.views
        words = (kind.status, kind.error_type or "unknown", kind.error_stage or "", views.product, views.engineering)
        again = "yes" if views.retryable else "no"
        table.add_row(*words, views.source, again, number(count.tenants), number(count.n))
    return table


def _timed_text(what: str, timed: Timed) -> str:
    times, unmeasured = timed.times, f", {number(timed.unmeasured)} without a time" if timed.unmeasured else ""
    if times is None:
        return f"response_time_ms of {what}: none{unmeasured}."
    figures = ", ".join(f"{name} {number(getattr(times, name))}" for name in ("min", "p50", "p90", "p95", "max"))
    return f"response_time_ms of {what} (n {number(timed.n)}): {figures}{unmeasured}; percentiles are nearest-rank."


def _percent(share: float | None) -> str:
    return "none to count" if share is None else f"{share:.1%}"
