"""`dispatcher demo`: the whole loop on simulated answers, from real questions to a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from sqlalchemy import Engine

    from dispatcher.cli.demo_traffic import Dispatched
    from dispatcher.settings import Settings
    from dispatcher.telemetry.distribution import DistributionRow

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
    from dispatcher.cli import demo_report
    from dispatcher.cli.telemetry import page
    from dispatcher.settings import load_settings
    from dispatcher.wiring.doors import open_database

    console = page()
    settings = load_settings()
    engine = open_database(settings)
    try:
        _introduce(settings, engine, path, time_scale)
        _register(settings, engine)
        dispatched = _dispatch_all(console, settings, path, dispatches, time_scale)
        demo_report.print_decisions(console, dispatched)
        demo_report.print_example(console, dispatched)
        _report(console, settings, engine, time_scale)
    finally:
        engine.dispose()
    demo_report.print_next(RECORD)


def _introduce(settings: Settings, engine: Engine, path: Path, time_scale: float) -> None:
    rows = sum(row.n + (row.unmeasured or 0) for row in _simulated_rows(engine))
    database = settings.database_url.get_secret_value().rpartition("@")[2]
    click.echo(f"Researching {path.resolve()} with a simulated model on loopback, time scale {time_scale:g}.")
    click.echo(f"Log: {database}" + (f"; its {rows} simulated rows stay, this run adds to them." if rows else ""))


def _register(settings: Settings, engine: Engine) -> None:
    import datetime as dt

    from dispatcher.adr.reader import find_record
    from dispatcher.audit.record import Origin
    from dispatcher.cli.adr import registration_text
    from dispatcher.cli.adr_rooms import candidate_of
    from dispatcher.routing.policy import Policies
    from dispatcher.verdict.register import register

    record = find_record(settings.adrs_dir, RECORD)
    candidate = candidate_of(record, settings, Policies.load(settings.policies_dir))
    done = register(record, candidate, Origin.SIMULATED, dt.datetime.now(dt.UTC), engine)
    click.echo(registration_text(done, dry_run=False))


def _dispatch_all(
    console: Console, settings: Settings, path: Path, dispatches: int, time_scale: float
) -> Sequence[Dispatched]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from dispatcher.cli.demo_traffic import drive, planned_actions
    from dispatcher.wiring.serving import build_dispatcher

    actions = planned_actions(path, dispatches)
    columns = (TextColumn("dispatching"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _on_simulator(settings, path, time_scale) as live, Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(actions))
        dispatcher = build_dispatcher(live)
        try:
            return drive(dispatcher, actions, lambda: progress.advance(bar))
        finally:
            dispatcher.close()


@contextmanager
def _on_simulator(settings: Settings, path: Path, time_scale: float) -> Iterator[Settings]:
    """The settings with the provider's address replaced by a simulator's, and without anybody's key."""
    from dispatcher.cli.demo_traffic import GITHUB_URL
    from dispatcher.simulator.config import SimulatorConfig, is_git_directory
    from dispatcher.simulator.server import Simulator

    if not is_git_directory(path):
        click.echo(f"{path} is no git checkout, so the managed path can't mount it: every dispatch goes to messages.")
    config = SimulatorConfig(
        repositories={GITHUB_URL: path} if is_git_directory(path) else {},
        time_scale=time_scale,
        prices=settings.policies_dir / "prices.yml",
    )
    with Simulator(config) as simulator:
        yield settings.model_copy(update={"anthropic_base_url": simulator.base_url, "anthropic_api_key": None})


def _simulated_rows(engine: Engine) -> Sequence[DistributionRow]:
    from dispatcher.action.request import FEATURE
    from dispatcher.audit.reading import reading
    from dispatcher.audit.record import Origin
    from dispatcher.telemetry.distribution import By, Selection, distribution

    with reading(engine) as connection:
        return distribution(connection, Selection(feature=FEATURE, origin=Origin.SIMULATED), By.PATH)


def _report(console: Console, settings: Settings, engine: Engine, time_scale: float) -> None:
    from dispatcher.cli.demo_report import print_telemetry
    from dispatcher.telemetry.published import read_published

    print_telemetry(console, _simulated_rows(engine), read_published(settings.adrs_dir, RECORD), time_scale)
    _judge(console, settings, engine)


def _judge(console: Console, settings: Settings, engine: Engine) -> None:
    import datetime as dt

    from dispatcher.adr.reader import find_record
    from dispatcher.audit.record import Origin
    from dispatcher.cli.demo_report import heading
    from dispatcher.verdict.reach import reach_verdict
    from dispatcher.verdict.report.prose import as_text

    record = find_record(settings.adrs_dir, RECORD)
    verdict = reach_verdict(record, Origin.SIMULATED, dt.datetime.now(dt.UTC), engine)
    heading(console, "The verdict")
    click.echo(as_text(verdict).rstrip())
