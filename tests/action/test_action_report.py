"""The report that both paths must give, and its schema in the form that structured output takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dispatcher.action.report import ReportFinding, ResearchReport, report_schema

FINDING = {"claim": "It is 3.", "file": "retry.py", "line": 1, "evidence": "LIMIT = 3"}
REPORT = {"summary": "In one place.", "findings": [FINDING]}


def objects_in(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects_in(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects_in(value)


def keywords_in(schema: Any) -> set[str]:
    """Every keyword of a schema; names of properties are none."""
    if isinstance(schema, list):
        return set().union(*map(keywords_in, schema))
    if not isinstance(schema, dict):
        return set()
    inner = [*schema.get("properties", {}).values(), *(v for k, v in schema.items() if k != "properties")]
    return set(schema) | set().union(*map(keywords_in, inner))


def test_the_schema_closes_every_object_and_requires_every_property() -> None:
    for schema in objects_in(report_schema()):
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])


def test_the_schema_keeps_to_what_structured_output_knows() -> None:
    known = {"type", "properties", "required", "additionalProperties", "items", "description"}

    assert keywords_in(report_schema()) == known


def test_the_schema_names_what_the_report_holds() -> None:
    report, finding = objects_in(report_schema())

    assert list(report["properties"]) == list(ResearchReport.model_fields)
    assert list(finding["properties"]) == list(ReportFinding.model_fields)


def test_a_schema_that_a_caller_changes_does_not_change_the_next() -> None:
    before = json.dumps(report_schema())
    report_schema()["properties"].clear()

    assert json.dumps(report_schema()) == before


@pytest.mark.parametrize(
    "broken",
    [
        {**REPORT, "findings": []},
        {**REPORT, "summary": ""},
        {**REPORT, "extra": 1},
        {"summary": "x"},
        {**REPORT, "findings": [{**FINDING, "line": 0}]},
        {**REPORT, "findings": [{**FINDING, "line": "1"}]},
        {**REPORT, "findings": [{**FINDING, "line": 1.5}]},
        {**REPORT, "findings": [{**FINDING, "line": True}]},
        {**REPORT, "findings": [{**FINDING, "evidence": ""}]},
        {**REPORT, "findings": [{**FINDING, "file": None}]},
        {**REPORT, "findings": [{**FINDING, "more": "x"}]},
        [REPORT],
        "text",
        None,
    ],
)
def test_what_is_no_report_is_refused(broken: Any) -> None:
    with pytest.raises(ValidationError):
        ResearchReport.model_validate_json(json.dumps(broken))


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
findings = st.fixed_dictionaries({"claim": words, "file": words, "line": st.integers(1, 10**9), "evidence": words})


@given(words, st.lists(findings, min_size=1, max_size=4))
def test_a_report_survives_the_way_through_json(summary: str, found: list[dict[str, Any]]) -> None:
    said = {"summary": summary, "findings": found}
    report = ResearchReport.model_validate_json(json.dumps(said))

    assert report.model_dump(mode="json") == said
    assert ResearchReport.model_validate_json(report.model_dump_json()) == report


def test_a_report_cannot_be_changed() -> None:
    report = ResearchReport.model_validate_json(json.dumps(REPORT))
    with pytest.raises(ValidationError):
        report.summary = "other"
