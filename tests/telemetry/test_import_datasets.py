"""Real data that nobody here wrote is imported by its example map, and its statistics are those beside it."""

import csv
import gzip
from collections import Counter

import pytest
import sqlalchemy as sa
from import_files import import_file

from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import logs
from dispatcher.telemetry.distribution import By, Selection, distribution
from dispatcher.telemetry.histogram import P50, P90, P95, Histogram, linear, nearest_rank
from dispatcher.telemetry.import_map import read_map

FILES = {"llm_fs_agent_bench": "runs.csv.gz", "openhands_index": "instances.csv.gz"}
ZEROS_ARE_UNKNOWN = "unit: usd, zero_is_unknown: true"
SUCCESS = logs.c.status == "success"
# The expected figures have eight decimals, and each cost was rounded to the nano-dollar.
WRITTEN, ROUNDED = 5.1e-9, 0.5e-9


@pytest.fixture(scope="module")
def imported(root, shared, tmp_path_factory):
    """`imported(name, zeros=…)`: a log with the data set, its zero costs kept or unknown; `benchmark` takes a part."""
    engines = {}

    def once(name, *, zeros, benchmark=None):
        if (name, zeros, benchmark) not in engines:
            whole, folder = shared(f"{name}/dev/{FILES[name]}"), tmp_path_factory.mktemp(name)
            engine = engines[name, zeros, benchmark] = open_engine(f"sqlite:///{folder}/log.db")
            text = (root / "examples" / "imports" / f"{name}.yml").read_text()
            assert ZEROS_ARE_UNKNOWN in text
            (folder / "map.yml").write_text(text.replace(ZEROS_ARE_UNKNOWN, "unit: usd") if zeros else text)
            import_file(engine, read_map(folder / "map.yml"), _part(whole, benchmark, folder))
        return engines[name, zeros, benchmark]

    yield once
    for engine in engines.values():
        engine.dispose()


def _part(path, benchmark, folder):
    if benchmark is None:
        return path
    with gzip.open(path, "rt", newline="") as file:
        lines = file.readlines()
    part = folder / "part.csv"
    part.write_text("".join([lines[0], *(line for line in lines[1:] if line.startswith(f"{benchmark},"))]))
    return part


def _expected(shared, name, which):
    with shared(f"{name}/dev/expected_stats.csv").open(newline="") as file:
        found = {row["arm"]: row for row in csv.DictReader(file) if row["filter"] == which}
    assert found
    return found


def _counted(engine, *columns, where):
    """Rows grouped by arm: the arm, then the columns."""
    statement = sa.select(logs.c.variant, *columns).where(where).group_by(logs.c.variant)
    with engine.connect() as connection:
        return {row[0]: row[1:] for row in connection.execute(statement)}


def _histograms(engine, where):
    times = logs.c.response_time_ms
    statement = sa.select(logs.c.variant, times, sa.func.count()).where(where, times.is_not(None))
    found = {}
    with engine.connect() as connection:
        for arm, value, n in connection.execute(statement.group_by(logs.c.variant, times)):
            found.setdefault(arm, Counter())[value] += n
    return {arm: Histogram(counts) for arm, counts in found.items()}


@pytest.mark.parametrize("which", ["all", "success"])
@pytest.mark.parametrize("name", FILES)
def test_the_wall_times_of_every_arm_are_the_expected_ones_in_both_definitions(imported, shared, name, which):
    where = SUCCESS if which == "success" else sa.true()
    histograms = _histograms(imported(name, zeros=True), where)

    for arm, row in _expected(shared, name, which).items():
        histogram = histograms.get(arm, Histogram({}))
        assert int(row["n_wall"] or 0) == histogram.n
        if histogram.n:
            ours = {
                "min_ms": histogram.min,
                "max_ms": histogram.max,
                "mean_ms": histogram.mean,
                **{f"p{p}_nearest_rank": nearest_rank(histogram, q) for p, q in ((50, P50), (90, P90), (95, P95))},
                **{f"p{p}_linear": linear(histogram, q) for p, q in ((50, P50), (90, P90), (95, P95))},
            }
            assert {key: float(row[key]) for key in ours} == pytest.approx(
                {key: float(value) for key, value in ours.items()}, abs=WRITTEN, rel=0
            )


