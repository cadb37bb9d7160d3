"""One arm of a bench: a program that carries out dispatches when told so, and says what they cost it.

`arms.py ARM` reads a number of dispatches from each line of its standard input, carries them out, and answers with a
line of JSON. Every arm does the same work: three streamed requests and the two tool calls between them, with the same
tools over the same checkout.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

QUESTION = "Where are the totals of an order computed?"
CHECKOUT = Path(os.environ["BENCH_CHECKOUT"])
CONCURRENT = int(os.environ.get("BENCH_CONCURRENT", "1"))

Dispatch = Callable[[], Awaitable[None]]


def dispatcher_arm() -> Dispatch:
    from dispatcher.action.request import Repository, ResearchAction  # noqa: PLC0415
    from dispatcher.settings import load_settings  # noqa: PLC0415
    from dispatcher.wiring.serving import build_dispatcher  # noqa: PLC0415

    dispatcher = build_dispatcher(load_settings())
    action = ResearchAction(question=QUESTION, tenant="bench", repository=Repository(path=CHECKOUT))

    async def dispatch() -> None:
        result = (await dispatcher.adispatch_research(action)).raise_for_status()
        assert (result.iterations, result.tool_calls) == (3, 2), result

    return dispatch


def tools() -> Any:
    """The tools that every arm calls, over the checkout, made anew for each dispatch."""
    from dispatcher.action.request import Repository  # noqa: PLC0415
    from dispatcher.paths.repository.checkout import resolve  # noqa: PLC0415
    from dispatcher.paths.repository.tools import RepositoryTools  # noqa: PLC0415

    checkout = resolve(Repository(path=CHECKOUT))
    return lambda: RepositoryTools(checkout)


def bare_arm() -> Dispatch:
    """A bare loop over the SDK, with the very requests that the dispatcher sends."""
    from anthropic import AsyncAnthropic  # noqa: PLC0415

    client, new_tools = AsyncAnthropic(), tools()
    first = json.loads(Path(os.environ["BENCH_RECORDED"]).read_text())[0]
    first.pop("stream")
    question = first.pop("messages")

    async def dispatch() -> None:
        messages, repository = list(question), new_tools()
        while True:
            async with client.messages.stream(**first, messages=messages) as stream:
                async for _ in stream:
                    pass
                reply = await stream.get_final_message()
            if reply.stop_reason != "tool_use":
                break
            messages.append({"role": "assistant", "content": reply.content})
            uses = [block for block in reply.content if block.type == "tool_use"]
            results = [await repository.call(use.name, use.input) for use in uses]
            messages.append({"role": "user", "content": [_told(*told) for told in zip(uses, results, strict=True)]})

    return dispatch


def _told(use: Any, result: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": result.text}]
    return {"type": "tool_result", "tool_use_id": use.id, "content": content, "is_error": result.is_error}


def tools_arm() -> Dispatch:
    """The two tool calls alone, which cost every arm the same."""
    new_tools = tools()

    async def dispatch() -> None:
        repository = new_tools()
        await repository.call("search_code", {"pattern": "def total"})
        await repository.call("read_file", {"path": "shop/module_07.py"})

    return dispatch


def pydantic_ai_arm() -> Dispatch:
    from pydantic_ai import Agent  # noqa: PLC0415
    from pydantic_ai.models.anthropic import AnthropicModel  # noqa: PLC0415
    from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: PLC0415

    first = json.loads(Path(os.environ["BENCH_RECORDED"]).read_text())[0]
    provider = AnthropicProvider(api_key="simulated", base_url=os.environ["ANTHROPIC_BASE_URL"])
    agent = Agent(
        AnthropicModel(first["model"], provider=provider),
        system_prompt=_text(first["system"]),
        model_settings={"max_tokens": first["max_tokens"]},
    )
    new_tools = tools()
    current: dict[str, Any] = {}

    @agent.tool_plain
    async def search_code(pattern: str) -> str:
        return str((await current["tools"].call("search_code", {"pattern": pattern})).text)

    @agent.tool_plain
    async def read_file(path: str) -> str:
        return str((await current["tools"].call("read_file", {"path": path})).text)

    async def listen(_: Any, events: Any) -> None:
        async for _event in events:
            pass

    async def dispatch() -> None:
        current["tools"] = new_tools()
        await agent.run(_text(first["messages"][0]["content"]), event_stream_handler=listen)

    return dispatch


def _row_writer() -> Any:
    """A LiteLLM callback that writes one row for every request."""
    import sqlite3  # noqa: PLC0415

    from litellm.integrations.custom_logger import CustomLogger  # noqa: PLC0415

    log = sqlite3.connect(os.environ["BENCH_LOG"], isolation_level=None, check_same_thread=False)
    log.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
    log.execute("CREATE TABLE IF NOT EXISTS calls (id TEXT, model TEXT, input INT, output INT, cost REAL, times TEXT)")

    class RowWriter(CustomLogger):
        async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            usage = response_obj.usage
            tokens = usage.prompt_tokens, usage.completion_tokens
            row = (response_obj.id, kwargs["model"], *tokens, kwargs.get("response_cost"), f"{start_time} {end_time}")
            log.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?)", row)

    return RowWriter()


def _as_function(tool: dict[str, Any]) -> dict[str, Any]:
    described = {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}
    return {"type": "function", "function": described}


def litellm_arm() -> Dispatch:
    import litellm  # noqa: PLC0415

    litellm.callbacks = [_row_writer()]
    first = json.loads(Path(os.environ["BENCH_RECORDED"]).read_text())[0]
    parameters = {
        "model": f"anthropic/{first['model']}",
        "api_key": "simulated",
        "api_base": os.environ["ANTHROPIC_BASE_URL"],
    }
    router = litellm.Router(model_list=[{"model_name": "research", "litellm_params": parameters}])
    functions = [_as_function(tool) for tool in first["tools"]]
    new_tools = tools()

    async def dispatch() -> None:
        repository = new_tools()
        messages: list[Any] = [
            {"role": "system", "content": _text(first["system"])},
            {"role": "user", "content": _text(first["messages"][0]["content"])},
        ]
        while True:
            stream = await router.acompletion(
                "research", messages, stream=True, tools=functions, max_tokens=first["max_tokens"]
            )
            reply = litellm.stream_chunk_builder([chunk async for chunk in stream]).choices[0].message
            if not reply.tool_calls:
                return
            messages.append(reply.model_dump(exclude_none=True))
            for call in reply.tool_calls:
                result = await repository.call(call.function.name, json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result.text})

    return dispatch


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


ARMS = {
    "dispatcher": dispatcher_arm,
    "bare": bare_arm,
    "tools": tools_arm,
    "pydantic-ai": pydantic_ai_arm,
    "litellm": litellm_arm,
}


async def measured(dispatch: Dispatch, wanted: int) -> dict[str, Any]:
    """Carry out dispatches, `CONCURRENT` at a time; CPU counts user and system time of all threads."""
    places = asyncio.Semaphore(CONCURRENT)

    async def one() -> None:
        async with places:
            await dispatch()

    cpu_s, children_s, wall_s = time.process_time(), _children_s(), time.perf_counter()
    if CONCURRENT == 1:
        for _ in range(wanted):
            await dispatch()
    else:
        await asyncio.gather(*(one() for _ in range(wanted)))
    wall_s = time.perf_counter() - wall_s
    # What an arm leaves to do behind its answers, such as a callback that writes the row, is part of its cost.
    await asyncio.sleep(0.05)
    return {"cpu_s": time.process_time() - cpu_s, "children_s": _children_s() - children_s, "wall_s": wall_s}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def main() -> None:
    dispatch = ARMS[sys.argv[1]]()
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await measured(dispatch, int(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
