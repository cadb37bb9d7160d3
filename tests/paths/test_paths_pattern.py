"""The tools' pattern language: what it refuses, with a reason that helps, and how large a pattern may be."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.paths.repository.pattern import Pattern, parse_pattern


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RETRY_LIMIT", Pattern("RETRY_LIMIT", "RETRY_LIMIT")),
        (r"a\.b(c|d)*?", Pattern(r"a\.b(c|d)*", r"a\.b(?:c|d)*")),
        ("^a*$", Pattern("^a*$", "^a*$", may_be_empty=True)),
        ("(a|b?)+", Pattern("(a|b?)+", "(?:a|b?)+", may_be_empty=True)),
        ("interface{}", Pattern(r"interface\{}", r"interface\{\}")),
        ("x{,3}y{2}z{4,}", Pattern("x{0,3}y{2,2}z{4,}", "x{0,3}y{2,2}z{4,}")),
        (r"[\]^-]", Pattern("[]^-]", r"[\]\^\-]")),
        (r"[^\w.]", Pattern("[^.[:alnum:]_]", r"[^.\p{Alphabetic}\p{Nd}_]")),
        (r"[\^]", Pattern(r"\^", r"[\^]")),
        (r"\d\s", Pattern("[0-9][ \t\r\f\v]", "[0-9][ \t\r\f\v]")),
    ],
)
def test_a_pattern_is_spelled_for_both_programs(text: str, expected: Pattern) -> None:
    assert parse_pattern(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(", "never closed"),
        ("(a", "never closed"),
        ("a)", "has no ("),
        (")", "has no ("),
        ("[", "never closed"),
        ("[]", "never closed"),
        ("[a-", "never closed"),
        ("[b-a]", "wrong way round"),
        ("[a-\\w]", "must end with a character"),
        ("[[:word:]]", "is not known"),
        ("[[=a=]]", "not known"),
        ("[\\W]", "not known"),
        ("[\u0100-\uffff]", "longer than"),
        ("a|", "is empty"),
        ("|a", "is empty"),
        ("a||b", "is empty"),
        ("()", "is empty"),
        ("*a", "nothing before *"),
        ("a|+", "nothing before +"),
        ("({2})", "nothing before {"),
        ("a**", "repeated twice"),
        ("a++", "repeated twice"),
        ("a{2}{3}", "repeated twice"),
        ("^*", "can't be repeated"),
        ("\\b+", "can't be repeated"),
        ("(\\b[ab])+a", "can't be repeated"),
        ("((^a)|b){2}", "can't be repeated"),
        ("a{2,1}", "wrong way round"),
        ("a\\", "ends with a backslash"),
        ("a\\n", "line by line"),
        ("(a)\\1", "back-references"),
        ("\\pL", "\\p is not known"),
        ("\\x41", "\\x is not known"),
        ("(?i)a", "no look-around, names or flags"),
        ("(?=a)", "no look-around, names or flags"),
        ("(?<!a)b", "no look-around, names or flags"),
        ("(?P<name>a)", "no look-around, names or flags"),
        ("a{1001}", "more than 1000"),
        ("((a{30}){30}){30}", "more than 1000"),
        ("(" * 60 + "a" + ")" * 60, "deeper than 50"),
    ],
)
def test_what_the_two_programs_understand_differently_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the reason is compared below
        parse_pattern(text)

    assert reason in str(raised.value)


@given(st.text("ab(|)*+?{}[]^$-\\:.,0123459wdsbBn&~é ", max_size=30))
def test_any_text_is_a_pattern_or_a_value_error(text: str) -> None:
    try:
        parsed = parse_pattern(text)
    except ValueError:
        return
    assert parsed.posix
    assert parsed.rust


@pytest.mark.parametrize("text", ["(" * 1000, "[" * 1000, "a{999}" * 166, "\\" * 999, "(a|" * 333, "[a-" * 333])
def test_reading_a_pattern_is_quick_and_not_deep(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ValueError):  # noqa: PT011 - only that it ends is of interest
        parse_pattern(text)

    assert time.perf_counter() - began < 1
