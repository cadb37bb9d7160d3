"""Markdown → Record, or InvalidRecord with every problem and its line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from dispatcher.adr.document import Acceptance, Places, Record, Status
from dispatcher.adr.markdown import Fence, Markdown, take_apart
from dispatcher.document.notation import Date, Line, Strict
from dispatcher.document.reading import problems_of, text_of
from dispatcher.document.tree import Path as Place
from dispatcher.document.tree import Problem, read_tree
from dispatcher.errors import InvalidRecord

BLOCK_INFO = "yaml acceptance"
_LIKE_A_BLOCK = re.compile(r"^(criteria|candidate|looks)\s*:", re.MULTILINE)
_OUT_OF_SIGHT = re.compile(r"^[\s>]*(criteria|candidate|looks|traffic|unit|assignment)\s*:\s*(?:\{.*)?$")
_A_CRITERION = re.compile(r"criteria\[(\d+)\]: (.*)", re.DOTALL)
_FEWEST_KEYS = 3

Lines = Mapping[Place, int]

RecordId = Annotated[str, Field(pattern=r"^([A-Z][A-Z0-9]{0,9}-)?[0-9]{4}$")]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FrontMatter(Strict):
    """The lifecycle of a record. `acceptance: none` is stated by a record that no telemetry judges.

    `corrects` names the records that this one corrects, each with the hash of its text as `corrections.body_hash`
    computes it; `corrected_by` is the other side.
    """

    id: RecordId
    title: Line
    status: Annotated[Status, Field(strict=False)]
    date: Date
    deciders: Annotated[list[Line], Field(min_length=1)]
    supersedes: list[RecordId] = Field(default_factory=list)
    superseded_by: RecordId | None = None
    acceptance: Literal["none"] | None = None
    corrects: dict[RecordId, Sha256] = Field(default_factory=dict)
    corrected_by: list[RecordId] = Field(default_factory=list)


def read_record(path: Path) -> Record:
    """Read one record. Raises InvalidRecord."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidRecord(path.name, [f"can't be read: {error.strerror}"]) from None
    return parse_record(content, path)


def read_records(directory: Path) -> tuple[list[Record], list[InvalidRecord]]:
    """All records of a directory sorted by id, and what can't be read; two files with one id are both unreadable.

    Every file named `*.md` is a record. Raises InvalidRecord where the directory itself can't be read.
    """
    if not directory.is_dir():
        raise InvalidRecord(str(directory), ["is not a directory; DISPATCHER_ADRS_DIR names where the records are"])
    records: dict[str, list[Record]] = {}
    errors = []
    for path in sorted(directory.glob("*.md")):
        try:
            record = read_record(path)
        except InvalidRecord as error:
            errors.append(error)
        else:
            records.setdefault(record.id, []).append(record)
    for name, same in records.items():
        if len(same) > 1:
            names = ", ".join(record.path.name for record in same)
            errors += [InvalidRecord(record.path.name, [f"{names} all have the id {name}"]) for record in same]
    return [same[0] for _, same in sorted(records.items()) if len(same) == 1], errors


def find_record(directory: Path, name: str) -> Record:
    """The record with this id. Raises InvalidRecord where it is missing or can't be read."""
    records, errors = read_records(directory)
    for record in records:
        if record.id == name:
            return record
    for error in errors:
        if re.match(rf"{re.escape(name)}(\D|$)", error.subject):
            raise error
    known = ", ".join(record.id for record in records) or "none"
    raise InvalidRecord(name, [f"there is no such record in {directory}; the readable ones are: {known}"])


def block_text(record: Record) -> str:
    """The acceptance block as its record's file has it; empty for a record without one."""
    blocks = [fence.text for fence in take_apart(record.text.replace("\r\n", "\n")).fences if fence.info == BLOCK_INFO]
    return blocks[0] if blocks else ""


def parse_block(text: str, name: str) -> Acceptance:
    """An acceptance block that was kept without its record. Raises InvalidRecord."""
    tree = read_tree(text, 1, typed=True)
    problems = list(tree.problems)
    if not problems:
        try:
            return Acceptance.model_validate(tree.value)
        except ValidationError as error:
            problems += problems_of(error, tree)
    raise InvalidRecord(name, [f"acceptance block {problem}" for problem in sorted(set(problems))])


