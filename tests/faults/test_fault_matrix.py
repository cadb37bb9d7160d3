"""Every fault of the simulator on both paths: each comes to the ending that is claimed for it."""

from __future__ import annotations

import pytest
from matrix import VOCABULARY, Cell
from matrix_doc import DOCUMENT, SCENARIOS, document
from matrix_run import Stage

CELLS = [
    (scenario, column) for scenario in SCENARIOS for column, cell in scenario.cells.items() if isinstance(cell, Cell)
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with Stage(tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.mark.parametrize(
    ("scenario", "column"), CELLS, ids=[f"{scenario.fault}: {scenario.what} ({column})" for scenario, column in CELLS]
)
def test_a_fault_comes_to_the_ending_that_is_claimed_for_it(stage, scenario, column):
    told, claim = stage.told(scenario, column), scenario.cells[column].claim
    assert told.fired, "the fault had no occasion"
    assert (told.status, told.ended_by, told.error_type) == (claim.status, claim.ended_by, claim.error_type)
    assert (told.rows, told.running, told.repeated_turns) == (1, 0, 0)
    assert (told.money, told.retries, told.repairs) == (claim.money, claim.retries, claim.repairs)
    assert told.unarchived == claim.unarchived


def test_every_fault_that_the_simulator_knows_has_a_scenario():
    assert {scenario.fault for scenario in SCENARIOS} == set(VOCABULARY)


def test_every_scenario_is_named_once():
    named = [(scenario.fault, scenario.what) for scenario in SCENARIOS]
    assert len(named) == len(set(named))


def test_the_document_says_what_the_run_showed(stage):
    shown = document({(scenario, column): stage.told(scenario, column) for scenario, column in CELLS})
    assert DOCUMENT.read_text() == shown, "run scripts/faults_doc and look at what changed"
