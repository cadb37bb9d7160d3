"""The deterministic model: search, read the best places, follow what they name, answer with citations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

from dispatcher.simulator.identity import draw
from dispatcher.simulator.model.conversation import (
    Conversation,
    Exchange,
    ToolCall,
    read_conversation,
    replies_allowed,
)
from dispatcher.simulator.model.question import Terms, asked, terms_of
from dispatcher.simulator.model.ranking import Ranked, rank
from dispatcher.simulator.model.report import Report, report_on
from dispatcher.simulator.model.request import ModelRequest, Reply
from dispatcher.simulator.model.sightings import Sightings, sightings_of
from dispatcher.simulator.model.toolbox import Tool, Toolbox, toolbox_of
from dispatcher.simulator.profiles import Habits

_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{3,}")
_REGEX_SPECIAL = re.compile(r"([\\.^$*+?()\[\]{}|])")
_MOST_SUBMISSIONS = 3
_LINES_TO_FOLLOW = 40
_FRUITLESS_REQUESTS = 12
_FRUITLESS_SEARCHES = 4
# One question in so many is worked on without heed of the limit, as real models lose count: it then ends by the cap.
_HEEDLESS_ONE_IN = 8


@dataclass(frozen=True, slots=True)
class _Work:
    """One request as the planner sees it."""

    request: ModelRequest
    habits: Habits
    conversation: Conversation
    toolbox: Toolbox
    question: str
    terms: Terms
    seen: Sightings
    seed: int

    @property
    def report(self) -> Report:
        return report_on(self.question, self.terms, self.seen, self.habits.findings)

    def draw(self, choices: int, *facts: object) -> int:
        return draw(choices, self.seed, self.request.model, self.conversation.question, *facts)


def reply_to(request: ModelRequest, habits: Habits, seed: int) -> Reply:
    """The model's reply: a function of the request's content, the model's habits and the seed alone."""
    work = _look_at(request, habits, seed)
    submissions = _submissions(work)
    if submissions and not submissions[-1].is_error:
        return Reply("The result is submitted.")
    if len(submissions) >= _MOST_SUBMISSIONS:
        return Reply("The result could not be submitted.")
    if not request.may_call_tools:
        return Reply(work.report.as_text(request.output_schema))
    forced = _forced(work)
    if forced is not None:
        return forced
    calls = () if _should_answer(work) else tuple(islice(_agenda(work), _calls_at_once(work)))
    if calls:
        return Reply(_remark(work, calls), calls)
    return _answer(work)


def _look_at(request: ModelRequest, habits: Habits, seed: int) -> _Work:
    conversation = read_conversation(request.messages)
    toolbox = toolbox_of(request.tools)
    question = asked(conversation.question)
    terms = terms_of(question, asked(conversation.context))
    seen = sightings_of(conversation.exchanges).without(question)
    return _Work(request, habits, conversation, toolbox, question, terms, seen, seed)


def _submissions(work: _Work) -> list[Exchange]:
    submit = work.toolbox.submit
    current = [exchange for one in work.conversation.rounds for exchange in one]
    return [exchange for exchange in current if submit and exchange.call.name == submit.name]


def _answer(work: _Work) -> Reply:
    submit = work.toolbox.submit
    if submit is None:
        return Reply(work.report.as_text(work.request.output_schema))
    return Reply("", (ToolCall(submit.name, work.report.in_form_of(submit.schema)),))


def _forced(work: _Work) -> Reply | None:
    """A reply for a forced tool choice: the named tool, else whatever tool comes next."""
    if not work.request.must_call_tools:
        return None
    named = work.toolbox.named(str((work.request.tool_choice or {}).get("name", "")))
    if named is not None and named == work.toolbox.submit:
        return _answer(work)
    fitting = (call for call in _agenda(work) if named is None or call.name == named.name)
    call = next(fitting, None) or _plainly(named or work.toolbox.submit or Tool("", {}))
    return Reply("", (call,)) if call.name else None


def _plainly(tool: Tool) -> ToolCall:
    return tool.call({})


def _should_answer(work: _Work) -> bool:
    """Told to, out of the requests this question is worth, or getting nothing but errors."""
    rounds = work.conversation.rounds
    if work.conversation.told_to_finish or _limit_is_near(work):
        return True
    worth = work.habits.fewest_requests + work.draw(
        1 + work.habits.most_requests - work.habits.fewest_requests, "worth"
    )
    patience = worth if work.seen.matched else max(_FRUITLESS_REQUESTS, worth)
    failing = len(rounds) > 1 and all(exchange.is_error for one in rounds[-2:] for exchange in one)
    return len(rounds) + 1 >= patience or failing


def _limit_is_near(work: _Work) -> bool:
    """Whether the next reply is the last one that the prompt allows, and the model heeds it."""
    allowed = replies_allowed(work.conversation.question)
    if allowed is None or len(work.conversation.rounds) + 1 < allowed:
        return False
    return work.draw(_HEEDLESS_ONE_IN, "heed") != 0


