"""KD-0650 end to end: real dispatches on the simulator, moved onto the record's calendar, and judged by the record.

Only the calendar is made up: draws, requests, answers, rows, costs and waits are the program's and the simulator's.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dispatcher.action.request import Repository, ResearchAction
from dispatcher.adr.reader import find_record
from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import logs
from dispatcher.cli.adr_rooms import candidate_of
from dispatcher.cli.demo_traffic import GENERAL_QUESTIONS, GITHUB_URL, OWN_QUESTIONS, RECORD_TENANT
from dispatcher.routing.policy import Policies
from dispatcher.settings import Settings, load_settings
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.server import Simulator
from dispatcher.verdict.register import register
from dispatcher.wiring.serving import build_dispatcher

ROOT = Path(__file__).resolve().parents[1]
RECORD, A_MONTH = "KD-0650", 36
MONTH = dt.timedelta(days=30.4375)
CONCURRENT = 24


def drawn_to(policies: Path, variant: str, folder: Path) -> Path:
    """A copy of the policies whose draw for the record's tenant goes to another variant, by the same weight."""
    shutil.copytree(policies, folder, dirs_exist_ok=True)
    path = folder / "flags.json"
    flags = json.loads(path.read_text())
    [draw] = [
        strategy
        for feature in flags["features"]
        for strategy in feature["strategies"]
        if strategy.get("title") == RECORD
    ]
    [candidate] = [arm for arm in draw["variants"] if arm["name"] != "legacy"]
    candidate["name"] = variant
    path.write_text(json.dumps(flags, indent=2) + "\n")
    return folder


def dispatched(settings: Settings, count: int, checkout: Path, concurrent: int) -> None:
    """So many dispatches of the record's tenant, each its own conversation, through a dispatcher of these settings."""
    questions = itertools.cycle([*OWN_QUESTIONS, *GENERAL_QUESTIONS])
    repository = Repository(path=checkout, github_url=GITHUB_URL)
    actions = [
        ResearchAction(
            question=next(questions), tenant=RECORD_TENANT, conversation_id=f"{RECORD}-{number}", repository=repository
        )
        for number in range(count)
    ]
    dispatcher = build_dispatcher(settings)
    try:
        asyncio.run(_all(dispatcher, actions, concurrent))
    finally:
        dispatcher.close()


async def _all(dispatcher: Any, actions: Sequence[ResearchAction], concurrent: int) -> None:
    places, done = asyncio.Semaphore(concurrent), itertools.count(1)

    async def one(action: ResearchAction) -> None:
        async with places:
            await dispatcher.adispatch_research(action)
        number = next(done)
        if number % A_MONTH == 0 or number == len(actions):
            print(f"  {number} of {len(actions)} dispatched", file=sys.stderr, flush=True)

    await asyncio.gather(*map(one, actions))
    await dispatcher.settle()


def onto_calendar(source: sa.Engine, target: sa.Engine, start: dt.datetime) -> None:
    """One log's rows in another, a dispatch after the other at 36 a month, all moments of a row moved alike."""
    with source.connect() as connection:
        rows = [dict(row) for row in connection.execute(sa.select(logs).order_by(logs.c.dispatch_id)).mappings()]
    by_dispatch = [list(group) for _, group in itertools.groupby(rows, key=lambda row: row["dispatch_id"])]
    with target.begin() as connection:
        connection.execute(sa.insert(logs), list(_moved(by_dispatch, start)))


def _moved(dispatches: Sequence[Sequence[dict[str, Any]]], start: dt.datetime) -> Iterator[dict[str, Any]]:
    for number, attempts in enumerate(dispatches):
        began = min(row["created_at"] for row in attempts)
        by = start + (number + 0.5) * MONTH / A_MONTH - began
        for row in attempts:
            yield {name: value + by if isinstance(value, dt.datetime) else value for name, value in row.items()}


def simulated(checkout: Path, time_scale: float, **more: Path) -> SimulatorConfig:
    """A provider that serves a checkout under the example address."""
    prices = ROOT / "policies" / "prices.yml"
    return SimulatorConfig(repositories={GITHUB_URL: checkout}, time_scale=time_scale, prices=prices, **more)


