"""What to do next in a managed session: pure decisions on the state of its turn.

The iteration cap. The platform has none, so model requests are counted where they start, and the session is
interrupted. Whether a reply's tool uses are announced before or after the end of its request is not documented, so
neither order is relied on:

- a reply that only writes text ends the turn by itself, and nothing is interrupted;
- a custom tool use makes the session wait for our answer, so nothing runs past the cap without us;
- a built-in tool use in a reply whose request has ended means that the run goes on past the cap. It is stopped as soon
  as nothing more is announced for a moment, so that a `submit_result` of the same reply is never cut off;
- a request beyond the cap proves that the reply before it asked nothing of us, and is stopped at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from dispatcher.action.report import ResearchReport
from dispatcher.paths.prompt import SUBMIT_TOOL
from dispatcher.paths.session_events import CustomUse, Stop, Submission, TurnState

_PROBLEMS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one custom tool use."""

    use_id: str
    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the next event; where `settling`, a moment without one decides."""

    settling: bool = False


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer everything that the session waits for; with `accepted` the turn has its result."""

    answers: tuple[Answer, ...]
    accepted: Submission | None = None
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Halt:
    """Interrupt the session."""

    stop: Stop


@dataclass(frozen=True, slots=True)
class Done:
    """The turn has its result or has ended."""


Step = Wait | Respond | Halt | Done


def next_step(state: TurnState, *, quiet: bool = False) -> Step:
    """What follows from the state; `quiet` says that nothing has arrived for the moment that settling takes."""
    if state.end is not None or state.accepted is not None:
        return Done()
    stop = _stop(state)
    if stop is not None:
        return Halt(stop)
    if state.unanswered:
        return _respond(state)
    reply = state.reply
    if state.requests == state.iteration_cap and reply.ended and reply.uses_tools and not reply.awaits_us:
        return Halt(Stop.ITERATION_CAP) if quiet else Wait(settling=True)
    return Wait()


def responded(state: TurnState, step: Respond) -> TurnState:
    """The state once the answers are decided; a valid report is accepted at this moment."""
    answered = state.answered | {answer.use_id for answer in step.answers}
    return replace(state, answered=answered, accepted=step.accepted, corrected=state.corrected or step.corrects)


def read_report(text: str) -> Submission | tuple[str, ...]:
    """The report in a JSON text, or what is wrong with it, a problem a line and without the text itself."""
    try:
        return Submission(ResearchReport.model_validate_json(text), len(text))
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        return tuple(f"{'.'.join(map(str, one['loc'])) or 'report'}: {one['msg']}" for one in found[:_PROBLEMS_SHOWN])


def _stop(state: TurnState) -> Stop | None:
    if state.repository_error is not None:
        return Stop.REPOSITORY
    if state.interrupted:
        return Stop.INTERRUPTED
    return Stop.ITERATION_CAP if state.requests > state.iteration_cap else None


def _respond(state: TurnState) -> Step:
    uses = {use.use_id: use for use in state.custom_uses}
    if not uses.keys() >= set(state.unanswered):
        return Halt(Stop.UNKNOWN_ACTION)
    asked = [uses[use_id] for use_id in state.unanswered]
    read = {use.use_id: _read(use) for use in asked if use.name == SUBMIT_TOOL}
    valid = next((use_id for use_id, result in read.items() if isinstance(result, Submission)), None)
    if valid is not None:
        accepted = read[valid]
        assert isinstance(accepted, Submission)
        answers = (_answer_after(use, valid) for use in asked)
        return Respond(tuple(answers), accepted)
    if state.corrected and read:
        return Halt(Stop.OUTPUT_INVALID)
    if state.requests >= state.iteration_cap:
        # An answer would start a request beyond the cap.
        return Halt(Stop.ITERATION_CAP)
    return Respond(tuple(_correction(use, read) for use in asked), corrects=bool(read))


def _read(use: CustomUse) -> Submission | tuple[str, ...]:
    return read_report(json.dumps(use.input, ensure_ascii=False))


def _answer_after(use: CustomUse, valid: str) -> Answer:
    if use.use_id == valid:
        return Answer(use.use_id, "The report is accepted. The task is done; end your turn.", is_error=False)
    return Answer(use.use_id, "A report is already accepted. The task is done; end your turn.", is_error=True)


def _correction(use: CustomUse, read: Mapping[str, Submission | tuple[str, ...]]) -> Answer:
    problems = read.get(use.use_id)
    if not isinstance(problems, tuple):
        return Answer(use.use_id, f"There is no tool {use.name[:60]!r}; answer with {SUBMIT_TOOL}.", is_error=True)
    listed = "\n".join(f"- {problem}" for problem in problems)
    text = f"The report does not satisfy the schema:\n{listed}\nCorrect it and call {SUBMIT_TOOL} once more."
    return Answer(use.use_id, text, is_error=True)
