"""What to do next in a managed session: pure decisions on the state of its turn.

The caps. The platform has none, so model requests, tool calls, tokens and cost are counted from its events, and the
session is interrupted. Whether a reply's tool uses are announced before or after the end of its request is not
documented, so neither order is relied on:

- a reply that only writes text ends the turn by itself, and nothing is interrupted;
- a custom tool use, and a tool use that waits for our permission, makes the session wait for us, so nothing runs past a
  cap without us. Where the cap leaves a grace, every other tool is denied there and the model told to answer;
- a built-in tool use in a reply whose request has ended means that the run goes on past the cap. It is stopped as soon
  as nothing more is announced for a moment, so that a `submit_result` of the same reply is never cut off;
- a request beyond the cap proves that the reply before it asked nothing of us, and is stopped at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from dispatcher.action.decision import PathName
from dispatcher.action.observation import EndedBy
from dispatcher.action.report import ResearchReport
from dispatcher.paths.managed.caps import GRACE, NOTHING_SPENT, Spent, beyond, may_still_answer, reached
from dispatcher.paths.managed.events import CustomUse, Stop, Submission, ToolAsk, TurnState
from dispatcher.paths.managed.tools import READING_TOOLS
from dispatcher.paths.prompt import SUBMIT_TOOL, answer_now_text

_PROBLEMS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one custom tool use."""

    use_id: str
    name: str
    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The answer to one built-in tool that waits for our permission: allowed, or denied with a message."""

    use_id: str
    deny_message: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the next event; where `settling`, a moment without one decides."""

    settling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Respond:
    """Answer everything that the session waits for; with `accepted` the turn has its result.

    `corrects` says that a report is sent back, and `capped` is the cap because of which only the answer may follow.
    """

    answers: tuple[Answer | Confirmation, ...]
    accepted: Submission | None = None
    corrects: bool = False
    capped: EndedBy | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """Interrupt the session."""

    stop: Stop


@dataclass(frozen=True, slots=True)
class Done:
    """The turn has its result or has ended."""


Step = Wait | Respond | Halt | Done


def next_step(state: TurnState, spent: Spent = NOTHING_SPENT, *, quiet: bool = False) -> Step:
    """What follows from the state; `quiet` says that nothing has arrived for the moment that settling takes."""
    if state.end is not None or state.accepted is not None:
        return Done()
    stop = _stop(state, spent)
    if stop is not None:
        return Halt(stop)
    if state.unanswered:
        return _respond(state, spent)
    reply, cap = state.reply, reached(state, spent)
    if cap is not None and not state.grace and reply.ended and reply.uses_tools and not reply.awaits_us:
        return Halt(Stop(cap)) if quiet else Wait(settling=True)
    return Wait()


def responded(state: TurnState, step: Respond) -> TurnState:
    """The state once the answers are decided; a valid report is accepted at this moment."""
    allowed = sum(isinstance(answer, Confirmation) and answer.deny_message is None for answer in step.answers)
    beyond_cap = step.accepted is not None and state.requests > state.caps.iterations
    capped = state.capped or step.capped or (EndedBy.ITERATION_CAP if beyond_cap else None)
    answer_by = state.answer_by
    if step.capped is not None and answer_by is None:
        answer_by = state.requests + GRACE
    return replace(
        state,
        answered=state.answered | {answer.use_id for answer in step.answers},
        tool_calls=state.tool_calls + allowed,
        accepted=step.accepted,
        corrected=state.corrected or step.corrects,
        capped=capped,
        answer_by=answer_by,
    )


def read_report(text: str) -> Submission | tuple[str, ...]:
    """The report in a JSON text, or what is wrong with it, a problem a line and without the text itself."""
    try:
        return Submission(ResearchReport.model_validate_json(text), len(text))
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        return tuple(f"{'.'.join(map(str, one['loc'])) or 'report'}: {one['msg']}" for one in found[:_PROBLEMS_SHOWN])


def _stop(state: TurnState, spent: Spent) -> Stop | None:
    if state.repository_error is not None:
        return Stop.REPOSITORY
    if state.interrupted:
        return Stop.INTERRUPTED
    cap = beyond(state, spent)
    return None if cap is None else Stop(cap)


def _respond(state: TurnState, spent: Spent) -> Step:
    unanswered, answers = set(state.unanswered), list[Answer | Confirmation]()
    uses = [use for use in state.custom_uses if use.use_id in unanswered]
    asks = [ask for ask in state.asks if ask.use_id in unanswered]
    if {use.use_id for use in uses} | {ask.use_id for ask in asks} != unanswered:
        return Halt(Stop.UNKNOWN_ACTION)
    read = {use.use_id: _read(use) for use in uses if use.name == SUBMIT_TOOL}
    valid = next((use_id for use_id, result in read.items() if isinstance(result, Submission)), None)
    if valid is not None:
        accepted = read[valid]
        assert isinstance(accepted, Submission)
        answers += [_answer_after(use, valid) for use in uses]
        answers += [_denied(ask, _DONE) for ask in asks]
        return Respond(answers=tuple(answers), accepted=accepted)
    if state.corrected and read:
        return Halt(Stop.OUTPUT_INVALID)
    cap = reached(state, spent)
    if cap is not None and not may_still_answer(state, spent):
        # An answer would start a request beyond the cap.
        return Halt(Stop(cap))
    confirmations = _confirmations(state, asks, may_work=cap is None)
    if cap is None and any(one.deny_message == _ANSWER_NOW for one in confirmations):
        cap = EndedBy.TOOL_CALL_CAP
    answers += [_correction(use, read) for use in uses]
    return Respond(answers=(*answers, *confirmations), corrects=bool(read), capped=cap)


def _confirmations(state: TurnState, asks: Sequence[ToolAsk], *, may_work: bool) -> list[Confirmation]:
    """Each call allowed or denied: at a cap all are denied, below it those that were never offered."""
    room = state.caps.tool_calls - state.tool_calls if may_work else 0
    confirmations = []
    for ask in asks:
        if may_work and ask.name not in READING_TOOLS:
            confirmations.append(_denied(ask, _no_such_tool(ask.name)))
        elif room > 0:
            confirmations.append(Confirmation(ask.use_id))
            room -= 1
        else:
            confirmations.append(_denied(ask, _ANSWER_NOW))
    return confirmations


_ANSWER_NOW = answer_now_text(PathName.MANAGED)
_DONE = "A report is already accepted. The task is done; end your turn."


def _denied(ask: ToolAsk, message: str) -> Confirmation:
    return Confirmation(ask.use_id, message)


def _no_such_tool(name: str) -> str:
    return f"There is no tool {name[:60]!r}; answer with {SUBMIT_TOOL}."


def _read(use: CustomUse) -> Submission | tuple[str, ...]:
    return read_report(json.dumps(use.input, ensure_ascii=False))


def _answer_after(use: CustomUse, valid: str) -> Answer:
    if use.use_id == valid:
        text = "The report is accepted. The task is done; end your turn."
        return Answer(use.use_id, use.name, text, is_error=False)
    return Answer(use.use_id, use.name, _DONE, is_error=True)


def _correction(use: CustomUse, read: Mapping[str, Submission | tuple[str, ...]]) -> Answer:
    problems = read.get(use.use_id)
    if not isinstance(problems, tuple):
        return Answer(use.use_id, use.name, _no_such_tool(use.name), is_error=True)
    listed = "\n".join(f"- {problem}" for problem in problems)
    text = f"The report does not satisfy the schema:\n{listed}\nCorrect it and call {SUBMIT_TOOL} once more."
    return Answer(use.use_id, use.name, text, is_error=True)