@pytest.mark.parametrize("which", ["all", "success"])
@pytest.mark.parametrize("name", FILES)
def test_the_counts_and_costs_of_every_arm_are_the_expected_ones(imported, shared, name, which):
    cost = logs.c.cost_nanousd
    counted = _counted(
        imported(name, zeros=True),
        sa.func.count(),
        sa.func.count(cost),
        sa.func.sum(cost),
        sa.func.count().filter(cost == 0),
        sa.func.count().filter(logs.c.status.in_(["success", "error"])),
        sa.func.count().filter(SUCCESS),
        where=SUCCESS if which == "success" else sa.true(),
    )

    for arm, row in _expected(shared, name, which).items():
        n, n_cost, total, zeros, known, succeeded = counted.get(arm, (0, 0, None, 0, 0, 0))
        assert [int(row[key]) for key in ("n", "n_cost", "n_cost_zero", "n_success_known")] == [n, n_cost, zeros, known]
        if n_cost:
            assert float(row["sum_cost_usd"]) == pytest.approx(total / 1e9, abs=WRITTEN + n_cost * ROUNDED, rel=0)
            assert float(row["mean_cost_usd"]) == pytest.approx(total / 1e9 / n_cost, abs=WRITTEN + ROUNDED, rel=0)
        if known:
            assert float(row["success_rate"]) == pytest.approx(succeeded / known, abs=WRITTEN, rel=0)


@pytest.mark.parametrize(("name", "benchmark"), [("llm_fs_agent_bench", None), ("openhands_index", "commit0")])
def test_the_example_map_leaves_a_zero_cost_unknown_and_its_mean_is_that_of_the_others(
    imported, shared, name, benchmark
):
    cost = logs.c.cost_nanousd
    engine = imported(name, zeros=False, benchmark=benchmark)
    counted = _counted(engine, sa.func.count(cost), sa.func.sum(cost), sa.func.min(cost), where=sa.true())
    expected = _expected(shared, name, "all")

    assert any(int(expected[arm]["n_cost_zero"]) for arm in counted)
    for arm, (n_cost, total, smallest) in counted.items():
        row = expected[arm]
        assert int(row["n_cost"]) - int(row["n_cost_zero"]) == n_cost
        assert row["mean_cost_nonzero_usd"] == "" or smallest > 0
        if n_cost:
            mean = total / 1e9 / n_cost
            assert float(row["mean_cost_nonzero_usd"]) == pytest.approx(mean, abs=WRITTEN + ROUNDED, rel=0)


def test_the_report_on_the_imported_rows_shows_the_expected_successes_by_nearest_rank(imported, shared):
    engine = imported("llm_fs_agent_bench", zeros=True)
    with engine.connect() as connection:
        rows = distribution(connection, Selection(feature="agent_bench", origin=Origin.IMPORT), By.VARIANT)
    reported = {row.group: row for row in rows if row.status == "success"}

    for arm, row in _expected(shared, "llm_fs_agent_bench", "success").items():
        if arm in reported:
            times = reported[arm].times
            assert (int(row["n_wall"]), float(row["p50_nearest_rank"])) == (reported[arm].n, times.p50)
            assert (float(row["p90_nearest_rank"]), float(row["p95_nearest_rank"])) == (times.p90, times.p95)
        else:
            assert row["n"] == "0"


def test_importing_a_data_set_again_adds_nothing(imported, root, shared):
    name = "llm_fs_agent_bench"
    column_map = read_map(root / "examples" / "imports" / f"{name}.yml")
    report = import_file(imported(name, zeros=False), column_map, shared(f"{name}/dev/{FILES[name]}"))

    assert (report.lines, report.added, report.repeated) == (187, 0, 187)


def test_the_llm_bench_counts_uncached_input_only(imported, shared):
    with gzip.open(shared("llm_fs_agent_bench/dev/runs.csv.gz"), "rt", newline="") as file:
        known = [row for row in csv.DictReader(file) if int(row["input_tokens"] or 0) > 0]
    expected = sum(int(row["input_tokens"]) - int(row["cache_read_tokens"]) for row in known)
    with imported("llm_fs_agent_bench", zeros=True).connect() as connection:
        found = connection.execute(sa.select(sa.func.count(logs.c.input_tokens), sa.func.sum(logs.c.input_tokens)))

        assert (len(known), expected) == tuple(found.one())


def test_an_instance_without_a_verdict_is_neither_success_nor_error(imported, shared):
    counted = _counted(imported("openhands_index", zeros=True), sa.func.count(), where=logs.c.status == "lost")

    assert sum(n for (n,) in counted.values()) == 288
