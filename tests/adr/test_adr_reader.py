"""A record is read whole or refused with everything that is wrong with it."""

from __future__ import annotations

import pytest
from sample_words import Edited, ProblemsOf, Read

from dispatcher.adr.criterion import Measure
from dispatcher.adr.document import Status

WRONG_IN_MANY_WAYS = """\
---
id: KD-650
status: nearly
status: accepted
date: 2026-13-01
owner: me
---

# A record

## Confirmation

```yaml
criteria: []
looks: {}
```

```yaml acceptance
schema: 2
feature: agent_research
candidate: {variant: legacy}
control: {variant: legacy}
tenants: {script: 0.5, acme: 0.4}
looks: {cadence: daily, method: anytime, alpha: 0.5, max_weeks: 052, settle: 1 day}
unit: {by: conversation}
assignment: {kind: tenant_flag, share: 0.67}
max_unknown_share: 2 %
on_rollback: no
criteria:
  - id: AC-7
    says: p95 stays at or below 1.5 times current
    severity: blocker
    measure: response_time
    aggregate: p95
    at_most: {times_baseline: 1.5}
    wheer: {}
  - id: AC-8
    says: p95 stays at or below 1.5 times current
    severity: gate
    measure: response_time_ms
    aggregate: p95
    at_most: {times_baseline: 1.5}
```
"""


def test_a_record_holds_what_is_written(read: Read, sample: str) -> None:
    record = read(sample)

    assert record.id == "KD-0650"
    assert record.status is Status.PROPOSED
    assert record.acceptance is not None
    assert [criterion.id for criterion in record.acceptance.criteria] == ["AC-6", "AC-7", "AC-V"]
    assert record.acceptance.tenants == {"script": 1}
    assert "Sources" in record.sections
    assert "schema: 1" not in record.sections["Confirmation"]


UNMEASURED = "times_baseline is a multiple of something measured: name its baseline, and its source"


def test_all_problems_come_at_once_with_their_lines(problems_of: ProblemsOf) -> None:
    front = "line 4: front matter the key status stands here a second time"
    *others, last = (f"'{measure}'" for measure in Measure)
    measures = f"{', '.join(others)} or {last}"
    block = [
        "line 13: looks like an acceptance block but has the info string 'yaml'; it must be `yaml acceptance`",
        "line 19: schema: input should be 1",
        "line 19: traffic: is missing",
        "line 22: control: candidate and control are both legacy: there is nothing to compare",
        "line 23: tenants: the weights sum to 0.9, not to 1",
        "line 24: looks.alpha: input should be less than or equal to 0.1",
        "line 24: looks.cadence: input should be 'weekly'",
        "line 24: looks.max_weeks: input should be a valid integer",
        "line 24: looks.settle: '1 day' is not a duration: write a whole number and s, m, h or d, such as 24h or 7d",
        "line 25: unit.window: is missing",
        "line 26: assignment: tenant_flag draws nothing, so it takes no share",
        "line 27: max_unknown_share: '2 %' is not a number",
        "line 28: on_rollback: input should be 'report' or 'flip_off'",
        "line 32: criteria[0].severity: input should be 'gate', 'guard' or 'info'",
        f"line 33: criteria[0].measure: input should be {measures}",
        "line 36: criteria[0].wheer: is not a known key",
        f"line 37: AC-8: {UNMEASURED}: production-telemetry, spike or theoretical",
    ]

    assert [front, *block] == problems_of(WRONG_IN_MANY_WAYS)


