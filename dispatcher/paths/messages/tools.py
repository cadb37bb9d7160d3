"""The tool calls of one reply: run at once as far as the cap allows, each answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.paths.earlier_turns import shortened
from dispatcher.paths.messages.reply import ToolUse
from dispatcher.paths.observation import Observer
from dispatcher.paths.repository.tools import RepositoryTools, ToolResult
from dispatcher.paths.wire import word

_NOT_RUN = ToolResult("The limit of tool calls is reached, so this call was not run.", is_error=True)


async def tool_results(
    tools: RepositoryTools, uses: Sequence[ToolUse], observer: Observer, *, room: int
) -> list[dict[str, Any]]:
    """The results of a reply's tool calls, in their order; the calls beyond the first `room` are refused, not run."""

    async def run(use: ToolUse) -> ToolResult:
        result = await tools.call(use.name, use.input)
        observer.tool(word(use.name), failed=result.is_error)
        return result

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(run(use)) for use in uses[:room]]
    results = [task.result() for task in running] + [_NOT_RUN] * (len(uses) - len(running))
    return [_block(use, result) for use, result in zip(uses, results, strict=True)]


def longest_result(blocks: Sequence[Mapping[str, Any]]) -> int:
    """The characters of the longest tool result among the blocks of a message; 0 where it has none."""
    return max((len(_text(block)) for block in blocks if block["type"] == "tool_result"), default=0)


def cut_results(blocks: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """The blocks of a message, each tool result cut after `most` characters."""
    return [
        {**block, "content": [{"type": "text", "text": shortened(_text(block), most)}]}
        if block["type"] == "tool_result"
        else block
        for block in blocks
    ]


def _text(block: Mapping[str, Any]) -> str:
    return str(block["content"][0]["text"])


def _block(use: ToolUse, result: ToolResult) -> dict[str, Any]:
    return {
        "type": "tool_result",
        "tool_use_id": use.use_id,
        "content": [{"type": "text", "text": result.text}],
        "is_error": result.is_error,
    }
