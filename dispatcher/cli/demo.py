"""`dispatcher demo`: the whole loop on simulated answers, from real questions to a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dispatcher.action.result import ResearchResult

RECORD = "KD-0650"


@click.command()
@click.option(
    "--repository",
    "path",
    default=".",
    show_default="this folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Checkout to research.",
)
@click.option("--dispatches", default=36, show_default=True, type=click.IntRange(1, 1000), help="For tenant `script`.")
@click.option(
    "--time-scale",
    default=0.02,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Factor on simulated waits; 1 is real time.",
)
def demo(path: Path, dispatches: int, time_scale: float) -> None:
    """Run the whole loop once on embedded defaults: no API key, no server.

    Starts the simulator on loopback, starts the clock of KD-0650 for simulated rows, dispatches research questions of
    several tenants over every registered variant, and prints who went where and why, the telemetry, and the verdict.
    Rows go to the same log as ever, with origin `simulated`; a second run adds to them.
    """
    import datetime as dt

    from rich.console import Console

    from dispatcher.cli import demo_report as show
    from dispatcher.cli.demo_traffic import drive, planned_actions
    from dispatcher.settings import load_settings
    from dispatcher.wiring import open_database

    console = Console(soft_wrap=False)
    settings = load_settings()
    engine = open_database(settings)
    before = show.simulated_rows(engine)
    with simulated(settings, path, time_scale) as live:
        show.opening(console, live, path, time_scale, before)
        show.registration(console, live, engine, RECORD, dt.datetime.now(dt.UTC))
        results = drive(console, live, planned_actions(live, path, dispatches))
    show.results(console, results)
    show.telemetry(console, settings, engine, RECORD, time_scale)
    show.verdict(console, settings, engine, RECORD, dt.datetime.now(dt.UTC))
    show.closing(console, settings, results)
    engine.dispose()
