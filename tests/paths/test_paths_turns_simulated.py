"""Two turns of one conversation against the simulator: what the second one has to read again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from paths_world import MODEL, make_job, make_observer, make_repository
from pydantic import SecretStr

from dispatcher.action.decision import PathName
from dispatcher.action.observation import EndedBy, Status
from dispatcher.action.request import Repository
from dispatcher.action.transcript import Transcript, TranscriptForm, Turn
from dispatcher.paths.claude import Claude
from dispatcher.paths.messages.path import MessagesPath
from dispatcher.paths.observation import Observation
from dispatcher.paths.path import Fresh, Outcome, Replay
from dispatcher.paths.repository.checkout import Checkout, resolve
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.server import Simulator

PRICES = Path(__file__).parents[2] / "policies" / "prices.yml"
CODE = "\n".join(f"def step_{n}(value):\n    return retry_limit(value, {n})\n" for n in range(200))
QUESTIONS = ("Where is the retry limit set?", "Which functions use `retry_limit`?", "What does docs/retry.md say?")


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(SimulatorConfig(time_scale=0, prices=PRICES)) as running:
        yield running


@pytest.fixture(scope="module")
def researched(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    root = tmp_path_factory.mktemp("turns")
    make_repository(root, {"src/retry.py": f"RETRY_LIMIT = 3\n\n{CODE}", "docs/retry.md": "The retry limit is 3.\n"})
    return resolve(Repository(path=root))


async def ask(simulator: Simulator, checkout: Checkout, job: dict[str, Any]) -> tuple[Outcome, Observation]:
    observer = make_observer()
    # A key of its own: what one test wrote to the cache is not there for another.
    claude = Claude(api_key=SecretStr(job.pop("key")), base_url=simulator.base_url, simulated=True)
    outcome = await MessagesPath(claude).run(make_job(checkout, **job), observer)
    return outcome, observer.observed()


async def converse(simulator: Simulator, checkout: Checkout, key: str, **job: Any) -> list[Observation]:
    """Ask all questions as turns of one conversation; each answer cites lines that exist."""
    transcript, seen = Transcript(), []
    for question in QUESTIONS:
        seed = Replay(transcript) if transcript.turns else Fresh()
        outcome, observed = await ask(simulator, checkout, {"key": key, "question": question, "seed": seed, **job})
        assert outcome.output is not None, outcome
        for finding in outcome.output.findings:
            assert finding.evidence in (checkout.root / finding.file).read_text().split("\n")[finding.line - 1]
        answer = outcome.output.model_dump_json()
        turn = Turn(question=question, path=PathName.MESSAGES, model=MODEL, answer=answer, messages=observed.work)
        transcript = Transcript.from_json(transcript.followed_by(turn).to_json())
        seen.append(observed)
    return seen


def first_input(seen: Observation) -> tuple[int, int]:
    """Uncached and cached input tokens of an attempt's first request."""
    usage = seen.calls[0].usage
    assert usage.input_tokens is not None
    assert usage.cache_read_input_tokens is not None
    return usage.input_tokens + (usage.cache_creation_input_tokens or 0), usage.cache_read_input_tokens


async def test_with_caching_a_later_turn_reads_what_the_turns_before_wrote(
    simulator: Simulator, researched: Checkout
) -> None:
    """Only the report of the turn before, and the new question, are new."""
    turns = await converse(simulator, researched, "cached", prompt_caching=True)

    for before, after in pairwise(turns):
        last = before.calls[-1].usage
        prompt, output = last.prompt_tokens or 0, last.output_tokens or 0
        uncached, read = first_input(after)
        assert read >= prompt
        assert uncached <= output + 200
    assert first_input(turns[1])[0] < first_input(turns[0])[0] / 2
    assert {seen.transcript_form for seen in turns} == {TranscriptForm.NATIVE}


async def test_without_caching_a_later_turn_pays_for_everything_again(
    simulator: Simulator, researched: Checkout
) -> None:
    turns = await converse(simulator, researched, "uncached")

    inputs = [first_input(seen) for seen in turns]
    assert [read for _, read in inputs] == [0, 0, 0]
    assert inputs[0][0] <= inputs[1][0] <= inputs[2][0]


async def test_within_a_turn_every_request_reads_all_of_the_one_before(
    simulator: Simulator, researched: Checkout
) -> None:
    (seen, *_) = await converse(simulator, researched, "within", prompt_caching=True)

    assert len(seen.calls) > 2
    for before, after in pairwise(seen.calls):
        cached = (before.usage.cache_read_input_tokens or 0) + (before.usage.cache_creation_input_tokens or 0)
        assert (after.usage.cache_read_input_tokens or 0) == cached
        # A prompt that is shorter than the model's minimum is not cached at all.
        assert cached in {before.usage.prompt_tokens, 0}
    assert (seen.calls[-1].usage.cache_read_input_tokens or 0) > 0


@pytest.mark.parametrize(
    "caps", [{"tool_calls": 1}, {"tokens": 15_000}, {"cost_nanousd": 60_000_000}, {"iterations": 2}]
)
@pytest.mark.parametrize("caching", [False, True])
async def test_a_capped_question_is_answered_within_the_cap_and_the_bill_is_ours(
    simulator: Simulator, researched: Checkout, caps: dict[str, int], *, caching: bool
) -> None:
    before = len(simulator.ledger)
    key = f"{json.dumps(caps)}-{caching}"
    limits = {"caps": caps, "cap": 30, "max_tokens": 1_000}
    question = "Where are RETRY_LIMIT, step_1, step_2, step_3, step_4 and retry_limit defined and used?"
    outcome, seen = await ask(
        simulator, researched, {"key": key, "question": question, "prompt_caching": caching, **limits}
    )

    charged = [entry.cost_nanousd or 0 for entry in simulator.ledger[before:]]
    assert (len(charged), sum(charged)) == (seen.iterations, seen.cost_nanousd)
    assert (seen.cost_nanousd or 0) <= caps.get("cost_nanousd", 10**12)
    tokens = sum((call.usage.prompt_tokens or 0) + (call.usage.output_tokens or 0) for call in seen.calls)
    assert tokens <= caps.get("tokens", 10**9)
    assert seen.tool_calls <= caps.get("tool_calls", 10**9)
    assert outcome.status is Status.SUCCESS
    assert outcome.ended_by is not EndedBy.COMPLETED


async def test_conversations_at_once_keep_to_themselves(simulator: Simulator, researched: Checkout) -> None:
    both = await asyncio.gather(*(converse(simulator, researched, f"at once {n}", prompt_caching=True) for n in (1, 2)))

    assert [seen.usage for seen in both[0]] == [seen.usage for seen in both[1]]
