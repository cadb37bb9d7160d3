"""One arm of the kill comparison: sends marked requests until it is killed, and tells each one that was answered.

`kill_arms.py ARM RUN CONCURRENT` writes the mark of a request to its standard output when the request's call has
returned to its caller.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

QUESTION = "Where are the totals of an order computed? ({})"
Ask = Callable[[str], Awaitable[None]]


def dispatcher_arm() -> Ask:
    from dispatcher.action.request import Repository, ResearchAction  # noqa: PLC0415
    from dispatcher.settings import load_settings  # noqa: PLC0415
    from dispatcher.wiring.serving import build_dispatcher  # noqa: PLC0415

    dispatcher = build_dispatcher(load_settings())
    repository = Repository(path=Path(os.environ["BENCH_CHECKOUT"]))

    async def ask(mark: str) -> None:
        action = ResearchAction(question=QUESTION.format(mark), tenant="bench", project=mark, repository=repository)
        (await dispatcher.adispatch_research(action)).raise_for_status()

    return ask


def litellm_arm() -> Ask:
    import litellm  # noqa: PLC0415
    from litellm.integrations.custom_logger import CustomLogger  # noqa: PLC0415

    log = sqlite3.connect(os.environ["BENCH_LOG"], isolation_level=None, check_same_thread=False)
    # As the dispatcher's log has it: a commit is on the disk when it returns.
    log.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
    log.execute("CREATE TABLE IF NOT EXISTS calls (mark TEXT, status TEXT, model TEXT, input INT, output INT)")

    def write(kwargs: Any, status: str, usage: Any) -> None:
        mark = kwargs["litellm_params"]["metadata"]["mark"]
        tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
        log.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?)", (mark, status, kwargs["model"], *tokens))

    # LiteLLM calls these by their names.
    class RowWriter(CustomLogger):
        async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:  # noqa: ARG002
            write(kwargs, "success", response_obj.usage)

        async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:  # noqa: ARG002
            write(kwargs, "failure", None)

    litellm.callbacks = [RowWriter()]

    async def ask(mark: str) -> None:
        stream = await litellm.acompletion(
            "anthropic/claude-sonnet-4-6",
            [{"role": "user", "content": QUESTION.format(mark)}],
            stream=True,
            max_tokens=8192,
            api_key="simulated",
            api_base=os.environ["ANTHROPIC_BASE_URL"],
            metadata={"mark": mark},
            num_retries=0,
        )
        async for _ in stream:
            pass

    return ask


ARMS = {"dispatcher": dispatcher_arm, "litellm": litellm_arm}


async def main(arm: str, run: str, concurrent: int) -> None:
    ask, marks = ARMS[arm](), (f"mark-{run}-{place}" for place in itertools.count())
    print("ready", flush=True)

    async def keep_asking() -> None:
        for mark in marks:
            await ask(mark)
            # Unbuffered, so that a kill takes none of what was told.
            os.write(1, f"{mark}\n".encode())

    await asyncio.gather(*(keep_asking() for _ in range(concurrent)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
