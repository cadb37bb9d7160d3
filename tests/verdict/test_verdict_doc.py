"""The page about verdicts tells of every outcome and every reason what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.judgement.judge import Outcome

PAGE = (Path(__file__).parents[2] / "docs" / "verdict.md").read_text()


@pytest.mark.parametrize("word", [*Outcome, *Reason], ids=lambda word: word.value)
def test_what_to_do_is_said_of_every_outcome_and_reason(word: Outcome | Reason) -> None:
    row = re.compile(rf"^\|[^|]*\b{word.value}\b[^|]*\|[^|]+\|", re.MULTILINE)

    assert row.search(PAGE) is not None
