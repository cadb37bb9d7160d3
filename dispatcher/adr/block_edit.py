"""Writing measured values into a record's block, without touching anything else of the file. Pure.

Values are replaced where their key stands and added where it doesn't, in the style of the mapping around them: a key to
a line, or between braces. Comments, order and layout stay.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from dispatcher.adr.document import Record
from dispatcher.adr.markdown import take_apart
from dispatcher.adr.reader import BLOCK_INFO


def with_baseline(record: Record, criterion_id: str, values: Mapping[str, str]) -> str:
    """The text of a record's file with these YAML values in the baseline of one of its criteria."""
    text = record.text.replace("\r\n", "\n")
    fence = next(each for each in take_apart(text).fences if each.info == BLOCK_INFO)
    lines = text.split("\n")
    start = fence.line - 1
    end = start + len(fence.text.split("\n"))
    edited = _edited(fence.text, criterion_id, values)
    return "\n".join([*lines[:start], *edited.split("\n"), *lines[end:]])


def _edited(block: str, criterion_id: str, values: Mapping[str, str]) -> str:
    baseline = _baseline_of(yaml.compose(block, Loader=yaml.SafeLoader), criterion_id)
    found = {key.value: value for key, value in baseline.value}
    edits = []
    for name, value in values.items():
        if name in found:
            edits.append((found[name].start_mark.index, _end_of(found[name]), value))
    missing = {name: value for name, value in values.items() if name not in found}
    if missing:
        edits.append(_addition(block, baseline, missing))
    for start, end, value in sorted(edits, reverse=True):
        block = block[:start] + value + block[end:]
    return block


def _addition(block: str, baseline: MappingNode, missing: Mapping[str, str]) -> tuple[int, int, str]:
    key, last = baseline.value[-1]
    at = _end_of(last)
    if baseline.flow_style:
        return at, at, "".join(f", {name}: {value}" for name, value in missing.items())
    line_end = block.find("\n", at)
    at = len(block) if line_end < 0 else line_end
    indent = " " * key.start_mark.column
    return at, at, "".join(f"\n{indent}{name}: {value}" for name, value in missing.items())


def _end_of(node: Node) -> int:
    """Where a value ends; a mapping or list in block style is marked to reach beyond its last value."""
    if isinstance(node, MappingNode) and not node.flow_style and node.value:
        return _end_of(node.value[-1][1])
    if isinstance(node, SequenceNode) and not node.flow_style and node.value:
        return _end_of(node.value[-1])
    return node.end_mark.index


def _baseline_of(root: Node | None, criterion_id: str) -> MappingNode:
    assert isinstance(root, MappingNode)
    criteria = _value(root, "criteria")
    assert isinstance(criteria, SequenceNode)
    for criterion in criteria.value:
        name = _value(criterion, "id")
        if isinstance(name, ScalarNode) and name.value == criterion_id:
            baseline = _value(criterion, "baseline")
            assert isinstance(baseline, MappingNode)
            return baseline
    raise KeyError(criterion_id)


def _value(node: Node, name: str) -> Node | None:
    assert isinstance(node, MappingNode)
    return next((value for key, value in node.value if key.value == name), None)
