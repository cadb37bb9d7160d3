"""The model's answer: findings that cite lines as the tools showed them, in the form that was asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatcher.simulator.model.question import Terms
from dispatcher.simulator.model.ranking import DEFINITION, LONGEST_EVIDENCE, Ranked, rank
from dispatcher.simulator.model.sightings import Line, Sightings
from dispatcher.simulator.model.toolbox import plain_value

_MOST_PER_FILE = 2
_DEEPEST_SCHEMA = 12
_LONGEST_TITLE = 120
_NAMES = {
    "summary": ("summary", "answer", "text", "conclusion", "result"),
    "findings": ("findings", "citations", "results", "items", "references"),
    "claim": ("claim", "statement", "description", "title", "explanation"),
    "file": ("file", "path", "file_path", "filename"),
    "line": ("line", "line_number", "start_line", "lineno"),
    "evidence": ("evidence", "quote", "snippet", "excerpt", "text", "code"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to a question."""

    summary: str
    findings: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """The answer in the form this product asks for."""
        return {"summary": self.summary, "findings": [dict(finding) for finding in self.findings]}

    def as_prose(self) -> str:
        """The answer as text with its citations."""
        places = [f"- {f['claim']} ({f['file']}:{f['line']}: `{f['evidence']}`)" for f in self.findings]
        return "\n".join([self.summary, *places])

    def in_form_of(self, schema: Mapping[str, Any]) -> Any:
        """The answer as a value of a JSON schema; fields are matched by name, the rest is filled plainly."""
        return _conform(self.as_json(), schema, schema, 0)

    def as_text(self, schema: Mapping[str, Any] | None) -> str:
        """The answer as the text of a reply: JSON where a schema was given, else prose."""
        if schema is None:
            return self.as_prose()
        return json.dumps(self.in_form_of(schema), ensure_ascii=False)


def report_on(question: str, terms: Terms, seen: Sightings, most: int) -> Report:
    """Answer from what was seen: at most `most` findings; honest where nothing bears on the question."""
    chosen = _choose(rank(seen.lines, terms), most)
    if not chosen:
        return _nothing_found(question, terms, seen)
    files = list(dict.fromkeys(one.line.path for one in chosen))
    first = chosen[0].line
    summary = (
        f"{_count(len(chosen), 'place')} in {_count(len(files), 'file')} {'bears' if len(chosen) == 1 else 'bear'} on "
        f"the question “{_shortened(question)}”. The most telling is {first.path}, line {first.number}. "
        f"Read: {len({path for path, _ in seen.read})} files; terms: {', '.join(terms.everything[:6])}."
    )
    return Report(summary, tuple(_finding(one.line, _claim(one)) for one in chosen))


def _choose(ranked: Sequence[Ranked], most: int) -> list[Ranked]:
    per_file: Counter[str] = Counter()
    texts: set[str] = set()
    chosen: list[Ranked] = []
    for one in ranked:
        if len(chosen) == most:
            break
        if per_file[one.line.path] < _MOST_PER_FILE and one.line.text not in texts:
            chosen.append(one)
            per_file[one.line.path] += 1
            texts.add(one.line.text)
    return chosen


def _claim(one: Ranked) -> str:
    named = DEFINITION.search(one.line.text)
    about = " and ".join(one.terms[:3])
    if named:
        return f"`{named['name'] or named['assigned']}` is defined here, and its line speaks of {about}."
    if one.line.text.startswith(("#", "//", "/*", "*", "--", '"""')):
        return f"A comment here explains {about}."
    return f"This line uses {about}."


def _nothing_found(question: str, terms: Terms, seen: Sightings) -> Report:
    shown = [line for line in seen.lines if line.text and len(line.text) <= LONGEST_EVIDENCE]
    read = [line for line in shown if (line.path, line.number) in seen.read]
    searched = ", ".join(terms.everything[:6]) or "nothing to search for"
    summary = f"Nothing was found on the question “{_shortened(question)}” (searched: {searched})."
    if not shown:
        return Report(f"{summary} No file was read.", ())
    line = (read or shown)[0]
    claim = f"This file was looked at, and nothing in it answers the question: {line.path}."
    return Report(f"{summary} One line that was read is cited instead.", (_finding(line, claim),))


def _finding(line: Line, claim: str) -> dict[str, Any]:
    return {"claim": claim, "file": line.path, "line": line.number, "evidence": line.text}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _shortened(question: str) -> str:
    return question if len(question) <= _LONGEST_TITLE else f"{question[: _LONGEST_TITLE - 1]}…"


def _conform(value: Any, schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    schema = _resolved(schema, root)
    if depth > _DEEPEST_SCHEMA or not isinstance(schema, Mapping):
        return value
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        fields = value if isinstance(value, Mapping) else {}
        return {name: _field(name, fields, sub, root, depth) for name, sub in properties.items()}
    if isinstance(value, list) and "items" in schema:
        return [_conform(item, schema["items"], root, depth + 1) for item in value]
    return _typed(value, schema)


def _field(name: str, fields: Mapping[str, Any], schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    ours = next((own for own, names in _NAMES.items() if name in names and own in fields), None)
    if ours is None:
        return plain_value(_resolved(schema, root))
    return _conform(fields[ours], schema, root, depth + 1)


def _resolved(schema: Any, root: Mapping[str, Any]) -> Any:
    """Follow a reference into the schema's definitions, and take the first choice that isn't null."""
    if not isinstance(schema, Mapping):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target: Any = root
        for part in reference.removeprefix("#/").split("/"):
            target = target.get(part, {}) if isinstance(target, Mapping) else {}
        return target
    choices = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(choices, list):
        useful = [one for one in choices if isinstance(one, Mapping) and one.get("type") != "null"]
        return _resolved(useful[0], root) if useful else schema
    return schema


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "string" and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if schema.get("enum") and value not in schema["enum"]:
        return schema["enum"][0]
    if kind in ("integer", "number") and not isinstance(value, int):
        return 0
    return value
