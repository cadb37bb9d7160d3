"""The same questions through both paths are answered with lines that are there."""

from __future__ import annotations

import subprocess

import pytest
from faults_ground import PROJECT, TIME_SCALE, make_checkout

from dispatcher import Repository, ResearchAction
from dispatcher.settings import load_settings
from dispatcher.simulator import Simulator, SimulatorConfig
from dispatcher.wiring.serving import build_dispatcher

URL = "https://github.com/example/checkout"
VARIANTS = ["legacy", "legacy-cached", "managed-sonnet-4-6", "managed-haiku-4-5-cap8"]
SMALL = [
    "Where is the greeting computed?",
    "Which modules import the greeting?",
]
OWN = [
    "Where are feature flags evaluated?",
    "How is the iteration cap of a variant enforced?",
    "Where are the prices of models read, and in what unit?",
    "Which module decides whether a request is sent again?",
]


@pytest.fixture(scope="module", params=["a small repository", "this project"])
def asked(request, tmp_path_factory):
    """A dispatcher, the repository that it researches, and the questions about it."""
    room = tmp_path_factory.mktemp("citations")
    small = request.param == "a small repository"
    checkout = make_checkout(room / "checkout") if small else PROJECT
    prices = PROJECT / "policies" / "prices.yml"
    config = SimulatorConfig(repositories={URL: checkout}, time_scale=TIME_SCALE, prices=prices)
    with Simulator(config) as simulator:
        settings = load_settings(
            database_url=f"sqlite:///{room}/log.db",
            policies_dir=PROJECT / "policies",
            adrs_dir=PROJECT / "adrs",
            ANTHROPIC_BASE_URL=simulator.base_url,
        )
        dispatcher = build_dispatcher(settings)
        yield dispatcher, at_commit(checkout), SMALL if small else OWN
        dispatcher.close()


def at_commit(checkout):
    commit = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, check=True)
    return Repository(path=checkout, github_url=URL, commit=commit.stdout.decode().strip())


def lines_of(repository, file):
    """The lines of a file as the commit has them."""
    named = f"{repository.commit}:{file}"
    shown = subprocess.run(["git", "-C", str(repository.path), "show", named], capture_output=True, check=True)
    return shown.stdout.decode().splitlines()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_finding_cites_a_line_of_the_commit_word_for_word(asked, variant):
    dispatcher, repository, questions = asked
    for question in questions:
        result = dispatcher.dispatch_research(
            ResearchAction(question=question, tenant="acme", variant=variant, repository=repository)
        ).raise_for_status()
        assert result.output.findings, question
        for finding in result.output.findings:
            lines = lines_of(repository, finding.file)
            assert 1 <= finding.line <= len(lines), finding
            assert finding.evidence == lines[finding.line - 1].strip(), finding
