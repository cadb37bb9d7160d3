"""The published figures of KD-0650 give every published ratio, and the limit that the spike made vacuous."""

import csv
from fractions import Fraction

import pytest

from dispatcher.adr.reader import find_record, parse_record
from dispatcher.errors import InvalidRecord
from dispatcher.telemetry.distribution import Times
from dispatcher.telemetry.published import published_table, read_published
from dispatcher.telemetry.spike import compare

RECORD = "KD-0650"
SPIKE, SONNET, HAIKU = 'spike, "production-shape" prompt', "smoke, Sonnet 4.6", "smoke, Haiku 4.5"


@pytest.fixture
def published(root):
    return read_published(root / "adrs", RECORD)


@pytest.fixture
def comparison(root, published):
    return compare(published, find_record(root / "adrs", RECORD))


@pytest.fixture
def quoted(shared):
    """The published figures as the shared table quotes them: (table, metric) → value."""
    with shared("kendo_published/published.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row["table"], row["metric"]): row for row in rows if row["table"] != "spike_3_prompts"}


def test_the_figures_beside_the_record_are_the_quoted_ones(published, quoted):
    production = {metric: row for (table, metric), row in quoted.items() if table == "production_30d"}
    spike = next(run for run in published.runs if run.kind == "spike")

    assert {metric: int(row["value"]) for metric, row in production.items()} == {
        name: int(value) for name, value in published.production.response_time_ms
    }
    assert {row["n"] for row in production.values()} == {str(published.production.n)}
    assert {row["source_url"] for row in production.values()} == {published.production.source}
    named = {"wall": spike.response_time_ms, "tool_calls": spike.tool_calls, "input_tokens": spike.input_tokens}
    assert {name: int(quoted["spike_production_shape", name]["value"]) for name in named} == named


@pytest.mark.parametrize(
    ("run", "denominator", "numerator_ms", "denominator_ms", "rounded"),
    [
        (SPIKE, "production p95", 483_000, 28_036, "17.23"),
        (SPIKE, "production p50", 483_000, 18_703, "25.82"),
        (SONNET, "production p95", 191_000, 28_036, "6.81"),
        (HAIKU, "production p95", 125_000, 28_036, "4.46"),
        (SONNET, "production p50", 191_000, 18_703, "10.21"),
        (HAIKU, "production p50", 125_000, 18_703, "6.68"),
        (SONNET, "limit of AC-7", 191_000, 42_054, "4.54"),
        (HAIKU, "limit of AC-7", 125_000, 42_054, "2.97"),
    ],
)
def test_every_published_ratio_is_exact_and_names_its_denominator(
    comparison, run, denominator, numerator_ms, denominator_ms, rounded
):
    (ratio,) = (item for item in comparison.ratios if (item.run, item.denominator.name) == (run, denominator))

    assert Fraction(numerator_ms, denominator_ms) == ratio.value
    assert rounded == f"{float(ratio.value):.2f}"


def test_the_same_words_mean_three_limits_and_the_spikes_is_vacuous(comparison):
    assert [(limit.baseline.name, limit.limit_ms, limit.in_force, limit.vacuous) for limit in comparison.limits] == [
        ("production p95", 42_054, True, False),
        ("production p50", Fraction(56_109, 2), False, False),
        (SPIKE, 724_500, False, True),
    ]


def test_a_smokes_pace_shows_how_many_iterations_the_limit_leaves(comparison):
    sonnet, haiku = comparison.paces

    assert (sonnet.ms_per_iteration, sonnet.iterations_within_limit) == (7640, 5)
    assert (f"{float(haiku.ms_per_iteration):.0f}", haiku.iterations_within_limit) == ("6579", 6)
    assert [f"{float(8 * pace.ms_per_iteration) / 1000:.1f}" for pace in comparison.paces] == ["61.1", "52.6"]


def _edited(root, *edits):
    path = root / "adrs" / "KD-0650-migrate-research-to-managed-agents.md"
    text = path.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return parse_record(text.encode(), path)


def test_a_record_written_against_the_spike_has_the_vacuous_limit_in_force(root, published):
    record = _edited(root, ("value: 28036", "value: 483000"), ("source: production-telemetry", "source: spike"))
    comparison = compare(published, record)

    assert [(limit.baseline.name, limit.vacuous) for limit in comparison.limits if limit.in_force] == [(SPIKE, True)]
    assert {ratio.denominator.value_ms for ratio in comparison.ratios} == {28_036, 18_703, 724_500}


def test_a_record_that_quotes_another_figure_than_the_published_ones_is_refused(root, published):
    with pytest.raises(InvalidRecord, match="AC-7 is a multiple of 30000 ms, which is not among the published figures"):
        compare(published, _edited(root, ("value: 28036", "value: 30000")))


def test_a_record_without_a_multiple_of_a_baseline_has_nothing_to_compare(root, published):
    with pytest.raises(InvalidRecord, match="no criterion that limits the response time to a multiple of a baseline"):
        compare(published, find_record(root / "adrs", "KD-0651"))


def test_the_published_figures_stand_in_the_columns_of_a_measured_distribution(published):
    (row,) = published_table(published)

    assert (row.group, row.status, row.n, row.unmeasured) == ("messages", "success", 36, None)
    assert row.times == Times(min=3451, p50=18703, p90=26340, p95=28036, max=32214, avg=Fraction(18413))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("schema: 1", "schema: 2", "line 3: schema: input should be 1"),
        ("  n: 36", "  n: 36\n  m: 1", "production.m: is not a known key"),
        ("  n: 36\n", "", "production.n: is missing"),
        ("n: 36", "n: 36.5", "production.n: input should be a valid integer"),
        ("path: managed", "path: cma", "line 28: runs[1].path: input should be 'messages' or 'managed'"),
        ("p90: 26340", "p90: 29000", "production.response_time_ms: a distribution's figures rise from min to max"),
        ("avg: 18413", "avg: 40000", "its avg lies between these two"),
        ("kind: smoke", "kind: smoek", "line 27: runs[1].kind: input should be 'spike' or 'smoke'"),
        ("label: smoke, Haiku 4.5", "label: smoke, Sonnet 4.6", "runs: two runs have the same label"),
        ("record: KD-0650", "record: KD-0651", "holds the figures of KD-0651, not of KD-0650"),
    ],
)
def test_published_figures_that_can_not_be_are_refused(root, tmp_path, old, new, problem):
    text = (root / "adrs" / "KD-0650-published.yml").read_text()
    assert old in text
    (tmp_path / "KD-0650-published.yml").write_text(text.replace(old, new))

    with pytest.raises(InvalidRecord) as refused:
        read_published(tmp_path, RECORD)

    assert problem in str(refused.value)


def test_a_record_without_published_figures_is_one_clear_error(tmp_path):
    with pytest.raises(InvalidRecord, match=r"KD-0650-published\.yml: can't be read: No such file or directory"):
        read_published(tmp_path, RECORD)
