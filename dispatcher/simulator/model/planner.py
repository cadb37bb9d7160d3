"""The deterministic model: search, read the best places, follow what they name, answer with citations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from dispatcher.simulator.model.agenda import agenda
from dispatcher.simulator.model.conversation import ToolCall, replies_allowed
from dispatcher.simulator.model.obedience import attempts, obeyed, overspending
from dispatcher.simulator.model.report import Report, report_on
from dispatcher.simulator.model.request import ModelRequest, Reply
from dispatcher.simulator.model.toolbox import Tool
from dispatcher.simulator.model.work import Work, look_at
from dispatcher.simulator.profiles import Character, Habits

_MOST_SUBMISSIONS = 3
_FRUITLESS_REQUESTS = 12
# One question in so many is worked on without heed of the limit, as real models lose count: it then ends by the cap.
# As many go on asking for tools although each is denied with the order to answer.
_HEEDLESS_ONE_IN = 8


def reply_to(request: ModelRequest, habits: Habits, seed: int, character: Character | None = None) -> Reply:
    """The model's reply: a function of the request's content, the model's habits and character, and the seed alone."""
    work = look_at(request, habits, character or Character(), seed)
    submissions = work.submissions
    if submissions and not submissions[-1].is_error:
        return Reply("The result is submitted.")
    if len(submissions) >= _MOST_SUBMISSIONS:
        return Reply("The result could not be submitted.")
    if not request.may_call_tools:
        return _answer_in_text(work)
    return _forced(work) or _obedient(work) or _next(work)


def _next(work: Work) -> Reply:
    if _should_answer(work):
        return _answer(work)
    calls = tuple(islice(agenda(work), _calls_at_once(work)))
    if not calls and work.conversation.denied:
        calls = tuple(exchange.call for exchange in work.conversation.rounds[-1])
    return Reply(_remark(work, calls), calls) if calls else _answer(work)


def _obedient(work: Work) -> Reply | None:
    """What a model does first that takes the files for its masters."""
    calls = attempts(work)
    if calls:
        return Reply("", calls)
    calls = overspending(work)
    return Reply("I need many more requests: everything has to be read once more.", calls) if calls else None


def _answer(work: Work) -> Reply:
    submit = work.toolbox.submit
    if submit is None:
        return _answer_in_text(work)
    value = _report(work).in_form_of(submit.schema)
    return Reply("", (ToolCall(submit.name, _incomplete(value) if _fails_first(work) else value),))


def _answer_in_text(work: Work) -> Reply:
    schema = work.request.output_schema
    report = _report(work)
    # Structured output leaves nothing out, but numbers have no bounds in it.
    return Reply((_misnumbered(report) if _fails_first(work) else report).as_text(schema))


def _report(work: Work) -> Report:
    return obeyed(report_on(work.question, work.terms, work.seen, work.habits.findings), work)


def _fails_first(work: Work) -> bool:
    """Whether this answer is to be invalid: it is the question's first, and the question is one of those."""
    one_in = work.character.invalid_first_one_in
    is_first = not work.submissions and not work.conversation.answered
    return one_in > 0 and is_first and work.draw(one_in, "invalid first") == 0


def _incomplete(value: dict[str, Any]) -> dict[str, Any]:
    """A report without its last part, as no schema forbids it to a tool's input."""
    return dict(islice(value.items(), max(0, len(value) - 1)))


def _misnumbered(report: Report) -> Report:
    """A report whose findings name line 0."""
    return Report(report.summary, tuple({**finding, "line": 0} for finding in report.findings))


def _forced(work: Work) -> Reply | None:
    """A reply for a forced tool choice: the named tool, else whatever tool comes next."""
    if not work.request.must_call_tools:
        return None
    named = work.toolbox.named(str((work.request.tool_choice or {}).get("name", "")))
    if named is not None and named == work.toolbox.submit:
        return _answer(work)
    call = next(_fitting(work, named), None) or _plainly(named or work.toolbox.submit or Tool("", {}))
    return Reply("", (call,)) if call.name else None


def _fitting(work: Work, named: Tool | None) -> Iterator[ToolCall]:
    return (call for call in agenda(work) if named is None or call.name == named.name)


def _plainly(tool: Tool) -> ToolCall:
    return tool.call({})


def _should_answer(work: Work) -> bool:
    """Told to, out of the requests this question is worth, or getting nothing but errors."""
    conversation = work.conversation
    if conversation.told_to_finish or _limit_is_near(work):
        return True
    if conversation.denied:
        return work.draw(_HEEDLESS_ONE_IN, "heed a denial") != 0
    rounds = conversation.rounds
    failing = len(rounds) > 1 and all(exchange.is_error for one in rounds[-2:] for exchange in one)
    return len(rounds) + 1 >= _patience(work) or failing


def _patience(work: Work) -> int:
    """How many requests the question is worth: the fewer, the more of it earlier turns have shown already."""
    habits = work.habits
    worth = habits.fewest_requests + work.draw(1 + habits.most_requests - habits.fewest_requests, "worth")
    worth -= int(work.known * (worth - 1))
    return worth if work.known or work.has_matches else max(_FRUITLESS_REQUESTS, worth)


def _limit_is_near(work: Work) -> bool:
    """Whether the next reply is the last one that the prompt allows, and the model heeds it."""
    allowed = replies_allowed(work.conversation.question)
    if allowed is None or len(work.conversation.rounds) + 1 < allowed:
        return False
    return work.draw(_HEEDLESS_ONE_IN, "heed") != 0


def _calls_at_once(work: Work) -> int:
    if work.request.one_call_at_most:
        return 1
    often = work.draw(3, "calls", len(work.conversation.rounds)) == 0
    return work.habits.calls_at_once if often else 1


def _remark(work: Work, calls: Sequence[ToolCall]) -> str:
    """A sentence before the tool calls now and then; none where every text has to fit a schema."""
    if work.request.output_schema is not None or work.draw(3, "remark", len(work.conversation.rounds)) != 0:
        return ""
    subject = ", ".join(str(next(iter(call.input.values()), "")) for call in calls)
    return f"Next: {' and '.join(call.name for call in calls)} on {subject}."
