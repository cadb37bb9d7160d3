"""How the tests run the messages path against a scripted provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paths_world import make_job, make_observer
from pydantic import SecretStr
from scripted_provider import Script, calling, provider

from dispatcher.action.decision import PathName
from dispatcher.action.event import Event
from dispatcher.action.transcript import Transcript, Turn
from dispatcher.paths.claude import Claude
from dispatcher.paths.messages.path import MessagesPath
from dispatcher.paths.observation import Observation
from dispatcher.paths.path import Outcome
from dispatcher.paths.repository.checkout import Checkout

SEARCH = calling(("toolu_1", "search_code", {"pattern": "LIMIT"}))


@dataclass(frozen=True)
class Ran:
    """One attempt: how it ended, what was seen of it, what was asked, and what was told of it."""

    outcome: Outcome
    seen: Observation
    requests: list[dict[str, Any]]
    told: list[Event]
    question: str
    model: str

    @property
    def turn(self) -> Turn:
        """The attempt as an answered turn of a conversation."""
        assert self.outcome.output is not None
        answer = self.outcome.output.model_dump_json()
        return Turn(
            question=self.question,
            path=PathName.MESSAGES,
            model=self.model,
            answer=answer,
            messages=self.seen.work,
        )


async def run(checkout: Checkout, script: Script, **job: Any) -> Ran:
    """Carry out one attempt; the keywords are those of `make_job`."""
    told: list[Event] = []
    observer = make_observer(told.append)
    asked = make_job(checkout, **job)
    async with provider(script) as scripted:
        claude = Claude(api_key=SecretStr("k"), base_url=scripted.base_url, simulated=False)
        outcome = await MessagesPath(claude).run(asked, observer)
    return Ran(outcome, observer.observed(), scripted.requests, told, asked.question, asked.variant.model)


def transcript(*runs: Ran) -> Transcript:
    """What the runs hand on to the next turn, as it comes back from where it was kept."""
    return Transcript.from_json(Transcript(tuple(ran.turn for ran in runs)).to_json())
