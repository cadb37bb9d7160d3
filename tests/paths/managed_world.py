"""What tests of the managed path share: a repository, a job, an observer, and a run from end to end."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dispatcher.action.decision import CapMode, Caps, PathName, Variant
from dispatcher.action.event import Event
from dispatcher.action.policy import RetryPolicy
from dispatcher.action.transcript import Transcript, Turn
from dispatcher.paths.claude import Claude
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.paths.managed.sending import Sending
from dispatcher.paths.observation import Observation, Observer, Session
from dispatcher.paths.path import Fresh, Job, Outcome, PastSession, Resume
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.prices import PriceTable
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.server import Simulator

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


def simulating(checkout: Checkout, *, time_scale: float) -> Simulator:
    """The loopback API, with the repository behind its address."""
    return Simulator(SimulatorConfig(repositories={URL: checkout.root}, time_scale=time_scale, prices=PRICES))


ANY_CHECKOUT = Checkout(Path("/nowhere"), "0" * 40, URL)


def make_path(base_url: str, *, simulated: bool, silence_s: float = 15.0) -> ManagedPath:
    """A managed path as a new process would have it."""
    claude = Claude(api_key=SecretStr("key"), base_url=base_url, simulated=simulated)
    return ManagedPath(claude, lambda _tenant, _url: SecretStr(TOKEN), silence_s=silence_s)


QUICK = RetryPolicy(attempts=3, first_wait_s=0.01, longest_wait_s=0.02)


def make_caps(
    iterations: int = 30,
    *,
    tool_calls: int = 300,
    tokens: int = 3_000_000,
    cost_nanousd: int = 5_000_000_000,
    deadline_s: float = 60,
) -> Caps:
    return Caps(
        iterations=iterations, tool_calls=tool_calls, tokens=tokens, cost_nanousd=cost_nanousd, deadline_s=deadline_s
    )


def make_variant(model: str = HAIKU, caps: Caps | None = None, mode: CapMode = CapMode.INTERRUPT) -> Variant:
    caps = caps or make_caps()
    return Variant(
        name="managed-test",
        path=PathName.MANAGED,
        model=model,
        iteration_cap=caps.iterations,
        tool_call_cap=caps.tool_calls,
        token_cap=caps.tokens,
        cost_cap_nanousd=caps.cost_nanousd,
        deadline_s=caps.deadline_s,
        cap_mode=mode,
    )


def make_job(
    checkout: Checkout = ANY_CHECKOUT,
    *,
    cap: int = 30,
    caps: Caps | None = None,
    mode: CapMode = CapMode.INTERRUPT,
    model: str = HAIKU,
    log_id: str = "log-1",
    **changes: Any,
) -> Job:
    caps = caps or make_caps(cap)
    job = Job(
        log_id=log_id,
        tenant="acme",
        project=None,
        question="Where is the kill switch looked at?",
        variant=make_variant(model, caps, mode),
        caps=caps,
        deadline_ns=time.monotonic_ns() + 60_000_000_000,
        checkout=checkout,
        seed=Fresh(),
        keeps_session=False,
        retries=QUICK,
    )
    return replace(job, **changes)


def answered(job: Job, outcome: Outcome, seen: Observation) -> Resume:
    """The seed of the next turn, as the log would have it after an answered one."""
    assert outcome.output is not None
    assert seen.session is not None
    past = PastSession(
        session_id=seen.session.session_id,
        agent_id=seen.session.agent_id,
        agent_version=seen.session.agent_version,
        model=job.variant.model,
        repository=job.checkout.github_url,
        commit_sha=job.checkout.commit_sha,
        project=job.project,
        prefix_fingerprint=seen.prefix_fingerprint,
    )
    turn = Turn(
        question=job.question,
        path=PathName.MANAGED,
        model=job.variant.model,
        answer=outcome.output.model_dump_json(),
        messages=seen.work,
    )
    earlier = Transcript() if isinstance(job.seed, Fresh) else job.seed.transcript
    return Resume(past, earlier.followed_by(turn))


def make_sending() -> Sending:
    """What sends for an attempt that nobody watches."""
    return Sending.of(make_job(), Watched().observer)


@dataclass
class Watched:
    """An observer, the sessions that were committed to the row, and the events that were told."""

    noted: list[Session] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
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
            tell=self.told.append,
        )

    @property
    def seen(self) -> Observation:
        return self.observer.observed()


async def until_a_request_started(watched: Watched) -> None:
    while not watched.observer.iterations:  # noqa: ASYNC110 - an observer has no event to wait for
        await asyncio.sleep(0.005)


async def run_once(path: ManagedPath, job: Job) -> tuple[Outcome, Observation]:
    """One attempt, and nothing of it left behind."""
    outcome, watched = await run_watched(path, job)
    return outcome, watched.seen


async def run_watched(path: ManagedPath, job: Job) -> tuple[Outcome, Watched]:
    """As `run_once`, with what was told on the way."""
    watched = Watched()
    outcome = await path.run(job, watched.observer)
    await path.settle()
    return outcome, watched
