"""The messages path against the simulator: a real loop over a real repository, with citations that exist."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from paths_world import make_job, make_observer, make_repository
from pydantic import SecretStr

from dispatcher.action.observation import EndedBy, ErrorType, Status, UsageQuality
from dispatcher.action.request import Repository
from dispatcher.paths.claude import Claude
from dispatcher.paths.messages.path import MessagesPath
from dispatcher.paths.origin import SimulatorMark, ask_simulator
from dispatcher.paths.repository.checkout import Checkout, resolve
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.server import Simulator

PRICES = Path(__file__).parents[2] / "policies" / "prices.yml"
CODE = "\n".join(f"def step_{n}(value):\n    return retry_limit(value, {n})\n" for n in range(60))


@pytest.fixture(scope="module")
def simulator() -> AsyncIterator[Simulator]:  # type: ignore[misc]
    with Simulator(SimulatorConfig(time_scale=0, prices=PRICES)) as running:
        yield running  # type: ignore[misc]


@pytest.fixture(scope="module", params=["commit", "folder"])
def researched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    root = tmp_path_factory.mktemp("researched") / "root"
    files = {"src/retry.py": f"RETRY_LIMIT = 3\n\n{CODE}", "docs/retry.md": "The retry limit is 3.\n", "README": "x\n"}
    make_repository(root, files)
    if request.param == "folder":
        (root / ".git").rename(root.parent / "set-aside")
    return resolve(Repository(path=root))


def claude_at(simulator: Simulator, *, simulated: bool = True) -> Claude:
    return Claude(api_key=SecretStr("k"), base_url=simulator.base_url, simulated=simulated)


@pytest.mark.parametrize("caching", [False, True])
async def test_a_question_is_answered_with_lines_that_exist(
    simulator: Simulator, researched: Checkout, *, caching: bool
) -> None:
    observer = make_observer()
    job = make_job(researched, prompt_caching=caching)
    outcome = await MessagesPath(claude_at(simulator)).run(job, observer)
    seen = observer.observed()

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.COMPLETED)
    assert outcome.output is not None
    for finding in outcome.output.findings:
        cited = (researched.root / finding.file).read_text().split("\n")[finding.line - 1]
        assert finding.evidence in cited
    assert (seen.usage_quality, seen.tool_errors) == (UsageQuality.REPORTED, 0)
    assert seen.cost_nanousd
    assert seen.first_token.unavailable_reason is None
    written, read = seen.usage.cache_creation_input_tokens, seen.usage.cache_read_input_tokens
    assert (written, read) != (0, 0) if caching else (written, read) == (0, 0)


async def test_the_bill_of_the_simulator_is_ours(simulator: Simulator, researched: Checkout) -> None:
    observer = make_observer()
    before = len(simulator.ledger)
    await MessagesPath(claude_at(simulator)).run(make_job(researched, prompt_caching=True), observer)
    charged = simulator.ledger[before:]

    assert len(charged) == observer.observed().iterations
    assert sum(entry.cost_nanousd or 0 for entry in charged) == observer.observed().cost_nanousd


async def test_many_attempts_share_a_door(simulator: Simulator, researched: Checkout) -> None:
    path = MessagesPath(claude_at(simulator))
    outcomes = await asyncio.gather(*(path.run(make_job(researched), make_observer()) for _ in range(8)))

    assert {outcome.status for outcome in outcomes} == {Status.SUCCESS}
    assert len({json.dumps(outcome.output.model_dump(mode="json")) for outcome in outcomes if outcome.output}) == 1


async def test_a_cap_that_leaves_no_time_to_look_gives_no_report(simulator: Simulator, researched: Checkout) -> None:
    observer = make_observer()
    outcome = await MessagesPath(claude_at(simulator)).run(make_job(researched, cap=1), observer)

    assert (outcome.status, outcome.error_type) == (Status.ERROR, ErrorType.ITERATION_CAP)
    assert observer.observed().iterations == 1


async def test_a_cap_within_the_work_still_gives_a_report(simulator: Simulator, researched: Checkout) -> None:
    outcome = await MessagesPath(claude_at(simulator)).run(make_job(researched, cap=2), make_observer())

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.ITERATION_CAP)


async def test_the_simulator_is_not_taken_for_the_provider(simulator: Simulator, researched: Checkout) -> None:
    outcome = await MessagesPath(claude_at(simulator, simulated=False)).run(make_job(researched), make_observer())

    assert (outcome.status, outcome.error_type) == (Status.ERROR, ErrorType.ORIGIN_MISMATCH)


def test_the_simulator_says_what_it_is_when_asked(simulator: Simulator) -> None:
    assert ask_simulator(simulator.base_url) == SimulatorMark(0.0)
