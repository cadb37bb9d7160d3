"""The tool calls of one model reply: announced, carried out or waited for, and handed back together."""

from __future__ import annotations

import asyncio
from typing import Any

from dispatcher.simulator.identity import spread
from dispatcher.simulator.managed.running import pass_time
from dispatcher.simulator.managed.session import OpenCall, Session, Wanted
from dispatcher.simulator.managed.tools import is_custom, policy_of
from dispatcher.simulator.world import World

_INTERRUPTED = "The user interrupted before this tool call finished."


def announce_call(session: Session, block: dict[str, Any]) -> None:
    """Emit the event of a tool call; its id is what the client answers to. A tool that isn't on is denied at once."""
    tools = session.agent["tools"]
    facts: dict[str, Any] = {"name": block["name"], "input": block["input"]}
    wants: Wanted = "nothing"
    policy = policy_of(tools, block["name"])
    if is_custom(tools, block["name"]):
        event = session.log.emit("agent.custom_tool_use", **facts)
        wants = "result"
    elif policy is None:
        event = session.log.emit("agent.tool_use", **facts, evaluated_permission="deny")
    elif policy == "always_ask":
        asking: dict[str, Any] = {"evaluated_permission": "ask", "evaluation": {"type": "always_ask"}}
        event = session.log.emit("agent.tool_use", **facts, **asking)
        wants = "confirmation"
    else:
        allowed: dict[str, Any] = {"evaluated_permission": "allow", "evaluation": {"type": "always_allow"}}
        event = session.log.emit("agent.tool_use", **facts, **allowed)
    call = OpenCall(event["id"], block["id"], block["name"], block["input"], wants)
    if event.get("evaluated_permission") == "deny":
        call.deny(f"No such tool available: {call.name}")
    session.open_calls.append(call)


async def run_allowed_calls(world: World, session: Session) -> None:
    """Run the built-in calls that may run, all at once; results come in the order in which they finish."""
    ready = [call for call in session.open_calls if call.wants == "nothing" and call.result is None]
    if session.container is None or not ready:
        return
    outputs = await asyncio.gather(*(session.container.run(call.name, call.input) for call in ready))
    passed = 0.0
    for index in sorted(range(len(ready)), key=lambda one: _seconds(world, ready[one])):
        call, output = ready[index], outputs[index]
        await pass_time(world, session, _seconds(world, call) - passed)
        passed = _seconds(world, call)
        call.answer(output.text, is_error=output.is_error)
        emit_result(session, call)


def emit_result(session: Session, call: OpenCall) -> None:
    """Emit what a built-in call came to."""
    session.log.emit("agent.tool_result", tool_use_id=call.event_id, content=call.result, is_error=call.is_error)


def hand_over_results(session: Session) -> None:
    """The results of all calls of a reply become one message of the transcript."""
    if session.open_calls:
        results = [
            {"type": "tool_result", "tool_use_id": call.tool_id, "content": call.result, "is_error": call.is_error}
            for call in session.open_calls
        ]
        session.transcript.append({"role": "user", "content": results})
        session.open_calls.clear()


def give_up_calls(session: Session) -> None:
    """After an interrupt every call without a result gets one that says so."""
    for call in session.open_calls:
        if call.result is None:
            call.answer(_INTERRUPTED, is_error=True)
    hand_over_results(session)


def _seconds(world: World, call: OpenCall) -> float:
    profile = world.profiles.tools.get(call.name)
    if profile is None:
        return 0.0
    return profile.ms / 1000 * spread(profile.spread, world.config.seed, call.name, call.input)