def _calls_at_once(work: _Work) -> int:
    if work.request.one_call_at_most:
        return 1
    often = work.draw(3, "calls", len(work.conversation.rounds)) == 0
    return work.habits.calls_at_once if often else 1


def _agenda(work: _Work) -> Iterator[ToolCall]:
    """What is worth doing next, best first; nothing that was done already, and no two of it alike."""
    ranked = rank(work.seen.lines, work.terms)
    reads, searches = _reads(work, ranked), _searches(work, ranked)
    if not ranked:
        tried = sum(
            exchange.call.name == (work.toolbox.search or Tool("", {})).name for exchange in work.conversation.exchanges
        )
        yield from islice(searches, max(0, _FRUITLESS_SEARCHES - tried))
        yield from _listings(work)
        yield from _reads_of_listed(work)
        return
    read, search = work.toolbox.read, work.toolbox.search
    done = [exchange.call.name for exchange in work.conversation.exchanges]
    behind = read is not None and search is not None and done.count(read.name) < 2 * done.count(search.name)
    first, second = (reads, searches) if behind else (searches, reads)
    for pair in zip_longest(first, second):
        yield from (call for call in pair if call is not None)


def _searches(work: _Work, ranked: Sequence[Ranked]) -> Iterator[ToolCall]:
    tool = work.toolbox.search
    for pattern in dict.fromkeys((*_patterns(work.terms, found=bool(ranked)), *_symbols(ranked, work.terms))):
        call = work.toolbox.searching(pattern)
        if tool and call and not work.seen.has_asked(tool.name, pattern):
            yield call


def _patterns(terms: Terms, *, found: bool) -> Iterator[str]:
    """Search patterns, the narrowest first; plain words only where nothing was found with better ones."""
    for term in terms.exact:
        yield _REGEX_SPECIAL.sub(r"\\\1", term)
    for left, right in terms.phrases:
        yield f"{_either_case(left)}[a-z]*[ _-]?{_either_case(right)}"
    for word in terms.words:
        yield _either_case(word)
    if not found:
        yield from terms.words
        for left, right in terms.phrases:
            yield f"{left}_{right}"


def _either_case(word: str) -> str:
    return f"[{word[0].upper()}{word[0].lower()}]{word[1:]}" if word[0].isalpha() else word


def _symbols(ranked: Sequence[Ranked], terms: Terms) -> Iterator[str]:
    """Names on the best lines that share a term with the question: the code's own words for it."""
    known = set(terms.everything)
    for one in ranked[:_LINES_TO_FOLLOW]:
        for name in _SYMBOL.findall(one.line.text):
            lowered = name.lower()
            if lowered not in known and any(term in lowered for term in known):
                known.add(lowered)
                yield name


def _reads(work: _Work, ranked: Sequence[Ranked]) -> Iterator[ToolCall]:
    """Read around the best places not read yet, one window a file at a time."""
    tool, planned = work.toolbox.read, set[str]()
    for one in ranked:
        line = one.line
        if (line.path, line.number) in work.seen.read or line.path in planned:
            continue
        first = max(1, line.number - work.habits.lines_per_read // 4)
        call = work.toolbox.reading(line.path, first, first + work.habits.lines_per_read - 1)
        if tool and call and not _was_called(work, call):
            planned.add(line.path)
            yield call


def _listings(work: _Work) -> Iterator[ToolCall]:
    tool = work.toolbox.list
    for pattern in (*(f"**/*{term}*" for term in work.terms.everything[:1]), "**/*"):
        call = work.toolbox.listing(pattern)
        if tool and call and not _was_called(work, call):
            yield call


def _reads_of_listed(work: _Work) -> Iterator[ToolCall]:
    """Files whose path holds a term, then the others, as listed; one line that was read is enough to be honest."""
    wanted = work.terms.everything
    paths = sorted(work.seen.listed, key=lambda path: -sum(term in path.lower() for term in wanted))
    for path in () if any(work.seen.read.values()) else paths:
        call = work.toolbox.reading(path, 1, work.habits.lines_per_read)
        if call and not _was_called(work, call):
            yield call


def _was_called(work: _Work, call: ToolCall) -> bool:
    return any(exchange.call == call for exchange in work.conversation.exchanges)


def _remark(work: _Work, calls: Sequence[ToolCall]) -> str:
    """A sentence before the tool calls now and then; none where every text has to fit a schema."""
    if work.request.output_schema is not None or work.draw(3, "remark", len(work.conversation.rounds)) != 0:
        return ""
    subject = ", ".join(str(next(iter(call.input.values()), "")) for call in calls)
    return f"Next: {' and '.join(call.name for call in calls)} on {subject}."
