"""The ground that faults are played on: a simulator, dispatchers on it, and what their dispatches leave behind."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from dispatcher import Repository, ResearchAction, ResearchResult
from dispatcher.action.decision import PathName
from dispatcher.action.event import Event, RequestStarted
from dispatcher.dispatch.attempt import Parts
from dispatcher.dispatch.dispatcher import Dispatcher
from dispatcher.errors import DispatcherError
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.settings import Settings, load_settings
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.faults import Fired, Rule
from dispatcher.simulator.metering.ledger import LedgerEntry
from dispatcher.simulator.server import Simulator
from dispatcher.wiring import serving

PROJECT = Path(__file__).resolve().parents[2]
URL = "https://github.com/example/checkout"
TIME_SCALE = 0.001
"""A simulated minute takes 60 ms: long enough that waits differ, short enough for hundreds of them."""

FILES = {
    "greeting.py": "def greeting(name):\n    return f'Hello, {name}'\n",
    "main.py": "from greeting import greeting\n\nprint(greeting('world'))\n",
    "README.md": "# Greeter\n\nThe greeting is computed in greeting.py.\n",
}
API_KEY = "sk-ant-api03-CANARY-of-the-provider-0123456789"
TOKEN_VARIABLE = "FAULTS_REPOSITORY_TOKEN"
# Of no form by which anybody could tell that it is one.
TOKEN = "canary of the repository 0123456789"
SECRETS = (API_KEY, TOKEN)
TENANT = "acme"

Row = Mapping[str, Any]
Ask = Callable[[Sequence[ResearchResult]], ResearchAction]
"""Makes an action from the results before it."""


def make_checkout(root: Path, files: Mapping[str, str] = FILES) -> Path:
    """A git repository with one commit of these files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "Start")):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    return root


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """When the caller cancels: once so many model requests have begun, or after so many seconds."""

    at_request: int | None = None
    after_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Left:
    """What some dispatches left behind.

    `endings` are their results, or what they raised. `running` counts the sessions that still ran when the dispatcher
    had settled, `unarchived` those that are neither archived nor gone. `repeated_turns` counts the users' messages
    that the platform processed once more than they were asked.
    """

    endings: tuple[ResearchResult | BaseException, ...]
    rows: tuple[Row, ...]
    calls: tuple[Row, ...]
    ledger: tuple[LedgerEntry, ...]
    fired: tuple[Fired, ...]
    running: int
    unarchived: int
    repeated_turns: int


@dataclass(frozen=True)
class Ground:
    """A simulator with a checkout behind its address, and an event loop for the dispatchers on it."""

    simulator: Simulator
    checkout: Path
    room: Path
    runner: asyncio.Runner

    @classmethod
    @contextmanager
    def prepared(cls, room: Path) -> Iterator[Ground]:
        """A ground in an empty directory."""
        checkout = make_checkout(room / "checkout")
        config = SimulatorConfig(
            repositories={URL: checkout}, time_scale=TIME_SCALE, prices=PROJECT / "policies" / "prices.yml"
        )
        with Simulator(config) as simulator, asyncio.Runner() as runner:
            yield cls(simulator, checkout, room, runner)

    @contextmanager
    def desk(
        self, edit: Callable[[dict[str, Any]], None] = lambda _policy: None, *, silence_s: float | None = None
    ) -> Iterator[Desk]:
        """A dispatcher that knows nobody; `edit` changes the feature's policy document."""
        settings = self._settings(edit)
        dispatcher = serving.build_dispatcher(settings) if silence_s is None else _impatient(settings, silence_s)
        try:
            yield Desk(self, settings, dispatcher)
        finally:
            self.runner.run(dispatcher.settle())
            dispatcher.close()

    def asking(self, question: str, **more: Any) -> Ask:
        """A question about the checkout."""
        more.setdefault("tenant", TENANT)
        repository = Repository(path=self.checkout, github_url=URL)
        return lambda _before: ResearchAction(question=question, repository=repository, **more)

    @contextmanager
    def faults(self, rules: Sequence[Rule]) -> Iterator[None]:
        """These faults are in force inside the block."""
        self.simulator.inject(*rules)
        try:
            yield
        finally:
            self.simulator.clear_faults()

    def sessions(self) -> dict[str, Any]:
        """All sessions that the platform holds."""
        # Its API tells them too, a page of events at a time: hundreds of requests more for the same.
        return dict(self.simulator._world.store.sessions)

    def _settings(self, edit: Callable[[dict[str, Any]], None]) -> Settings:
        home = self.room / f"dispatcher-{len(list(self.room.iterdir()))}"
        shutil.copytree(PROJECT / "policies", home / "policies")
        file = home / "policies" / "agent_research.yml"
        policy = yaml.safe_load(file.read_text())
        policy["conduct"]["retries"] = {"attempts": 3, "first_wait_s": 0.01, "longest_wait_s": 0.02}
        policy["conduct"]["breaker"] = {"failures": 1000, "cooldown_s": 1}
        edit(policy)
        file.write_text(yaml.safe_dump(policy))
        listed = {"schema": 1, "tenants": {TENANT: {URL: TOKEN_VARIABLE}}}
        (home / "policies" / "repositories.yml").write_text(yaml.safe_dump(listed))
        return load_settings(
            database_url=f"sqlite:///{home}/log.db",
            policies_dir=home / "policies",
            adrs_dir=PROJECT / "adrs",
            ANTHROPIC_BASE_URL=self.simulator.base_url,
            ANTHROPIC_API_KEY=API_KEY,
        )


