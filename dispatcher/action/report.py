"""The answer that both paths must give: a research report, validated."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ReportFinding(BaseModel):
    """One thing that was found, with the line that shows it.

    `file` is relative to the repository, `line` counts from 1, `evidence` is quoted from that line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    claim: str = Field(min_length=1, description="What was found, in one sentence.")
    file: str = Field(min_length=1, description="Path of the file, relative to the repository's root.")
    line: int = Field(ge=1, description="Number of the line that shows it, counted from 1.")
    evidence: str = Field(min_length=1, description="Text quoted from that line.")


class ResearchReport(BaseModel):
    """A summary and the findings behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    summary: str = Field(min_length=1, description="The answer to the question, in a few sentences.")
    findings: tuple[ReportFinding, ...] = Field(min_length=1, description="What supports the answer; at least one.")


_UNSUPPORTED = ("minLength", "minItems", "minimum", "title")


def report_schema() -> dict[str, Any]:
    """The report's JSON Schema in the form that structured output takes.

    Structured output knows no length and number constraints and wants every object closed
    (`additionalProperties: false`), so the constraints are checked here after the reply, by `ResearchReport`.
    """
    schema = ResearchReport.model_json_schema()
    definitions = schema.pop("$defs")
    schema["properties"]["findings"]["items"] = definitions["ReportFinding"]
    pruned = _prune(schema)
    assert isinstance(pruned, dict)
    return pruned


def _prune(node: object) -> object:
    if isinstance(node, dict):
        return {
            key: _prune(value)
            for key, value in node.items()
            if key not in _UNSUPPORTED and not (key == "description" and "properties" in node)
        }
    if isinstance(node, list):
        return [_prune(item) for item in node]
    return node
