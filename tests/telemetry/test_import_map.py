"""A column map is refused with every problem at once, and the example maps are good ones."""

import pytest

from dispatcher.errors import InvalidImport
from dispatcher.telemetry.import_map import read_map


def _problems(column_map, *edits):
    with pytest.raises(InvalidImport) as refused:
        column_map(*edits)
    return list(refused.value.problems)


def test_the_needed_columns_are_the_maps_own_each_once(column_map):
    assert column_map().needed == ("id", "outcome", "wall", "cost", "tokens", "at")


@pytest.mark.parametrize("name", ["llm_fs_agent_bench", "openhands_index"])
def test_the_example_maps_can_be_read(root, name):
    assert read_map(root / "examples" / "imports" / f"{name}.yml").source == name


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("schema: 1", "schema: 2", "line 1: schema: input should be '1'"),
        ("source: bench", "sourcee: bench", "line 2: sourcee: is not a known key"),
        ("source: bench", "source: ''", "line 2: source: '' is not of the form ^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,119}$"),
        ("key: [id]", "key: []", "line 3: key: is empty: state at least one"),
        ("key: [id]", "key: {a: b}", "line 3: key: is no list"),
        ("{from: tokens}", "{form: tokens}", "columns.output_tokens.from: is missing"),
        ("{from: tokens}", "tokens", "columns.output_tokens: is no mapping of keys to values"),
        ("output_tokens: {", "tokens: {", "columns.tokens: is not an importable column; these are: dispatch_id, "),
        ("output_tokens: {", "origin: {", "columns.origin: is not an importable column"),
        ("unit: usd", "unit: eur", "columns.cost_nanousd.unit: input should be 'ms'"),
        ("unit: usd", "unit: ms", "the unit ms doesn't fit an amount of money; nanousd, microusd, cents, usd does"),
        (", unit: ms", "", "columns.response_time_ms: state the unit of the file's numbers: ms, s, us"),
        ("{from: tokens}", "{from: tokens, unit: s}", "the unit s doesn't fit a count; count does"),
        ("ok: success", "ok: succes", "columns.status: 'succes' is none of success, error, cancelled, lost"),
        ("ok: success", "ok: success, ok: error", "line 5: the key ok stands here a second time"),
        ("{from: tokens}", "{from: tokens, default: many}", "columns.output_tokens: 'many' is not a number"),
        ("{from: tokens}", "{from: [id, tokens]}", "columns.output_tokens: several columns are joined by a text"),
        ("{from: tokens}", "{from: [id, tokens], join: ':'}", "joined columns are a text, and this column is a count"),
        ("{from: at}", "{from: at, join: ':'}", "columns.created_at: several columns are joined"),
        ("{from: at}", "{from: at, less: wall}", "less goes with a count, and this column is a moment"),
        ("{from: at}", "{from: at, zone: Mars}", "columns.created_at.zone: 'Mars' is not a time zone"),
        ("{from: at}", "{from: at, zero_is_unknown: true}", "zero_is_unknown goes with a number"),
        ("{from: tokens}", "{from: tokens, format: '%Y'}", "format and zone go with a moment"),
        ("{from: tokens}", "{from: tokens, zero_is_unknown: so}", "zero_is_unknown: input should be a valid boolean"),
        ("feature: agent_research, ", "", "line 1: feature is missing: every row has it, so map"),
        ("tenant: bench", "tenant: bench, role: chief", "constants.role: 'chief' is none of served, fallback, shadow"),
        ("tenant: bench", "tenant: ''", "line 10: constants.tenant: is empty"),
        (
            "tenant: bench",
            "tenant: bench, status: lost",
            "line 10: constants.status: is mapped and constant at once: state one of the two",
        ),
        ("tenant: bench", "tenant: bench, origin: production", "constants.origin: is not an importable column"),
        ("tenant: bench", "tenant: bench, source: *x", "is not YAML: an alias stands for another value"),
    ],
)
def test_what_a_map_may_not_say_is_named_with_its_place(column_map, old, new, problem):
    assert any(problem in found for found in _problems(column_map, (old, new)))


def test_all_problems_are_listed_at_once(column_map):
    edits = (("unit: usd", "unit: s"), ("ok: success", "ok: fine"), ("tenant: bench", "role: none"))

    assert _problems(column_map, *edits) == [
        "line 1: tenant is missing: every row has it, so map a column to it or state a constant",
        "line 5: columns.status: 'fine' is none of success, error, cancelled, lost",
        "line 7: columns.cost_nanousd: the unit s doesn't fit an amount of money; nanousd, microusd, cents, usd does",
        "line 10: constants.role: 'none' is none of served, fallback, shadow",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "can't be read: No such file or directory"),
        (b"", "line 1: is not a YAML mapping of keys to values"),
        (b"- a\n", "line 1: is not a YAML mapping of keys to values"),
        (b"a: [\n", "is not YAML"),
        (b"a: 1\nb: \xff\n", "line 2: is not UTF-8"),
        (b"#" * 1_000_001, "is larger than 1000000 bytes"),
    ],
)
def test_a_file_that_is_no_map_is_one_clear_error(tmp_path, content, problem):
    path = tmp_path / "map.yml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InvalidImport, match=str(path)) as refused:
        read_map(path)

    assert problem in str(refused.value)


def test_a_scalar_is_the_text_it_is_written_as(column_map):
    built = column_map(("ok: success", "007: success, yes: error, 1.0: error"))

    assert {"007", "yes", "1.0", "bad", ""} == set(built.columns["status"].map)