def _impatient(settings: Settings, silence_s: float) -> Dispatcher:
    """A dispatcher that believes a silent stream of a session for so long only."""

    def assemble(inherited: Parts | None) -> Parts:
        parts = serving._assemble(settings, inherited)
        waits_long: Any = parts.paths[PathName.MANAGED]
        managed = ManagedPath(waits_long._claude, waits_long._mount_token, silence_s=silence_s)
        return replace(parts, paths={**parts.paths, PathName.MANAGED: managed}, settle=managed.settle)

    return Dispatcher(assemble)


@dataclass(frozen=True)
class Desk:
    """One dispatcher on a ground, with its own log."""

    ground: Ground
    settings: Settings
    dispatcher: Dispatcher

    @property
    def database(self) -> Path:
        """The file of the log."""
        return Path(self.settings.database_url.get_secret_value().removeprefix("sqlite:///"))

    def read(self, table: str) -> list[Row]:
        """All rows of a table of the log, oldest first."""
        with sqlite3.connect(self.database) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]

    def carry_out(self, asks: Sequence[Ask], rules: Sequence[Rule], cancel: Cancel | None = None) -> Left:
        """Dispatch one after the other under the faults, and see what is left when all has settled.

        The cancellation is of the last one.
        """
        ground, simulator = self.ground, self.ground.simulator
        charged, fired, sessions = len(simulator.ledger), len(simulator.faults_fired), ground.sessions().keys()
        rows, calls = len(self.read("ai_outbound_logs")), len(self.read("ai_outbound_calls"))
        with ground.faults(rules):
            endings, questions = ground.runner.run(self._ended(asks, cancel))
            ground.runner.run(self.dispatcher.settle())
            running = simulator.running_sessions
        new = [session for name, session in ground.sessions().items() if name not in sessions]
        return Left(
            endings=tuple(endings),
            rows=tuple(self.read("ai_outbound_logs")[rows:]),
            calls=tuple(self.read("ai_outbound_calls")[calls:]),
            ledger=tuple(simulator.ledger[charged:]),
            fired=tuple(simulator.faults_fired[fired:]),
            running=running,
            unarchived=sum(not session.is_over for session in new),
            repeated_turns=_repeated_turns(new, questions),
        )

    async def _ended(
        self, asks: Sequence[Ask], cancel: Cancel | None
    ) -> tuple[list[ResearchResult | BaseException], list[str]]:
        endings: list[ResearchResult | BaseException] = []
        questions = []
        for ask in asks:
            action = ask([ending for ending in endings if isinstance(ending, ResearchResult)])
            questions.append(action.question)
            endings.append(await self._ending(action, cancel if ask is asks[-1] else None))
        return endings, questions

    async def _ending(self, action: ResearchAction, cancel: Cancel | None) -> ResearchResult | BaseException:
        def follow(event: Event) -> None:
            if isinstance(event, RequestStarted) and cancel is not None and event.ordinal == cancel.at_request:
                task.cancel()

        task = asyncio.ensure_future(self.dispatcher.adispatch_research(action, follow))
        if cancel is not None and cancel.after_s is not None:
            asyncio.get_running_loop().call_later(cancel.after_s, task.cancel)
        try:
            return await task
        except (DispatcherError, asyncio.CancelledError) as error:
            return error


def _repeated_turns(sessions: Iterable[Any], questions: Sequence[str]) -> int:
    """A message that tells earlier turns again holds their questions too: it is the latest one's."""
    said = Counter(
        next(question for question in reversed(questions) if question in text)
        for session in sessions
        for text in _processed_messages(session)
    )
    return sum(max(0, times - questions.count(question)) for question, times in said.items())


def _processed_messages(session: Any) -> Iterator[str]:
    for event, processed_at in session.log.history:
        if event["type"] == "user.message" and processed_at is not None:
            yield "".join(block.get("text", "") for block in event["content"])
