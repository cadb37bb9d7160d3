"""What records say about each other is said on both sides, and a correction leaves the old text as it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dispatcher.adr.corrections import body_hash
from dispatcher.adr.document import Record
from dispatcher.adr.lint import problems
from dispatcher.adr.reader import parse_record, read_records
from dispatcher.adr.surroundings import Surroundings

OLD = """---
id: KD-0700
title: The old one
status: accepted
date: 2026-05-01
deciders: [nobody yet]
acceptance: none
---

# The old one

## Context

The managed path is 3 × faster in the spike.

## Considered Options

1. Do it.

## Risks

- None known.
"""
NEW = OLD.replace("KD-0700", "KD-0701").replace("The old one", "The new one")
BANNER = "# The old one\n\n> **Corrected 2026-05-09** by [KD-0701](KD-0701-new.md): it was one prompt\n"


def record(text: str) -> Record:
    name = text.partition("id: ")[2][:7]
    return parse_record(text.encode(), Path(f"{name}-x.md"))


def found(around: Surroundings, *texts: str) -> dict[str, list[str]]:
    """The problems of every one of these records, beside each other."""
    records = {each.id: each for each in map(record, texts)}
    beside = replace(around, records=records)
    return {name: [problem.text for problem in problems(each, beside)] for name, each in records.items()}


def corrected(old: str = OLD) -> str:
    return old.replace("---\n\n# The old one\n", f"corrected_by: [KD-0701]\n---\n\n{BANNER}")


def correcting(old: str = OLD) -> str:
    stated = f"acceptance: none\ncorrects:\n  KD-0700: {body_hash(record(old))}\n"
    return NEW.replace("acceptance: none\n", stated)


def test_a_correction_with_a_banner_and_the_old_text_is_accepted(around: Surroundings) -> None:
    assert found(around, corrected(), correcting()) == {"KD-0700": [], "KD-0701": []}


def test_a_correction_that_edits_the_old_text_is_refused(around: Surroundings) -> None:
    edited = corrected().replace("3 × faster in the spike", "3 × slower in production")

    refused = found(around, edited, correcting())

    assert len(refused["KD-0701"]) == 1
    assert (
        "corrects KD-0700, whose text isn't the one that was corrected: put the old text back" in refused["KD-0701"][0]
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (corrected().replace(BANNER, "# The old one\n"), correcting(), "has no banner on top that points to"),
        (OLD, correcting(), "whose front matter doesn't say `corrected_by: [KD-0701]`"),
        (corrected(), NEW, "is corrected by KD-0701, which doesn't list it in corrects"),
        (OLD.replace("3 × faster", "~~3 ×~~ 2 × faster"), NEW, "a correction inside the text"),
        (
            OLD.replace("## Risks", "Correction (2026-05-09): it isn't.\n\n## Risks"),
            NEW,
            "a correction inside the text",
        ),
    ],
)
def test_a_correction_that_is_stated_halfway_is_refused(around: Surroundings, old: str, new: str, said: str) -> None:
    refused = found(around, old, new)

    assert [text for texts in refused.values() for text in texts if said in text]


def test_blanks_at_the_ends_of_lines_are_no_edit(around: Surroundings) -> None:
    spaced = corrected().replace("in the spike.\n", "in the spike.  \n").replace("\n", "\r\n")

    assert found(around, spaced, correcting())["KD-0701"] == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("status: superseded\nsuperseded_by: KD-0701", "status: proposed", "supersession is stated on both sides"),
        ("status: accepted", "status: proposed\nsupersedes: [KD-0700]", "which is accepted and doesn't say"),
        ("status: superseded\nsuperseded_by: KD-0799", "status: proposed", "isn't a readable record here"),
        ("status: accepted", "status: proposed\nsupersedes: [KD-0799]", "isn't a readable record here"),
        ("status: accepted\nsupersedes: [KD-0700]", "status: proposed", "supersedes itself"),
    ],
)
def test_supersession_that_one_side_alone_states_is_refused(
    around: Surroundings, old: str, new: str, said: str
) -> None:
    refused = found(around, OLD.replace("status: accepted", old), NEW.replace("status: accepted", new))

    assert [text for texts in refused.values() for text in texts if said in text]


def test_supersession_on_both_sides_is_accepted(around: Surroundings) -> None:
    old = OLD.replace("status: accepted", "status: superseded\nsuperseded_by: KD-0701")

    assert found(around, old, NEW.replace("status: accepted", "status: proposed\nsupersedes: [KD-0700]")) == {
        "KD-0700": [],
        "KD-0701": [],
    }


def test_a_superseded_baseline_in_use_is_named(
    tmp_path: Path, adrs: Path, sample: str, around: Surroundings, edited: Callable[..., str]
) -> None:
    shutil.copytree(adrs, tmp_path / "adrs")
    superseded = edited(("status: proposed", "status: superseded\nsuperseded_by: KD-0660"))
    newer = edited(("id: KD-0650", "id: KD-0660"), ("value: 28036", "value: 30000"))
    newer = newer.replace("deciders:", "supersedes: [KD-0650]\ndeciders:")
    still = edited(("id: KD-0650", "id: KD-0670"), ("max_weeks: 52", "max_weeks: 60"))
    for name, text in (
        ("KD-0650-migrate-research-to-managed-agents", superseded),
        ("KD-0660-a", newer),
        ("KD-0670-b", still),
    ):
        (tmp_path / "adrs" / f"{name}.md").write_text(text)
    records, errors = read_records(tmp_path / "adrs")
    beside = replace(around, records={each.id: each for each in records})

    assert errors == []
    said = "its baseline 28036 is KD-0650's, which KD-0660 has replaced by 30000: a superseded baseline is still in use"
    assert [each.text for each in problems(beside.records["KD-0670"], beside)] == [f"AC-7: {said}"]


def test_the_criteria_of_an_earlier_record_are_not_judged_a_second_time(
    read: Callable[[str], Record], edited: Callable[..., str], sample: str, around: Surroundings
) -> None:
    copy = replace(read(sample), id="KD-0651")
    other = replace(read(edited(("max_weeks: 52", "max_weeks: 60"))), id="KD-0652")
    beside = replace(around, records={each.id: each for each in (read(sample), copy, other)})
    said = {each.id: [problem.text[:43] for problem in problems(each, beside)] for each in beside.records.values()}

    assert said == {"KD-0650": [], "KD-0651": ["states the very criteria of KD-0650: judged"], "KD-0652": []}
