"""A session's model request: the harness's own preamble, the agent, and the conversation, cached by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dispatcher.simulator.managed.session import Session
from dispatcher.simulator.managed.tools import model_tools
from dispatcher.simulator.metering.prefix import PrefixBlock, RawBlock, canonical, chain, count_tokens
from dispatcher.simulator.model.request import ModelRequest
from dispatcher.simulator.profiles import Harness


def harness_request(session: Session) -> ModelRequest:
    """What the model is asked next."""
    return ModelRequest(
        model=session.agent["model"]["id"],
        messages=tuple(session.transcript),
        tools=model_tools(session.agent["tools"]),
    )


def harness_prefix(session: Session, harness: Harness) -> tuple[PrefixBlock, ...]:
    """The prompt's blocks with the harness's own five-minute markers.

    One marker closes what all sessions of an agent share, one each message that ends a round; a few tokens of the
    harness follow the last of them, uncached.
    """
    shared = [
        RawBlock(b"harness", harness.preamble_tokens),
        *(_raw("tool", tool) for tool in model_tools(session.agent["tools"])),
        _raw("system", {"text": session.agent["system"] or ""}),
    ]
    conversation = [_raw(m["role"], block) for m in session.transcript for block in m["content"]]
    shared[-1] = replace(shared[-1], marker="5m")
    conversation[-1] = replace(conversation[-1], marker="5m")
    return chain(shared, [*conversation, RawBlock(b"reminder", harness.uncached_tokens)])


def _raw(place: str, block: dict[str, Any]) -> RawBlock:
    content = canonical(block)
    return RawBlock(place.encode() + b"\0" + content, count_tokens(content))
