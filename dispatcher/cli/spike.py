"""`dispatcher spike`: hold published single runs against production and against a record's criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.telemetry import number, page

if TYPE_CHECKING:
    from fractions import Fraction

    from rich.table import Table

    from dispatcher.telemetry.spike import SpikeComparison

_INDICATIVE = "indicative: single runs, never a verdict"
_VACUOUS = "vacuous: every published run passes"


@click.group()
def spike() -> None:
    """Hold published single runs against a record's criteria."""


@spike.command("compare")
@click.argument("record")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def compare_record(record: str, *, as_json: bool) -> None:
    """Hold the published runs of RECORD (such as KD-0650) against production, with every denominator named.

    Shows what the latency criterion allows under each baseline. The figures are those in RECORD-published.yml beside
    the record; no rows are read.
    """
    import json

    from dispatcher.adr.reader import find_record
    from dispatcher.settings import load_settings
    from dispatcher.telemetry.published import read_published
    from dispatcher.telemetry.spike import compare

    directory = load_settings().adrs_dir
    found = find_record(directory, record)
    comparison = compare(read_published(directory, record), found)
    if as_json:
        click.echo(json.dumps(comparison_document(comparison), indent=2, ensure_ascii=False))
    else:
        _print_comparison(comparison)


def comparison_document(comparison: SpikeComparison) -> dict[str, Any]:
    """A comparison as JSON holds it: milliseconds as exact numbers, ratios to four places."""
    production = comparison.production
    return {
        "record": comparison.record,
        "criterion": comparison.criterion,
        "aggregate": comparison.aggregate,
        "multiple": float(comparison.multiple),
        "production": {**production.model_dump(mode="json", exclude={"response_time_ms"}), **_figures(comparison)},
        "reading": _INDICATIVE,
        "ratios": _ratios(comparison),
        "limits": _limits(comparison),
        "paces": [
            {
                "run": pace.run,
                "iterations": pace.iterations,
                "ms_per_iteration": float(round(pace.ms_per_iteration, 1)),
                "iterations_within_limit": pace.iterations_within_limit,
            }
            for pace in comparison.paces
        ],
    }


def _ratios(comparison: SpikeComparison) -> list[dict[str, Any]]:
    return [
        {
            "run": ratio.run,
            "response_time_ms": ratio.value_ms,
            "denominator": ratio.denominator.name,
            "denominator_ms": _exact(ratio.denominator.value_ms),
            "ratio": float(round(ratio.value, 4)),
        }
        for ratio in comparison.ratios
    ]


def _limits(comparison: SpikeComparison) -> list[dict[str, Any]]:
    return [
        {
            "baseline": limit.baseline.name,
            "baseline_ms": _exact(limit.baseline.value_ms),
            "limit_ms": _exact(limit.limit_ms),
            "in_force": limit.in_force,
            "vacuous": limit.vacuous,
        }
        for limit in comparison.limits
    ]


def _figures(comparison: SpikeComparison) -> dict[str, int | float]:
    from fractions import Fraction

    figures = comparison.production.response_time_ms
    return {name: _exact(Fraction(value)) for name, value in figures}


def _exact(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)


def _print_comparison(comparison: SpikeComparison) -> None:
    production = comparison.production
    percentiles = production.percentile_method or "not stated by the source"
    window = f"{production.window[0]} to {production.window[1]}"
    console = page()
    click.echo(
        f"{comparison.record}, {comparison.criterion}: {comparison.aggregate} at most "
        f"{comparison.multiple:f} times current. Production is {production.n} published "
        f"{production.status} rows of tenant {production.tenant}, {window}; percentile method: {percentiles}."
    )
    console.print(_ratio_table(comparison))
    click.echo(f"These are {_INDICATIVE}.")
    console.print(_limit_table(comparison))
    for pace in comparison.paces:
        click.echo(
            f"{pace.run}: {pace.iterations} iterations at {number(round(pace.ms_per_iteration))} ms; by linear "
            f"estimate {pace.iterations_within_limit} of them fit into the limit"
        )


def _ratio_table(comparison: SpikeComparison) -> Table:
    from rich import box
    from rich.table import Table

    table = Table("divided by", box=box.SIMPLE)
    table.add_column("ms", justify="right")
    for run in comparison.runs:
        table.add_column(f"{run.label}\n{run.path}", justify="right", overflow="fold")
    table.add_row("", "", *(f"{number(run.response_time_ms)} ms" for run in comparison.runs), end_section=True)
    for denominator in dict.fromkeys(ratio.denominator for ratio in comparison.ratios):
        ratios = [f"{float(ratio.value):.2f}" for ratio in comparison.ratios if ratio.denominator == denominator]
        table.add_row(denominator.name, milliseconds(denominator.value_ms), *ratios)
    return table


def _limit_table(comparison: SpikeComparison) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(f"{comparison.criterion} against", box=box.SIMPLE)
    table.add_column("baseline ms", justify="right")
    table.add_column("limit ms", justify="right")
    table.add_column("reading")
    for limit in comparison.limits:
        notes = ["the record's own"] * limit.in_force + [_VACUOUS] * limit.vacuous
        values = (milliseconds(limit.baseline.value_ms), milliseconds(limit.limit_ms))
        table.add_row(limit.baseline.name, *values, "; ".join(notes))
    return table


def milliseconds(value: Fraction) -> str:
    """A fraction of milliseconds with its thousands apart and at most one decimal."""
    whole, tenths = divmod(round(value * 10), 10)
    return number(whole) + (f".{tenths}" if tenths else "")
