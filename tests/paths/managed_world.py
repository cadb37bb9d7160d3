"""What tests of the managed path share: a repository, a job, an observer, and a run from end to end."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from dispatcher.action.decision import PathName, Variant
from dispatcher.paths.claude import Claude
from dispatcher.paths.managed import ManagedPath
from dispatcher.paths.observation import Observation, Observer, Session
from dispatcher.paths.path import Job, Outcome
from dispatcher.paths.repository import Checkout
from dispatcher.prices import PriceTable

ROOT = Path(__file__).parents[2]
PRICES = ROOT / "policies" / "prices.yml"
URL = "https://github.com/acme/shop"
TOKEN = "ghp_only_for_reading"
HAIKU = "claude-haiku-4-5"

_FILES = {
    "README.md": "# Shop\n\nA shop with a kill switch.\n",
    "shop/switch.py": """\
KILL_FILE = "KILL"


def kill_switch_is_set(path):
    # Look at the kill switch.
    return (path / KILL_FILE).exists()
""",
    "shop/orders.py": """\
from shop.switch import kill_switch_is_set


def take_order(path, order):
    if kill_switch_is_set(path):
        raise RuntimeError("the kill switch is set")
    return order
""",
}


def make_repository(folder: Path) -> Checkout:
    """A small git repository with one commit."""
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return Checkout(folder, head, URL)


def committed_lines(checkout: Checkout, file: str) -> list[str]:
    """The lines of a file as they were committed."""
    shown = ["git", "-C", str(checkout.root), "show", f"{checkout.commit_sha}:{file}"]
    return subprocess.run(shown, check=True, capture_output=True, text=True).stdout.splitlines()


ANY_CHECKOUT = Checkout(Path("/nowhere"), "0" * 40, URL)


def make_path(base_url: str, *, simulated: bool) -> ManagedPath:
    """A managed path as a new process would have it."""
    claude = Claude(api_key=SecretStr("key"), base_url=base_url, simulated=simulated)
    return ManagedPath(claude, lambda _tenant, _url: SecretStr(TOKEN))


def make_variant(model: str = HAIKU, cap: int = 30) -> Variant:
    return Variant(
        name="managed-test", path=PathName.MANAGED, model=model, iteration_cap=cap, max_tokens=8192, deadline_s=60
    )


def make_job(checkout: Checkout = ANY_CHECKOUT, *, cap: int = 30, model: str = HAIKU, log_id: str = "log-1") -> Job:
    return Job(
        log_id=log_id,
        tenant="acme",
        question="Where is the kill switch looked at?",
        variant=make_variant(model, cap),
        iteration_cap=cap,
        checkout=checkout,
    )


@dataclass
class Watched:
    """An observer, and the sessions that were committed to the row."""

    noted: list[Session] = field(default_factory=list)
    observer: Observer = field(init=False)

    def __post_init__(self) -> None:
        async def note(session: Session) -> None:
            self.noted.append(session)

        self.observer = Observer(
            prices=PriceTable.load(PRICES),
            on=dt.date(2026, 11, 21),
            clock=time.monotonic_ns,
            started_ns=time.monotonic_ns(),
            note_session=note,
        )

    @property
    def seen(self) -> Observation:
        return self.observer.observed()


async def until_a_request_started(watched: Watched) -> None:
    while not watched.observer.iterations:  # noqa: ASYNC110 - an observer has no event to wait for
        await asyncio.sleep(0.005)


async def run_once(path: ManagedPath, job: Job) -> tuple[Outcome, Observation]:
    """One attempt, and nothing of it left behind."""
    watched = Watched()
    outcome = await path.run(job, watched.observer)
    await path.settle()
    return outcome, watched.seen