def settled(folder: Path, policies: Path, log: str, simulator: Simulator | None = None) -> Settings:
    """Settings with a log of that name and these policies; the simulator's address is the provider's."""
    provider = {} if simulator is None else {"ANTHROPIC_BASE_URL": simulator.base_url}
    settings: Settings = load_settings(
        database_url=f"sqlite:///{folder / log}.db", spool_dir=folder / "spool", policies_dir=policies,
        adrs_dir=ROOT / "adrs", **provider,
    )  # fmt: skip
    return settings


def made(
    folder: Path, variant: str, simulator: Simulator, count: int, checkout: Path, start: dt.datetime,
    *, concurrent: int = CONCURRENT,
) -> Settings:  # fmt: skip
    """The log of one variant's half-year, registered from its start; its settings."""
    policies = drawn_to(ROOT / "policies", variant, folder / f"policies-{variant}")
    serving = settled(folder, policies, f"{variant}-as-dispatched", simulator)
    dispatched(serving, count, checkout, concurrent)
    judging = settled(folder, ROOT / "policies", variant)
    source = open_engine(serving.database_url.get_secret_value())
    target = open_engine(judging.database_url.get_secret_value())
    try:
        record = find_record(judging.adrs_dir, RECORD)
        candidate = candidate_of(record, judging, Policies.load(judging.policies_dir))
        register(record, candidate, Origin.SIMULATED, start, target)
        onto_calendar(source, target, start)
    finally:
        source.dispose()
        target.dispose()
    return judging


def judged(settings: Settings, *options: str) -> None:
    """What `dispatcher verdict` prints of it."""
    environment = {
        **os.environ,
        "DISPATCHER_DATABASE_URL": settings.database_url.get_secret_value(),
        "DISPATCHER_POLICIES_DIR": str(settings.policies_dir),
        "DISPATCHER_ADRS_DIR": str(settings.adrs_dir),
    }
    command = [sys.executable, "-m", "dispatcher", "verdict", RECORD, "--origin", "simulated", *options]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)


def picture(page: Path, target: Path) -> None:
    """The top of a page as a PNG, by Debian's Chromium."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - of the development packages

    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("kd0650: --picture needs a Chromium: scripts/install browser")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, chromium_sandbox=os.geteuid() != 0)
        shown = chromium.new_page(viewport={"width": 1000, "height": 1700}, device_scale_factor=0.65)
        shown.goto(page.resolve().as_uri())
        shown.screenshot(path=target)
        chromium.close()


def managed_variants() -> list[str]:
    """The registered variants of the managed path, the record's candidate first."""
    block = find_record(ROOT / "adrs", RECORD).acceptance
    assert block is not None
    registered = Policies.load(ROOT / "policies").variants.values()
    names = [variant.name for variant in registered if variant.path.value == "managed"]
    return sorted(names, key=lambda name: name != block.candidate.variant)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/kd0650", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "reports" / "kd0650")
    parser.add_argument("--months", type=int, default=6)
    parser.add_argument("--variant", action="append", choices=managed_variants(), help="all by default")
    parser.add_argument("--time-scale", type=float, default=1.0, help="1 is real time; AC-7 judges nothing else")
    parser.add_argument("--repository", type=Path, default=ROOT, help="the git checkout that is researched")
    parser.add_argument("--picture", type=Path, metavar="FILE")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    folder = given.folder.resolve()
    if any(folder.glob("*.db")):
        print(f"kd0650: {folder} holds the logs of an earlier run; remove it, or name another folder", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    as_of = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0)
    start = as_of - dt.timedelta(weeks=int(given.months * MONTH / dt.timedelta(weeks=1)) + 1)
    candidate = managed_variants()[0]
    with Simulator(simulated(given.repository, given.time_scale)) as simulator:
        for variant in given.variant or managed_variants():
            print(f"{variant}: {given.months} months, {A_MONTH} a month, two thirds drawn to it", file=sys.stderr)
            settings = made(folder, variant, simulator, given.months * A_MONTH, given.repository, start)
            if variant == candidate:
                judged(settings, "--as-of", as_of.isoformat(), "--reports", str(folder / "reports"))
            else:
                judged(settings, "--as-of", as_of.isoformat(), "--candidate", variant)
    if given.picture:
        [page] = (folder / "reports").glob(f"{RECORD}-*.html")
        picture(page, given.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
