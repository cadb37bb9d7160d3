"""Criteria that stand in a text and aren't read don't pass for none, nor an empty section for a filled one."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sample_words import ProblemsOf, Read

from dispatcher.adr.lint import problems
from dispatcher.adr.surroundings import Surroundings

UNJUDGED = ("status: proposed", "status: proposed\nacceptance: none")
OUT_OF_SIGHT = "an acceptance block that nothing reads, in a quote, in a comment or indented: begin it at the margin"


def parts(sample: str) -> tuple[str, str]:
    """The record without its block, saying that nothing judges it; and the block."""
    head, fence, block = sample.partition("```yaml acceptance")
    return head.replace(*UNJUDGED), fence + block


@pytest.mark.parametrize(
    "hide",
    [
        lambda block: f"<!--\n{block}-->\n",
        lambda block: "".join(f"> {line}\n" for line in block.splitlines()),
        lambda block: "".join(f"    {line}\n" for line in block.splitlines()),
    ],
    ids=["comment", "quote", "indented"],
)
def test_a_block_where_nothing_reads_it_is_refused(
    sample: str, problems_of: ProblemsOf, hide: Callable[[str], str]
) -> None:
    head, block = parts(sample)

    found = problems_of(head + hide(block))

    assert len(found) == 1
    assert OUT_OF_SIGHT in found[0]


@pytest.mark.parametrize("info", ["{.yaml .acceptance}", "text", "json", "yaml"])
def test_a_block_with_another_info_string_is_refused(sample: str, problems_of: ProblemsOf, info: str) -> None:
    head, block = parts(sample)

    found = problems_of(head + block.replace("```yaml acceptance", f"```{info}"))

    assert len(found) == 1
    assert f"looks like an acceptance block but has the info string {info!r}" in found[0]


def test_what_only_speaks_of_criteria_hides_none(sample: str, problems_of: ProblemsOf) -> None:
    head, _ = parts(sample)
    prose = "> criteria:\n> what counts\n\n    candidate: whoever asks\n\nunit: a talk\n\n```text\nlooks: weekly\n```\n"

    assert problems_of(head + prose) == []


@pytest.mark.parametrize(("section", "after"), [("Risks", "Sources"), ("Considered Options", "Decision")])
@pytest.mark.parametrize("left", ["", "<!-- nothing yet -->\n"])
def test_a_section_without_text_is_as_good_as_none(
    sample: str, read: Read, around: Surroundings, section: str, after: str, left: str
) -> None:
    text = re.sub(rf"## {section}\n.*?## {after}", f"## {section}\n\n{left}\n## {after}", sample, flags=re.DOTALL)

    (found,) = problems(read(text), around)

    assert found.text == f"the section {section} is empty: what stands in a comment isn't read by anybody"
    assert text.split("\n")[found.line - 1] == f"## {section}"


def test_a_single_option_is_no_choice(sample: str, read: Read, around: Surroundings) -> None:
    text = re.sub(r"1\. \*\*Ship as.*?4\. ", "1. ", sample, flags=re.DOTALL)

    assert [each.text for each in problems(read(text), around)] == [
        "Considered Options lists a single one: state what else could be done"
    ]
