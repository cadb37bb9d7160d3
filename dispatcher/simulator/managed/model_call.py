"""One model request inside a session, as its events show it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dispatcher.simulator.faults.occasions import moment, replied
from dispatcher.simulator.faults.replies import Refuse
from dispatcher.simulator.inference import Inference
from dispatcher.simulator.managed.mishaps import before_request
from dispatcher.simulator.managed.request import harness_prefix, harness_request
from dispatcher.simulator.managed.running import Interrupted, Stopped, pass_time
from dispatcher.simulator.managed.session import Session
from dispatcher.simulator.managed.tool_calls import announce_call
from dispatcher.simulator.world import World

_PIECES = 8


async def call_model(world: World, session: Session) -> bool:
    """Ask the model once; returns whether it called tools. An interrupt ends the request early, and it is billed.

    Raises Interrupted, Stopped or Ended where the turn goes no further.
    """
    late = await before_request(world, session)
    session.count_request()
    inference, refused = _infer(world, session)
    start = session.log.emit("span.model_request_start")
    session.tell_untold()
    active_before = session.meter.active_s
    try:
        await pass_time(world, session, inference.first_token_s)
        world.inferences.cache.begin_response(inference.prompt)
        await _generate(world, session, inference)
    except Interrupted:
        generating = session.meter.active_s - active_before - inference.first_token_s
        share = min(1.0, max(0.0, generating / inference.generation_s)) if inference.generation_s else 0.0
        part = replace(inference, output_tokens=int(share * inference.output_tokens))
        _end_request(world, session, start["id"], part, late=late)
        raise
    session.transcript.append({"role": "assistant", "content": inference.content})
    for block in inference.content:
        if block["type"] == "tool_use":
            announce_call(session, block)
    _end_request(world, session, start["id"], inference, late=late)
    if refused is not None:
        raise Stopped({"type": "refusal"}, refused.details)
    return bool(inference.reply.calls)


def _infer(world: World, session: Session) -> tuple[Inference, Refuse | None]:
    """The model's reply, as a fault leaves it where there is one, and that fault where it is a refusal."""
    model, request = session.agent["model"]["id"], harness_request(session)
    profile = world.profiles.model(model)
    assert profile is not None, "an agent is created with a known model only"
    inference = world.inferences.start(
        request,
        harness_prefix(session, world.profiles.harness),
        profile,
        profile.managed,
        api_key=session.api_key,
        now=world.clock.simulated_seconds(),
    )
    if not world.faults.is_armed:
        return inference, None
    occasion = moment("model_request", session)
    inference, fault = replied(world.faults, occasion, inference, request)
    return inference, fault if isinstance(fault, Refuse) else None


async def _generate(world: World, session: Session, inference: Inference) -> None:
    """Let the generation pass: thinking, of which only the fact is told, then text, then tool calls."""
    if inference.thinking_s:
        event_id = world.mint("sevt")
        session.log.preview("agent.thinking", _preview("agent.thinking", event_id))
        await pass_time(world, session, inference.thinking_s)
        session.log.emit("agent.thinking", event_id=event_id)
    rest = inference.generation_s - inference.thinking_s
    if inference.reply.text:
        await _write(world, session, inference.reply.text, rest)
    else:
        await pass_time(world, session, rest)


async def _write(world: World, session: Session, text: str, seconds: float) -> None:
    """Write a text: in pieces to the streams that asked for them, then as one event."""
    log, event_id = session.log, world.mint("sevt")
    log.preview("agent.message", _preview("agent.message", event_id))
    size = -(-len(text) // _PIECES) if log.wants_preview("agent.message") else len(text)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    for piece in pieces:
        await pass_time(world, session, seconds / len(pieces))
        delta = {"type": "content_delta", "index": 0, "content": {"type": "text", "text": piece}}
        log.preview("agent.message", {"type": "event_delta", "event_id": event_id, "delta": delta})
    log.emit("agent.message", event_id=event_id, content=[{"type": "text", "text": text}])


def _preview(kind: str, event_id: str) -> dict[str, Any]:
    return {"type": "event_start", "event": {"type": kind, "id": event_id}}


def _end_request(world: World, session: Session, start_id: str, inference: Inference, *, late: bool) -> None:
    """Close the span with its usage, which has no split by TTL, and charge the request; `late`: tell the end later."""
    usage = inference.usage
    event: dict[str, Any] = {
        "event_id": world.mint("sevt"),
        "model_request_start_id": start_id,
        "is_error": False,
        "model_usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_creation_input_tokens": usage.cache_creation_input_tokens,
            "cache_read_input_tokens": usage.cache_read_input_tokens,
        },
    }
    model, on = session.agent["model"]["id"], world.clock.timestamp().date()
    entry = world.ledger.charge_request("managed", event["event_id"], model, usage, on, session_id=session.id)
    session.meter.add(usage, entry.cost_nanousd)
    session.untold.append(event)
    if not late:
        session.tell_untold()
