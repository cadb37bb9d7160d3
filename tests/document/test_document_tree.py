"""A text is a tree of plain values with their lines, or a list of what is wrong with it; never an exception."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dispatcher.document.tree import Problem, Tree, read_tree

SCRAPS = st.sampled_from(
    ["---\n", "...\n", "- ", "? ", ": ", "a: ", "\n", "  ", "&a ", "*a", "<<: ", "!!set ", "!x ", "!<%FF> ", "[", "]",
     "{", "}", ", ", "|", ">-", "%YAML 1.1\n", "%TAG ! x\n", "\t", "\0", "\u2028", "\x85", "\ufeff", "0x1f", "1e999",
     "\ud800", '"\\UFFFFFFFF"', '"\\uD800"', ".nan", "036", "1:30", "'", '"', "#"]
)  # fmt: skip


def problems(text: str, first_line: int = 1, *, typed: bool = True) -> list[str]:
    return [str(problem) for problem in read_tree(text, first_line, typed=typed).problems]


def checked(text: str, *, typed: bool) -> Tree:
    """The tree, of which every claim that holds for any text has been asserted."""
    tree = read_tree(text, 7, typed=typed)
    lines = range(7, 7 + len(text.splitlines()) + 1)
    assert (tree.value is None) <= bool(tree.problems)
    assert all(problem.text.strip() for problem in tree.problems)
    assert {*tree.lines.values(), *(problem.line for problem in tree.problems)} <= {*lines}
    for value in scalars(tree.value):
        str(value).encode()
    return tree


def scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in [key, *scalars(item)]]
    return [found for item in value for found in scalars(item)] if isinstance(value, list) else [value]


@settings(max_examples=300)
@given(
    text=st.text(max_size=300) | st.lists(SCRAPS | st.text(max_size=4), max_size=25).map("".join), typed=st.booleans()
)
@example(text='a: "\\UFFFFFFFF"', typed=True)
@example(text='a: "\\uD800"', typed=True)
@example(text="%YAML 1." + "1" * 5000 + "\n---\na: 1", typed=True)
@example(text="a: " + "[" * 1500, typed=False)
@example(text="a: " + "{a: " * 1500, typed=True)
@example(text="- " * 1500, typed=True)
@example(text="? " * 1500, typed=True)
def test_no_text_raises(text: str, typed: bool) -> None:
    checked(text, typed=typed)


PLAIN = st.text(st.characters(codec="utf-8"), max_size=20)
DOCUMENTS = st.dictionaries(
    PLAIN,
    st.recursive(
        PLAIN | st.integers(-(10**17), 10**17) | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@settings(max_examples=150)
@given(document=DOCUMENTS, flow=st.sampled_from([None, True, False]))
def test_what_is_written_is_what_is_read(document: dict[str, Any], flow: bool | None) -> None:
    # A text is quoted, because without quotes another reader's idea of a number is in question.
    class Quoting(yaml.SafeDumper):
        pass

    Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
    text = yaml.dump(document, Dumper=Quoting, default_flow_style=flow, sort_keys=False)

    tree = checked(text, typed=True)

    assert (document, []) == (tree.value, tree.problems)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("1.50", Decimal("1.50")),
        ("-0.1", Decimal("-0.1")),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'7'", "7"),
        ('"true"', "true"),
        ("''", ""),
        ("036", "036"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("1e3", "1e3"),
        ("1:30", "1:30"),
        (".5", ".5"),
        ("+5", "+5"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("yes", "yes"),
        ("True", "True"),
        ("2026-05-09", "2026-05-09"),
        ("1234567890123456789", "1234567890123456789"),
        ("٣", "٣"),
    ],
)
def test_only_what_everybody_reads_as_a_number_or_a_truth_is_one(written: str, value: object) -> None:
    read = read_tree(f"a: {written}", 1, typed=True).value["a"]

    assert (value, type(value)) == (read, type(read))


@pytest.mark.parametrize("written", ["7", "1.50", "true", "null", "", "yes"])
def test_an_untyped_scalar_is_the_text_it_is_written_as(written: str) -> None:
    assert {"a": written} == read_tree(f"a: {written}", 1, typed=False).value


def test_every_value_has_the_line_it_stands_on() -> None:
    tree = read_tree("a: 1\nb:\n  - x\n  - c: 2\n    d: [3,\n      4]\n", 10, typed=True)

    assert tree.lines == {
        (): 10,
        ("a",): 10,
        ("b",): 11,
        ("b", 0): 12,
        ("b", 1): 13,
        ("b", 1, "c"): 13,
        ("b", 1, "d"): 14,
        ("b", 1, "d", 0): 14,
        ("b", 1, "d", 1): 15,
    }


def test_a_path_that_is_not_there_has_the_line_of_what_is_around_it() -> None:
    tree = read_tree("a: 1\nb:\n  c: 2\n", 1, typed=True)

    assert [tree.line_of(path) for path in (("b", "c", 0), ("b", "x"), ("x", "y"))] == [3, 2, 1]


def test_the_line_of_an_empty_tree_is_the_first() -> None:
    assert Tree().line_of(("a",)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 5: is not a YAML mapping of keys to values"),
        ("- a", "line 5: is not a YAML mapping of keys to values"),
        ("a", "line 5: is not a YAML mapping of keys to values"),
        ("a: 1\nb: 2\na: 3", "line 7: the key a stands here a second time"),
        ("a: 1\n'a': 2", "line 6: the key a stands here a second time"),
        ("a: {b: 1, b: 1}", "line 5: the key b stands here a second time"),
        ("a: 1\n? [b]\n: 2", "line 6: has a key that is not a word"),
        ("a: 1\nb: !!int 7", "line 6: has the tag tag:yaml.org,2002:int; write a plain value"),
        ("a: !!python/none", "line 5: has the tag tag:yaml.org,2002:python/none; write a plain value"),
        ("a: &x 1\nb: *x", "line 6: is not YAML: an alias stands for another value"),
        ("a: &x [*x]", "line 5: is not YAML: an alias stands for another value"),
        ("a: 1\n--- \nb: 1", "line 6: is not YAML: expected a single document in the stream, but found another"),
        ("a: 1\n\tb: 2", "line 6: is not YAML: found character '\\t' that cannot start any token"),
        ("a: \0", "line 5: is not YAML: unacceptable character #x0000: special characters are not allowed"),
        ("a: 1\nb: '\\ud800'\nc: \"\\ud800\"", "line 7: is not YAML: an escape is half a character: write the "),
        ('"\\ud800": 1', "line 5: is not YAML: an escape is half a character: write the character itself"),
        ('a: 1\nb: "\\UFFFFFFFF"', "line 6: is not YAML: an escape or a version is out of range"),
        ("%YAML 1." + "1" * 5000, "line 5: is not YAML: an escape or a version is out of range"),
        ("a: " + "[" * 1500, "line 5: is nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_text_is_said_with_its_line(text: str, expected: str) -> None:
    (problem,) = problems(text, 5)

    assert problem.startswith(expected)


def test_repeated_keys_and_tags_are_listed_all_at_once() -> None:
    assert problems("a: 1\na: 2\nb: !x 1\nb: 2\n") == [
        "line 2: the key a stands here a second time",
        "line 3: has the tag !x; write a plain value",
        "line 4: the key b stands here a second time",
    ]


def test_a_merge_key_is_a_key_like_any_other() -> None:
    assert read_tree("<<: {a: 1}", 1, typed=True).value == {"<<": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://secret@github.com/a/b: is wrong", "https://…@github.com/a/b: is wrong"),
        ("https://user:secret@github.com/a/b", "https://…@github.com/a/b"),
        ("'postgresql://u:se@cret@host/db' and ftp://secret@x", "'postgresql://…@host/db' and ftp://…@x"),
        ("https://github.com/a/b@main", "https://github.com/a/b@main"),
        ("'me@example.org' is not a duration", "'me@example.org' is not a duration"),
    ],
)
def test_credentials_in_an_address_are_not_shown(text: str, shown: str) -> None:
    assert f"line 3: {shown}" == str(Problem(3, text))
