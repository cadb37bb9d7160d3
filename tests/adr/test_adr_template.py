"""A new record begins readable, with everything that is asked of one, and a correction leaves the old one's text."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adr.corrections import body_hash
from dispatcher.adr.document import Record
from dispatcher.adr.reader import find_record, parse_record
from dispatcher.adr.schema import json_schema
from dispatcher.adr.template import Draft, Judged, corrected, next_id
from dispatcher.errors import InvalidRecord


def draft(**changes: Any) -> Draft:
    stated: dict[str, Any] = {
        "id": "KD-0660", "title": "Another path", "date": dt.date(2026, 5, 9), "deciders": ("nobody yet",),
        "judged": Judged("agent_research", "managed-haiku-4-5-cap8", "legacy", "script", "own-log"), "corrects": None,
    }  # fmt: skip
    return Draft(**(stated | changes))


def read(made: Draft) -> Record:
    return parse_record(made.text.encode(), Path(made.file_name))


def test_a_new_record_has_the_sections_the_options_and_a_block() -> None:
    record = read(draft())

    assert {"Context", "Considered Options", "Decision", "Consequences", "Risks", "Sources", "Confirmation"} == set(
        record.sections
    )
    assert record.sections["Considered Options"].count("**") == 8
    assert record.acceptance is not None
    baseline = record.acceptance.criteria[0].baseline
    assert baseline is not None
    assert baseline.awaits_pin
    assert baseline.window == (dt.date(2026, 4, 9), dt.date(2026, 5, 9))


def test_without_a_candidate_no_telemetry_judges_it() -> None:
    assert read(draft(judged=None)).acceptance is None


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=20))
def test_any_title_and_name_makes_a_readable_record_or_a_clear_error(title: str, decider: str) -> None:
    record: Record | None = None
    with suppress(InvalidRecord):
        record = read(draft(title=title, deciders=(decider,), judged=None))

    assert record is None or (record.title, record.deciders) == (title, (decider,))


@pytest.mark.parametrize(
    ("taken", "prefix", "expected"),
    [(["KD-0650", "KD-0651", "0012"], "KD", "KD-0652"), (["KD-0650", "0012"], "", "0013"), ([], "AB", "AB-0001")],
)
def test_the_next_id_follows_the_highest(taken: list[str], prefix: str, expected: str) -> None:
    assert next_id(taken, prefix) == expected


def test_there_is_no_id_after_the_last() -> None:
    with pytest.raises(ValueError, match="end at 9999"):
        next_id(["KD-9999"], "KD")


def test_a_corrected_record_keeps_its_text(adrs: Path) -> None:
    old = find_record(adrs, "KD-0650")
    made = draft(corrects=old)

    now = parse_record(corrected(old, made).encode(), old.path)

    assert now.corrected_by == ("KD-0660",)
    assert body_hash(now) == body_hash(old) == read(made).corrects["KD-0650"]
    assert now.block_hash == old.block_hash
    assert "> **Corrected 2026-05-09** by [KD-0660](KD-0660-another-path.md): Another path" in now.text


def test_a_second_correction_goes_beside_the_first(adrs: Path) -> None:
    old = find_record(adrs, "KD-0651")
    once = parse_record(corrected(old, draft()).encode(), old.path)

    twice = parse_record(corrected(once, draft(id="KD-0670")).encode(), old.path)

    assert twice.corrected_by == ("KD-0660", "KD-0670")
    assert body_hash(twice) == body_hash(old)


@pytest.mark.parametrize("part", ["acceptance", "front-matter"])
def test_the_schema_knows_every_key(part: Any) -> None:
    schema = json_schema(part)

    assert schema["additionalProperties"] is False
    expected = {"acceptance": {"schema", "criteria", "looks", "tenants"}, "front-matter": {"id", "status", "corrects"}}
    assert expected[part] <= set(schema["properties"])


def test_the_schema_writes_values_as_a_record_does() -> None:
    definitions = json_schema("acceptance")["$defs"]
    exact = definitions["Looks"]["properties"]["alpha"]
    assert (exact["exclusiveMinimum"], exact["maximum"]) == (0, 0.1)

    assert definitions["Looks"]["properties"]["settle"]["pattern"] == "^[0-9]{1,6}[smhd]$"
    assert definitions["Looks"]["properties"]["alpha"]["type"] == "number"
    assert "time_to_first_token_ms" in definitions["Measure"]["enum"]
    assert "from" in definitions["Baseline"]["properties"]
