"""Whatever stands in a record's file, it is a record or an InvalidRecord that says why not."""

from __future__ import annotations

import copy
import datetime as dt
import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_words import Read

from dispatcher.adr.document import Record
from dispatcher.adr.lint import problems
from dispatcher.adr.surroundings import Surroundings
from dispatcher.errors import InvalidRecord

FENCE = "```yaml acceptance\n"
AROUND = Surroundings(deadlines={"legacy": dt.timedelta(minutes=5)}, grace=dt.timedelta(minutes=1), log_was_read=True)
SCRAPS = st.sampled_from(
    ["---", "```", FENCE, "~~~", "<!--", "-->", "## Confirmation", "- ", "? ", ": ", "&a", "*a", "<<: ", "!!set", "[",
     "{", "|", ">", "%YAML 1.1", "\t", "\0", "\u2028", "\x85", "\ufeff", "0x1f", "1e999", ".nan", "2026-02-30", "'"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | SCRAPS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def block(sample: str) -> dict[str, Any]:
    """The acceptance block of KD-0650 as plain values."""
    loaded: dict[str, Any] = yaml.safe_load(sample.partition(FENCE)[2].partition("```")[0])
    return loaded


def record_or_reasons(read: Read, text: str | bytes) -> Record | None:
    refused: InvalidRecord | None = None
    try:
        record = read(text)
    except InvalidRecord as error:
        refused = error
    if refused is not None:
        assert refused.problems
        assert all(problem.strip() for problem in refused.problems)
        return None
    assert (record.acceptance is None) == (record.block_hash is None)
    problems(record, AROUND)
    return record


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [below for key, item in items for below in paths(item, (*path, key))]


def around(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        value = value[key]
    return value


@settings(max_examples=80)
@given(content=st.binary(max_size=400))
def test_any_bytes(read: Read, content: bytes) -> None:
    assert record_or_reasons(read, content) is None


@settings(max_examples=80)
@given(front=st.text(max_size=100), body=st.text(max_size=200), inside=st.text(max_size=200))
def test_any_text_in_the_shape_of_a_record(read: Read, front: str, body: str, inside: str) -> None:
    record_or_reasons(read, f"---\n{front}\n---\n{body}\n## Confirmation\n{FENCE}{inside}\n```\n")


@settings(max_examples=100)
@given(data=st.data())
def test_any_damage_to_a_good_record(read: Read, sample: str, data: st.DataObject) -> None:
    text = sample
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 1, 5, 60]))
        text = text[:start] + data.draw(SCRAPS | st.text(max_size=6)) + text[start + length :]

    record_or_reasons(read, text)


@settings(max_examples=100)
@given(data=st.data())
def test_any_value_anywhere_in_the_block(read: Read, sample: str, block: dict[str, Any], data: st.DataObject) -> None:
    damaged = copy.deepcopy(block)
    path = data.draw(st.sampled_from(paths(damaged)))
    around(damaged, path)[path[-1]] = data.draw(VALUES)

    record_or_reasons(read, sample.partition(FENCE)[0] + FENCE + yaml.safe_dump(damaged) + "```\n")


@settings(max_examples=40)
@given(data=st.data())
def test_no_key_of_the_block_may_be_missing_or_unknown(
    read: Read, sample: str, block: dict[str, Any], data: st.DataObject
) -> None:
    damaged = copy.deepcopy(block)
    path = data.draw(st.sampled_from([path for path in paths(damaged) if path[-1] in OBLIGATORY]))
    holder = around(damaged, path)
    if data.draw(st.booleans()):
        holder[f"{path[-1]}x"] = holder.pop(path[-1])
    else:
        del holder[path[-1]]

    assert record_or_reasons(read, sample.partition(FENCE)[0] + FENCE + yaml.safe_dump(damaged) + "```\n") is None


OBLIGATORY = {
    "schema", "feature", "candidate", "control", "variant", "tenants", "traffic", "looks", "cadence", "method", "alpha",
    "max_weeks", "settle", "unit", "by", "window", "assignment", "kind", "share", "max_unknown_share", "on_rollback",
    "criteria", "id", "says", "severity", "measure", "aggregate", "at_most", "at_least", "source", "where", "n",
}  # fmt: skip


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_the_order_of_keys_and_the_style_of_yaml_do_not_change_the_hash(
    read: Read, sample: str, block: dict[str, Any], seed: int
) -> None:
    order = random.Random(seed)

    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(item) for item in value]
        if not isinstance(value, dict):
            return value
        keys = order.sample(list(value), len(value))
        return {key: shuffled(value[key]) for key in keys}

    style = order.choice([None, True, False])
    text = yaml.safe_dump(shuffled(block), sort_keys=False, default_flow_style=style, allow_unicode=True, width=60)
    record = record_or_reasons(read, sample.partition(FENCE)[0] + FENCE + text + "```\n")

    assert record is not None
    assert read(sample).block_hash == record.block_hash
