"""When a cap leaves no room for another model request: arithmetic on what a turn has used so far. Pure.

What a request takes is known when it has ended. Before another one starts, the latest one's figures stand for what it
will take, so that a cap on tokens or cost is not exceeded as far as that can be known.
"""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.action.observation import EndedBy
from dispatcher.paths.managed.events import TurnState

GRACE = 2
"""How many requests may follow a cap for the answer alone, where every other tool is denied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the ended requests of a turn took, and the latest of them by itself; tokens of all classes, 10⁻⁹ dollars."""

    tokens: int = 0
    cost_nanousd: int = 0
    latest_tokens: int = 0
    latest_cost_nanousd: int = 0


NOTHING_SPENT = Spent()


def exhausted(state: TurnState, spent: Spent, *, requests: int = 1) -> EndedBy | None:
    """The cap on tokens or cost that so many further requests would exceed."""
    if spent.tokens + requests * spent.latest_tokens > state.caps.tokens:
        return EndedBy.TOKEN_CAP
    if spent.cost_nanousd + requests * spent.latest_cost_nanousd > state.caps.cost_nanousd:
        return EndedBy.COST_CAP
    return None


def beyond(state: TurnState, spent: Spent) -> EndedBy | None:
    """The cap that the request now running, or what the latest one called, lies beyond: stopped at once."""
    reply = state.reply
    if state.requests > last_request(state):
        return state.capped or EndedBy.ITERATION_CAP
    if not reply.is_running:
        return None
    if reply.calls_before > state.caps.tool_calls:
        return EndedBy.TOOL_CALL_CAP
    return exhausted(state, spent)


def reached(state: TurnState, spent: Spent) -> EndedBy | None:
    """The cap after which nothing but the answer may follow.

    A cap on tokens or cost must have room for the next request and for the one that closes a turn after its report, and
    with a grace for the answering one between them.
    """
    if state.capped is not None:
        return state.capped
    if state.requests >= state.caps.iterations:
        return EndedBy.ITERATION_CAP
    if state.tool_calls > state.caps.tool_calls:
        return EndedBy.TOOL_CALL_CAP
    return exhausted(state, spent, requests=3 if state.grace else 2)


def may_still_answer(state: TurnState, spent: Spent) -> bool:
    """Whether one more request may follow a cap that is reached."""
    return state.grace > 0 and state.requests < last_request(state) and exhausted(state, spent) is None


def last_request(state: TurnState) -> int:
    """The ordinal of the last request that may begin."""
    return state.caps.iterations + state.grace if state.answer_by is None else state.answer_by