def test_front_matter_problems_come_at_once(problems_of: ProblemsOf) -> None:
    expected = [
        "line 2: deciders: is missing",
        "line 2: id: 'KD-650' is not of the form ^([A-Z][A-Z0-9]{0,9}-)?[0-9]{4}$",
        "line 2: title: is missing",
        "line 3: status: input should be 'proposed', 'accepted', 'rejected', 'superseded' or 'deprecated'",
        "line 4: date: '2026-13-01' is not a date: write YYYY-MM-DD",
        "line 5: owner: is not a known key",
    ]

    text = WRONG_IN_MANY_WAYS.replace("status: accepted\n", "")
    assert expected == [problem for problem in problems_of(text) if int(problem[5:].split(":")[0]) < 6]


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (("---\nid", "id"), "line 1: front matter is missing: the file starts with a line `---`"),
        (("source]\n---\n", "source]\n"), "line 1: front matter is not closed by a line `---`"),
        (("status: proposed\n", ""), "line 2: status: is missing"),
        (("status: proposed", "status: Proposed"), "line 4: status: input should be 'proposed', 'accepted'"),
        (("deciders: [not", "deciders: not"), "line 6: deciders: input should be a valid list"),
        (("date: 2026-05-09\n", "date: 2026-05-09\n\tx: 1\n"), "line 6: front matter is not YAML"),
        (("title: S", 'title: "\\e[2JS" #'), "line 3: title: holds the invisible character U+001B: leave it out"),
        (("title: S", "title: \u202eS"), "line 3: title: holds the invisible character U+202E: leave it out"),
        (("title: S", 'title: "SHIP\\nS" #'), "line 3: title: is several lines: write one"),
        (("deciders: [not", 'deciders: ["\\0", not'), "line 6: deciders[0]: holds the invisible character U+0000"),
        (("says: p95", "says: \u2066p95"), "criteria[1].says: holds the invisible character U+2066: leave it out"),
        (("id: KD-0650\n", "id: KD-0651\n"), "line 1: the file of record KD-0651 is named KD-0651-….md"),
        (("status: proposed", "status: superseded"), "line 4: status superseded and superseded_by belong together"),
        (
            ("status: proposed", "status: proposed\nacceptance: none"),
            "although the front matter says `acceptance",
        ),
        (("```yaml acceptance", "```yaml"), "looks like an acceptance block but has the info string 'yaml'"),
        (
            ("```yaml acceptance", "```yaml"),
            "line 1: has no `yaml acceptance` block; a record",
        ),
        (("```yaml acceptance", "```yaml Acceptance"), "looks like an acceptance block but has"),
        (("```yaml acceptance", "```"), "looks like an acceptance block but has no info string"),
        (("## Confirmation", "## Evidence"), "the acceptance block belongs into the section Confirmation"),
        (("## Risks", "## Consequences"), "the section 'Consequences' stands here a second time"),
        (("## Risks", "<!--"), "the comment that starts here is not closed"),
        (("baseline: {source: own-target}\n```\n", ""), "the fenced block that starts here is not closed"),
        (("schema: 1\n", "schema: 1\nschema: 1\n"), "acceptance block the key schema stands here a second time"),
        (("n: 36", "n: 36\n      n: 37"), "acceptance block the key n stands here a second time"),
        (("n: 36", "\tn: 36"), "acceptance block is not YAML: found character '\\t' that cannot start any token"),
        (("n: 36", "n: 036"), "criteria[1].baseline.n: input should be a valid integer"),
        (("n: 36", "n: !!int 36"), "has the tag tag:yaml.org,2002:int; write a plain value"),
        (("n: 36", "n: !!python/object/new:os.system [true]"), "has the tag tag:yaml.org,2002:python/object"),
        (("n: 36", "n: 36\n      <<: {n: 37}"), "criteria[1].baseline.<<: is not a known key"),
        (("n: 36", "n: &count 36\n      value2: *count"), "an alias stands for another value"),
        (("n: 36", "n: yes"), "criteria[1].baseline.n: input should be a valid integer"),
        (("n: 36", "? [n]\n      : 36"), "has a key that is not a word"),
        (("schema: 1\n", ""), "schema: is missing"),
        (("id: AC-V", "id: AC-7"), "criteria: two criteria have the id AC-7"),
        (("value: 28036", "value: 28036ms"), "criteria[1].baseline.value: '28036ms' is not a number"),
        (("0.67}", "1.0}"), "assignment.share: input should be less than 1"),
        (("window: 0d}", "}"), "unit.window: is missing"),
        (("tenants: {script: 1.0}", "tenants: {}"), "tenants: is empty"),
        (("script: 1.0}", "script: 2.0, acme: -1.0}"), "tenants.acme: input should be greater than 0"),
    ],
)
def test_what_is_wrong_is_named(edited: Edited, problems_of: ProblemsOf, edit: tuple[str, str], problem: str) -> None:
    found = problems_of(edited(edit))

    assert any(problem in line for line in found), found