def parse_record(content: bytes, path: Path) -> Record:
    """Read the content of a record's file; `path` is only its name. Raises InvalidRecord."""
    text = text_of(content, path.name, InvalidRecord)
    parts = take_apart(text)
    problems = list(parts.problems)
    front, keys = _front_matter(parts, problems)
    acceptance, lines = _acceptance(parts, front, problems)
    problems += _out_of_sight(text, parts)
    if front is not None and not path.name.startswith(f"{front.id}-"):
        problems.append(Problem(1, f"the file of record {front.id} is named {front.id}-….md"))
    if problems or front is None:
        raise InvalidRecord(path.name, [str(problem) for problem in sorted(set(problems))])
    return Record(
        id=front.id,
        title=front.title,
        status=front.status,
        date=front.date,
        deciders=tuple(front.deciders),
        supersedes=tuple(front.supersedes),
        superseded_by=front.superseded_by,
        sections=parts.sections,
        acceptance=acceptance,
        path=path,
        corrects=front.corrects,
        corrected_by=tuple(front.corrected_by),
        text=text,
        places=Places(keys, lines),
    )


def _front_matter(parts: Markdown, problems: list[Problem]) -> tuple[FrontMatter | None, Lines]:
    if parts.front is None:
        return None, {}
    tree = read_tree(parts.front, 2, typed=False)
    problems += [Problem(problem.line, f"front matter {problem.text}") for problem in tree.problems]
    if tree.problems:
        return None, {}
    try:
        front = FrontMatter.model_validate(tree.value)
    except ValidationError as error:
        problems += problems_of(error, tree)
        return None, {}
    if (front.status is Status.SUPERSEDED) != (front.superseded_by is not None):
        problems.append(
            Problem(tree.line_of(("status",)), "status superseded and superseded_by belong together: state both")
        )
    return front, tree.lines


def _acceptance(parts: Markdown, front: FrontMatter | None, problems: list[Problem]) -> tuple[Acceptance | None, Lines]:
    block = _only_block(parts, problems)
    if block is None:
        if front is not None and front.acceptance is None:
            text = f"has no `{BLOCK_INFO}` block; a record that no telemetry judges says `acceptance: none`"
            problems.append(Problem(1, text))
        return None, {}
    if front is not None and front.acceptance is not None:
        text = "an acceptance block, although the front matter says `acceptance: none`"
        problems.append(Problem(block.line - 1, text))
    if "Confirmation" not in block.headings:
        problems.append(Problem(block.line - 1, "the acceptance block belongs into the section Confirmation"))
    tree = read_tree(block.text, block.line, typed=True)
    problems += [Problem(problem.line, f"acceptance block {problem.text}") for problem in tree.problems]
    if tree.problems:
        return None, {}
    try:
        return Acceptance.model_validate(tree.value), tree.lines
    except ValidationError as error:
        problems += [_by_id(problem, tree.value) for problem in problems_of(error, tree)]
        return None, {}


def _by_id(problem: Problem, block: Any) -> Problem:
    """A problem of a criterion as a whole, which people know by its id and not by its place."""
    match = _A_CRITERION.match(problem.text)
    if match is None:
        return problem
    criterion = block["criteria"][int(match[1])]
    name = criterion.get("id") if isinstance(criterion, dict) else None
    known = isinstance(name, str) and re.fullmatch(r"[\w.-]+", name)
    return Problem(problem.line, f"{name}: {match[2]}") if known else problem


def _only_block(parts: Markdown, problems: list[Problem]) -> Fence | None:
    blocks = []
    for fence in parts.fences:
        if fence.info == BLOCK_INFO:
            blocks.append(fence)
        elif _looks_like_a_block(fence):
            said = f"the info string {fence.info!r}" if fence.info else "no info string"
            text = f"looks like an acceptance block but has {said}; it must be `{BLOCK_INFO}`"
            problems.append(Problem(fence.line - 1, text))
    problems += [Problem(fence.line - 1, "a second acceptance block: a record has one") for fence in blocks[1:]]
    return blocks[0] if blocks else None


def _looks_like_a_block(fence: Fence) -> bool:
    words = re.findall(r"[\w-]+", fence.info.lower())
    if words[:1] in (["markdown"], ["md"]) and BLOCK_INFO in fence.text:  # a record that is shown as an example
        return False
    return "acceptance" in words[:2] or len(set(_LIKE_A_BLOCK.findall(fence.text))) > 1


def _out_of_sight(text: str, parts: Markdown) -> list[Problem]:
    """A block in a quote, in a comment or indented, where it is no fence, in a record that has no other."""
    if any(fence.info == BLOCK_INFO or _looks_like_a_block(fence) for fence in parts.fences):
        return []
    found: dict[str, int] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        if match := _OUT_OF_SIGHT.match(line):
            found.setdefault(match[1], number)
    if len(found) < _FEWEST_KEYS:
        return []
    said = (
        "an acceptance block that nothing reads, in a quote, in a comment or indented: begin it at the margin with "
        f"```{BLOCK_INFO}"
    )
    return [Problem(min(found.values()), said)]
