"""A YAML text as plain values, each with the line it stands on.

YAML's surprises are refused rather than resolved: a key twice, an alias, a tag, and numbers that only YAML 1.1 reads
as numbers (`036` is octal there, `1:30` is 90); those stay text and fail where a number is due.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,30}")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_SURROGATE = re.compile("[\ud800-\udfff]")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong, and on which line of the file, counted from 1.

    What stands before the `@` of an address may be a token, and is not shown.
    """

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {_CREDENTIALS.sub('…@', self.text)}"


@dataclass(slots=True)
class Tree:
    """The values of a YAML text, the line of every path in it, and what is wrong with the text."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, path: Path) -> int:
        """The line of the path, or of the nearest value around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


class _Loader(yaml.SafeLoader):
    """Composes nodes only; every scalar is text until `_scalar` looks at it."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the name and form are PyYAML's

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "an alias stands for another value", mark)
        return super().compose_node(parent, index)

    def compose_scalar_node(self, anchor: dict[str, Node]) -> ScalarNode:
        node = super().compose_scalar_node(anchor)
        if _SURROGATE.search(node.value):
            said = "an escape is half a character: write the character itself"
            raise yaml.composer.ComposerError(None, None, said, node.start_mark)
        return node

    def get_single_node(self) -> Node | None:
        try:
            return super().get_single_node()
        except (ValueError, OverflowError):
            # PyYAML makes numbers of escapes and of the version without looking at their size.
            mark = self.get_mark()
            raise yaml.MarkedYAMLError(problem="an escape or a version is out of range", problem_mark=mark) from None


def read_tree(text: str, first_line: int, *, typed: bool) -> Tree:
    """Read a YAML mapping whose first line is `first_line` of its file; never raises.

    Where `typed` is false every scalar stays the text it is written as.
    """
    tree = Tree(lines={(): first_line})
    try:
        root = _Loader(text).get_single_node()
        if not isinstance(root, MappingNode):
            tree.problems.append(Problem(first_line, "is not a YAML mapping of keys to values"))
        else:
            tree.value = _build(root, (), first_line, tree, typed=typed)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + (mark.line if mark else 0)
        tree.problems.append(Problem(line, f"is not YAML: {_sentence(error)}"))
    except yaml.YAMLError as error:
        tree.problems.append(Problem(first_line, f"is not YAML: {str(error).splitlines()[0]}"))
    except RecursionError:
        tree.problems.append(Problem(first_line, "is nested too deeply"))
    return tree


def _sentence(error: yaml.MarkedYAMLError) -> str:
    found = error.problem or "it can't be parsed"
    # What was expected stands in the context only where the problem goes on from it.
    return f"{error.context}, {found}" if found.startswith("but ") else found


def _build(node: Node, path: Path, first_line: int, tree: Tree, *, typed: bool) -> Any:
    tree.lines.setdefault(path, first_line + node.start_mark.line)
    if node.tag not in _PLAIN_TAGS:
        tree.problems.append(Problem(first_line + node.start_mark.line, f"has the tag {node.tag}; write a plain value"))
    if isinstance(node, ScalarNode):
        return _scalar(node) if typed else node.value
    if isinstance(node, MappingNode):
        return _mapping(node, path, first_line, tree, typed=typed)
    return [_build(item, (*path, i), first_line, tree, typed=typed) for i, item in enumerate(node.value)]


def _mapping(node: MappingNode, path: Path, first_line: int, tree: Tree, *, typed: bool) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = first_line + key_node.start_mark.line
        if not isinstance(key_node, ScalarNode):
            tree.problems.append(Problem(line, "has a key that is not a word"))
            continue
        key = str(key_node.value)
        if key in built:
            tree.problems.append(Problem(line, f"the key {key} stands here a second time"))
            continue
        tree.lines[(*path, key)] = line
        built[key] = _build(value_node, (*path, key), first_line, tree, typed=typed)
    return built


def _scalar(node: ScalarNode) -> str | int | bool | Decimal | None:
    text: str = node.value
    if node.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return Decimal(text) if _DECIMAL.fullmatch(text) else text
