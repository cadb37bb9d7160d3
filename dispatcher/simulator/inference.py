"""One model request of either API: the reply, its tokens, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dispatcher.action.observation import Usage
from dispatcher.simulator.identity import derived_id, spread
from dispatcher.simulator.metering.cache import CachedPrompt, PromptCache
from dispatcher.simulator.metering.prefix import PrefixBlock, canonical, count_tokens
from dispatcher.simulator.model.planner import reply_to
from dispatcher.simulator.model.request import ModelRequest, Reply
from dispatcher.simulator.model.thinking import thinking_block
from dispatcher.simulator.profiles import Character, ModelProfile, Surface

Content = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """A model request carried out: content blocks, tokens by class, and simulated seconds.

    `first_token_s` runs from the start of the request, `thinking_s` from there to the first token that is seen,
    `generation_s` from the first token to the last, thinking included; `output_tokens` count it too.
    """

    reply: Reply
    content: Content
    prompt: CachedPrompt
    output_tokens: int
    first_token_s: float
    thinking_s: float
    generation_s: float

    @property
    def usage(self) -> Usage:
        """The tokens of the whole request."""
        return replace(self.prompt.usage, output_tokens=self.output_tokens)


@dataclass(frozen=True, slots=True)
class Inferences:
    """Carries out model requests against one prompt cache."""

    cache: PromptCache
    seed: int
    character: Character

    def start(
        self,
        request: ModelRequest,
        blocks: Sequence[PrefixBlock],
        profile: ModelProfile,
        surface: Surface,
        *,
        api_key: str,
        now: float,
    ) -> Inference:
        """Answer a request that starts `now`, in simulated seconds; its cache entries aren't readable yet."""
        prompt = self.cache.open((api_key, request.model), blocks, profile.rules.cache_minimum_tokens, now)
        reply = reply_to(request, surface.habits, self.seed, self.character)
        identity = blocks[-1].digest.hex() if blocks else ""
        content = content_blocks(reply, self.seed, request.model, identity)
        if self.character.signs_thinking and request.shows_thinking:
            content.insert(0, thinking_block(request, reply))
        latency = surface.latency
        factor = spread(latency.spread, self.seed, request.model, identity)
        thinking = round(surface.thinking_tokens * factor) if reply.calls else 0
        tokens = thinking + content_tokens(content)
        uncached = (prompt.usage.input_tokens or 0) + (prompt.usage.cache_creation_input_tokens or 0)
        first = latency.request_ms + latency.per_1k_uncached_input_ms * uncached / 1000
        return Inference(
            reply=reply,
            content=content,
            prompt=prompt,
            output_tokens=tokens,
            first_token_s=factor * first / 1000,
            thinking_s=factor * latency.per_output_token_ms * thinking / 1000,
            generation_s=factor * latency.per_output_token_ms * tokens / 1000,
        )


def content_blocks(reply: Reply, *facts: object) -> Content:
    """A reply as content blocks; the ids of its tool calls depend on the facts alone."""
    text: Content = [{"type": "text", "text": reply.text}] if reply.text else []
    calls: Content = [
        {
            "type": "tool_use",
            "id": derived_id("toolu", index, *facts),
            "name": call.name,
            "input": call.input,
            "caller": {"type": "direct"},
        }
        for index, call in enumerate(reply.calls)
    ]
    return [*text, *calls]


def content_tokens(content: Content) -> int:
    """Output tokens: what the model writes of each block, and never less than one."""
    return max(1, sum(count_tokens(_written(block)) for block in content))


def _written(block: dict[str, Any]) -> bytes:
    if block["type"] in ("text", "thinking"):
        return str(block[block["type"]]).encode()
    return str(block["name"]).encode() + canonical(block["input"])
