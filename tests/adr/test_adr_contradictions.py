"""What people read under Confirmation can't be another limit, direction or measure than the block's."""

from __future__ import annotations

import pytest
from sample_words import Edited, Read

from dispatcher.adr.document import Record
from dispatcher.adr.lint import problems
from dispatcher.adr.surroundings import Surroundings

CONFIRMED = "**AC-7** p95 wall time stays at or below 1.5 × current,"
VALID = "At least 95 % of the dispatches end with a valid report. This guard"


def texts(record: Record, around: Surroundings) -> list[str]:
    return [problem.text for problem in problems(record, around)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (CONFIRMED, "**AC-7** p95 wall time stays at or below 90 s, that is 3 ×, or 1.5 × current,",
         ["says 'at or below 90 s', which isn't what the block states: say one limit only",
          "says 'that is 3 ×', which isn't what the block states: say one limit only"]),
        (CONFIRMED, "**AC-7** p95 wall time may exceed 1.5 × current,",
         ["says 'may exceed', and the block is a limit that may not be broken: say at most"]),
        (CONFIRMED, "**AC-7** p95 wall time is at least 1.5 × current,",
         ["says 'at least 1.5 ×', and the block allows at most that"]),
        (CONFIRMED, "**AC-7** p95 time to first token stays at or below 1.5 × current,",
         ["speaks of 'first token', the block of response_time_ms: name what is measured"]),
        (VALID, "At least 95 %, or at least 50 % of the dispatches, end with a valid report. This guard",
         ["says 'at least 50 %', which isn't what the block states: say one limit only"]),
        (VALID, "At most 95 % of the dispatches end with a valid report. This guard",
         ["says 'At most 95 %', and the block allows at least that"]),
        ("at most 0.5 × that of the control in the same weeks. The", "at most 0.5 × or under 2 × the control's. The",
         ["says 'under 2 ×', which isn't what the block states: say one limit only"]),
    ],
)  # fmt: skip
def test_a_sentence_that_says_something_else_is_refused(
    edited: Edited, read: Read, around: Surroundings, old: str, new: str, expected: list[str]
) -> None:
    record = read(edited((old, new)))

    found = problems(record, around)

    assert [each.text.partition(": the sentence under Confirmation ")[2] for each in found] == expected
    assert {record.text.split("\n")[each.line - 1][:4] for each in found} == {"- **"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CONFIRMED, "**AC-7** No more than 5 % may exceed it: p95 wall time stays at or below 1.5 × current, so 42 s,"),
        (CONFIRMED, "**AC-7** No dispatch's p95 wall time may exceed 1.5 × current,"),
        (CONFIRMED, "**AC-7** p95 wall time, of which the spike took 483 s, stays at or below 1.5 × current,"),
        (CONFIRMED, "**AC-7** p95 of what it takes, first token included, within 24 hours: at most 1.5 × current,"),
        (VALID, "At least 95 % of the dispatches end with a valid report, so at most 5 % don't. This guard"),
        ("at most 0.5 × that of", "half, that is at most 0.5 × that of"),
    ],
)
def test_a_sentence_may_say_more_than_the_block(
    edited: Edited, read: Read, around: Surroundings, old: str, new: str
) -> None:
    assert texts(read(edited((old, new))), around) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("p95 wall time may be far above 1.5 × current, 28036 ms over 36 calls, that is 42054 ms",
         "AC-7: says says 'may be far above', and the block is a limit that may not be broken: say at most"),
        ("p95 time to first token stays at or below 1.5 × current, 28036 ms over 36 calls, that is 42054 ms",
         "AC-7: says speaks of 'first token', the block of response_time_ms: name what is measured"),
    ],
)  # fmt: skip
def test_the_sentence_in_the_block_is_held_to_the_same(
    edited: Edited, read: Read, around: Surroundings, said: str, expected: str
) -> None:
    says = "says: p95 wall time stays at or below 1.5 × current production, 28036 ms over 36 calls, that is 42054 ms"

    assert texts(read(edited((says, f"says: {said}"))), around) == [expected]
