"""One model request as the planner sees it: what is asked, what is known, and which tools there are."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.simulator.identity import draw
from dispatcher.simulator.model.conversation import Conversation, Exchange, ToolCall, read_conversation
from dispatcher.simulator.model.question import Terms, asked, terms_of
from dispatcher.simulator.model.ranking import rank
from dispatcher.simulator.model.request import ModelRequest
from dispatcher.simulator.model.sightings import Sightings, sightings_of
from dispatcher.simulator.model.toolbox import Toolbox, toolbox_of
from dispatcher.simulator.profiles import Character, Habits


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the planner decides on.

    `known` is the share of the question's terms that earlier turns have shown, `has_matches` says that a search of
    this turn found anything.
    """

    request: ModelRequest
    habits: Habits
    character: Character
    conversation: Conversation
    toolbox: Toolbox
    question: str
    terms: Terms
    seen: Sightings
    known: float
    has_matches: bool
    seed: int

    @property
    def submissions(self) -> list[Exchange]:
        """The reports submitted in this turn, with what came back."""
        submit = self.toolbox.submit
        return [one for one in self.conversation.current if submit is not None and one.call.name == submit.name]

    def draw(self, choices: int, *facts: object) -> int:
        """A number from 0 to `choices` - 1 that belongs to this question and the facts."""
        return draw(choices, self.seed, self.request.model, self.conversation.question, *facts)

    def was_called(self, call: ToolCall) -> bool:
        """Whether this very call was made before, in any turn."""
        return any(exchange.call == call for exchange in self.conversation.exchanges)


def look_at(request: ModelRequest, habits: Habits, character: Character, seed: int) -> Work:
    """Read a request."""
    conversation = read_conversation(request.messages)
    question = asked(conversation.question)
    terms = terms_of(question, asked(conversation.context))
    return Work(
        request=request,
        habits=habits,
        character=character,
        conversation=conversation,
        toolbox=toolbox_of(request.tools),
        question=question,
        terms=terms,
        seen=sightings_of(conversation.exchanges).without(question),
        known=_known(sightings_of(conversation.earlier).without(question), terms),
        has_matches=bool(sightings_of(conversation.current).without(question).matched),
        seed=seed,
    )


def _known(before: Sightings, terms: Terms) -> float:
    shown = {term for one in rank(before.lines, terms) for term in one.terms}
    return len(shown) / len(terms.everything) if terms.everything else 0.0
