"""The demo's traffic: research questions of several tenants, async and blocking, all at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dispatcher.action.request import Repository, ResearchAction

if TYPE_CHECKING:
    from dispatcher.action.result import ResearchResult
    from dispatcher.dispatch.dispatcher import Dispatcher

GITHUB_URL = "https://github.com/example/checkout"
"""The address that the example tenants may mount; the demo's simulator serves the researched checkout under it."""

RECORD_TENANT = "script"
OTHER_TENANTS = ("acme", "globex", "initech", "umbrella")
EACH_OTHER_TENANT = 3
CONCURRENT = 12

# Asked of this project's own checkout; other repositories get the general ones only.
OWN_QUESTIONS = (
    "Where is the kill switch read?",
    "Where are feature flags evaluated?",
    "How is the cost of a model request computed?",
    "Where is the row opened before the provider is called?",
    "How is a truncated stream told from a finished answer?",
    "Where does a verdict become HOLD?",
)
GENERAL_QUESTIONS = (
    "Where is the entry point of the command line?",
    "How are errors reported to the user?",
    "Where is the configuration read?",
    "Which tests cover the main workflow?",
)


@dataclass(frozen=True, slots=True)
class Dispatched:
    """An action and its result."""

    action: ResearchAction
    result: ResearchResult


def planned_actions(path: Path, dispatches: int) -> list[ResearchAction]:
    """The actions of one demo: `dispatches` of the record's tenant, each its own conversation, and a few of others."""
    own = (path / "dispatcher" / "dispatch").is_dir()
    questions = OWN_QUESTIONS + GENERAL_QUESTIONS if own else GENERAL_QUESTIONS
    tenants = [RECORD_TENANT] * dispatches + [tenant for tenant in OTHER_TENANTS for _ in range(EACH_OTHER_TENANT)]
    # Conversations of an earlier demo are in the same log, so each run marks its own.
    run = secrets.token_hex(4)
    repository = Repository(path=path, github_url=GITHUB_URL)
    return [
        ResearchAction(
            question=questions[number % len(questions)],
            tenant=tenant,
            project="demo",
            conversation_id=f"demo-{run}-{number}",
            actor="dispatcher-demo",
            repository=repository,
        )
        for number, tenant in enumerate(tenants)
    ]


def drive(dispatcher: Dispatcher, actions: Sequence[ResearchAction], advance: Callable[[], None]) -> list[Dispatched]:
    """Dispatch all actions, half of them awaited on an event loop and half called from plain threads, concurrently.

    `advance` is called after each.
    """
    awaited, called = actions[::2], actions[1::2]
    with ThreadPoolExecutor(max_workers=CONCURRENT // 2) as threads:
        futures = [threads.submit(_call, dispatcher, action, advance) for action in called]
        results = asyncio.run(_await_all(dispatcher, awaited, advance))
        return results + [future.result() for future in futures]


def _call(dispatcher: Dispatcher, action: ResearchAction, advance: Callable[[], None]) -> Dispatched:
    result = dispatcher.dispatch_research(action)
    advance()
    return Dispatched(action, result)


async def _await_all(
    dispatcher: Dispatcher, actions: Sequence[ResearchAction], advance: Callable[[], None]
) -> list[Dispatched]:
    places = asyncio.Semaphore(CONCURRENT // 2)

    async def one(action: ResearchAction) -> Dispatched:
        async with places:
            result = await dispatcher.adispatch_research(action)
        advance()
        return Dispatched(action, result)

    dispatched = await asyncio.gather(*(one(action) for action in actions))
    await dispatcher.settle()
    return list(dispatched)
