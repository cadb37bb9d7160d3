"""What the demo prints: who went where and why, the telemetry beside the published figures, what comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dispatcher.action.observation import Status

if TYPE_CHECKING:
    from rich.console import Console

    from dispatcher.action.result import ResearchResult
    from dispatcher.cli.demo_traffic import Dispatched
    from dispatcher.telemetry.distribution import DistributionRow
    from dispatcher.telemetry.published import Published


def heading(console: Console, text: str) -> None:
    """A section's heading."""
    console.print(f"\n{text}", style="bold")


def print_decisions(console: Console, dispatched: Sequence[Dispatched]) -> None:
    """Who went where and why, and how it ended: one line for each tenant, variant and reason."""
    from rich import box
    from rich.table import Table

    heading(console, "Who went where, and why")
    groups: dict[tuple[str, str, str, str, str], Counter[str]] = {}
    for one in dispatched:
        decision = one.result.decision
        share = "" if decision.assignment_share is None else f"{decision.assignment_share:.0%}"
        key = (one.action.tenant, decision.path.value, decision.variant.name, decision.reason.value, share)
        groups.setdefault(key, Counter())[ending(one.result)] += 1
    table = Table("tenant", "path", "variant", "reason", "share", "dispatches", "endings", box=box.SIMPLE)
    for key, endings in sorted(groups.items()):
        shown = ", ".join(f"{count} × {text}" for text, count in endings.most_common())
        table.add_row(*key, str(endings.total()), shown)
    console.print(table)


def ending(result: ResearchResult) -> str:
    """How a dispatch ended, in a word or two."""
    if result.status is Status.SUCCESS:
        return "success" if result.ended_by == "completed" else f"success ({result.ended_by})"
    return f"{result.status} ({result.error_type})"


def print_example(console: Console, dispatched: Sequence[Dispatched]) -> None:
    """One answer as the application gets it."""
    one = next((one for one in dispatched if one.result.output is not None), None)
    if one is None or one.result.output is None:
        return
    heading(console, f"One of the answers: {one.action.question}")
    click.echo(f"  {one.result.output.summary}")
    for finding in one.result.output.findings[:3]:
        click.echo(f"  {finding.file}:{finding.line}  {finding.evidence.strip()[:90]}")
    cost = one.result.cost_usd
    click.echo(f"  row {one.result.log_id}, cost {'unknown' if cost is None else f'${cost:f}'} at simulated usage")


def print_telemetry(
    console: Console, measured: Sequence[DistributionRow], published: Published, time_scale: float
) -> None:
    """The measured distributions, and the published ones of the record beside them."""
    from dispatcher.cli.telemetry import distribution_table
    from dispatcher.telemetry.published import published_table

    heading(console, "Telemetry: response_time_ms of agent_research, all SIMULATED rows of this log, by path")
    console.print(distribution_table(measured, "path"))
    if time_scale != 1:
        click.echo(
            f"  Simulated waits ran on a time scale of {time_scale:g}: these are not real times, and no latency is "
            "judged from them."
        )
    heading(console, f"Published for {published.record}: production, 30 days, one tenant")
    console.print(distribution_table(published_table(published), "path"))
    for run in published.runs:
        click.echo(f"  {run.kind}: {run.label} on {run.path}, {run.response_time_ms / 1000:g} s (indicative, one run)")
    click.echo("  Milliseconds; measured percentiles are nearest-rank, the source doesn't state its own.")


def print_next(record: str) -> None:
    """What a reader may try next."""
    import shutil

    tries = {
        f"dispatcher verdict {record} --origin simulated --json": "the verdict with its SQL",
        f"dispatcher verdict {record} --origin simulated --reports reports": "the verdict as a page to look at",
        "dispatcher explain --tenant acme": "why a tenant goes where it goes",
        f"dispatcher spike compare {record}": "the published runs against the criterion",
        "dispatcher telemetry distribution --origin simulated --by variant": "the same table by variant",
        "echo legacy > policies/KILL": "the brake; remove the file to release it",
    }
    if shutil.which("dispatcher") is None:
        tries = {"source .venv/bin/activate": "puts the command on this shell's path", **tries}
    width = max(map(len, tries))
    click.echo("\nNext:")
    for command, purpose in tries.items():
        click.echo(f"  {command:<{width}}  {purpose}")