def test_a_record_without_criteria_cannot_be_read(sample: str, problems_of: ProblemsOf) -> None:
    head, _, _ = sample.partition("criteria:\n")

    found = [line.partition(": ")[2] for line in problems_of(head + "criteria: []\n```\n")]
    assert found == ["criteria: is empty: state at least one"]


def test_an_empty_block_cannot_be_read(sample: str, problems_of: ProblemsOf) -> None:
    head, fence, _ = sample.partition("```yaml acceptance\n")

    assert any("is not a YAML mapping" in line for line in problems_of(head + fence + "```\n"))


def test_two_blocks_are_one_too_many(sample: str, problems_of: ProblemsOf) -> None:
    block = "```yaml acceptance" + sample.partition("```yaml acceptance")[2]

    assert [line.partition(": ")[2] for line in problems_of(sample + "\n" + block)] == [
        "a second acceptance block: a record has one"
    ]


def test_a_block_in_a_comment_is_no_block(sample: str, problems_of: ProblemsOf) -> None:
    head, fence, rest = sample.partition("```yaml acceptance")

    assert any(
        "has no `yaml acceptance` block" in line for line in problems_of(head + "<!--\n" + fence + rest + "-->\n")
    )


def test_a_block_that_is_quoted_as_an_example_is_no_block(sample: str, problems_of: ProblemsOf) -> None:
    head, fence, rest = sample.partition("```yaml acceptance")
    example = "````markdown\n" + fence + rest + "````\n"

    assert any("has no `yaml acceptance` block" in line for line in problems_of(head + example))
    assert problems_of(head + example + fence + rest) == []


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_endings_and_a_byte_order_mark_change_nothing(read: Read, sample: str, ending: str) -> None:
    foreign = b"\xef\xbb\xbf" + sample.replace("\n", ending).encode()

    assert read(sample).block_hash == read(foreign).block_hash


def test_text_that_is_not_utf_8_is_refused_by_line(problems_of: ProblemsOf, sample: str) -> None:
    assert problems_of(sample.replace("title: S", "title: §").encode("latin-1", "replace")) == ["line 3: is not UTF-8"]


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"---\n---\n", b"---\n\0\n---\n", b"```", b"---\n" + b"[" * 5000 + b"\n---"]
)
def test_no_content_crashes_the_reader(problems_of: ProblemsOf, content: bytes) -> None:
    assert problems_of(content)


def test_a_huge_file_is_refused_unread(problems_of: ProblemsOf) -> None:
    assert problems_of(b"x" * 1_000_001) == ["is larger than 1000000 bytes"]


def test_the_layout_of_the_block_does_not_change_its_hash(edited: Edited, read: Read, sample: str) -> None:
    laid_out = edited(
        ("candidate: {variant: managed-haiku-4-5-cap8}\ncontrol: {variant: legacy}", "control:\n  variant: 'legacy'"),
        ("on_rollback: report", "on_rollback: report  # for now\ncandidate:\n  variant: managed-haiku-4-5-cap8"),
        ("settle: 24h", "settle: 1d"),
        ("value: 28036", "value: 28036.0"),
        ("alpha: 0.05", "alpha: 0.050"),
        ("window: [2026-04-09, 2026-05-09]", 'window: ["2026-04-09", "2026-05-09"]'),
    )

    assert read(sample).block_hash == read(laid_out).block_hash


def test_the_order_of_tenants_does_not_change_the_hash(edited: Edited, read: Read) -> None:
    one = read(edited(("{script: 1.0}", "{script: 0.75, acme: 0.25}")))
    other = read(edited(("{script: 1.0}", "{acme: 0.25, script: 0.75}")))

    assert one.block_hash == other.block_hash


@pytest.mark.parametrize(
    "edit", [("value: 28036", "value: 28037"), ("alpha: 0.05", "alpha: 0.04"), ("says: p95", "says: the p95")]
)
def test_every_statement_of_the_block_is_in_its_hash(
    edited: Edited, read: Read, sample: str, edit: tuple[str, str]
) -> None:
    assert read(sample).block_hash != read(edited(edit)).block_hash


def test_prose_is_not_in_the_hash(edited: Edited, read: Read, sample: str) -> None:
    assert read(sample).block_hash == read(edited(("## Risks\n", "## Risks\n\nOne more.\n"))).block_hash
