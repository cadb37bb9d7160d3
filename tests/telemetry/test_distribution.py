"""The distribution report: exact figures by nearest rank, endings apart, what has no time counted."""

import datetime as dt
from fractions import Fraction

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.audit.append_only import allow_deletes
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import logs
from dispatcher.telemetry.distribution import (
    By,
    Selection,
    Times,
    distribution,
    histogram_statement,
    sql_text,
)
from dispatcher.telemetry.histogram import P50, P90, P95, Histogram, linear, nearest_rank

AT = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
PRODUCTION = Selection(feature="agent_research", origin=Origin.PRODUCTION)

# Constructed, not published: the smallest set of values that gives all six published figures under both definitions.
PUBLISHED_SHAPE = [
    *(3451, 6745, 8244, 9419, 10424, 11319, 12134, 12889, 13596, 14264, 14898, 15503, 16084, 16643, 17183, 17705),
    *(18211, 18703, 18703, 19055, 19511, 20017, 20559, 21129, 21723, 22336, 22968, 23615, 24277, 24953, 25641, 26340),
    *(26340, 28036, 28036, 32214),
]


@pytest.fixture
def insert(engine):
    """`insert(values, …)`: one row for each wall time, as a finished production row of `agent_research`."""
    count = iter(range(10**6))

    def rows(values, **columns):
        given_columns = {
            "attempt": 1,
            "role": "served",
            "origin": "production",
            "time_scale": 1.0,
            "feature": "agent_research",
            "tenant": "script",
            "created_at": AT,
            "path": "messages",
            "variant": "legacy",
            "status": "success",
            **columns,
        }
        made = [
            {**given_columns, "log_id": f"row-{i}", "dispatch_id": f"row-{i}", "response_time_ms": value}
            for i, value in zip(count, values, strict=False)
        ]
        with engine.begin() as connection:
            connection.execute(sa.insert(logs), made)

    return rows


@pytest.fixture
def report(engine):
    def read(selection=PRODUCTION, by=By.PATH):
        with engine.connect() as connection:
            return distribution(connection, selection, by)

    return read


def test_the_published_six_figures_follow_from_36_rows_of_the_table(insert, report):
    insert(PUBLISHED_SHAPE)
    (row,) = report()

    assert (row.group, row.status, row.n, row.unmeasured) == ("messages", "success", 36, 0)
    assert row.times == Times(min=3451, p50=18703, p90=26340, p95=28036, max=32214, avg=Fraction(18413))


def test_the_production_query_of_the_source_gives_the_six_figures_under_both_definitions(engine, insert):
    insert(PUBLISHED_SHAPE)
    insert([1, 99_999], status="error")
    insert([1, 99_999], created_at=AT - dt.timedelta(days=31))
    query = (
        "SELECT response_time_ms, input_tokens, output_tokens FROM ai_outbound_logs WHERE feature='agent_research' "
        "AND status='success' AND created_at >= datetime('2026-05-09', '-30 days')"
    )
    with engine.connect() as connection:
        values = [row[0] for row in connection.exec_driver_sql(query)]
    histogram = Histogram({value: values.count(value) for value in values})

    for percentile in (nearest_rank, linear):
        figures = [percentile(histogram, share) for share in (P50, P90, P95)]
        assert [
            histogram.min,
            *figures,
            histogram.max,
            histogram.mean,
            histogram.n,
        ] == [3451, 18703, 26340, 28036, 32214, 18413, 36]


def test_endings_are_apart_and_successes_come_first(insert, report):
    insert([10, 20, 30])
    insert([1000], status="error")
    insert([500], status="cancelled")
    insert([None], status="started")
    insert([7], path="managed")

    assert [(row.status, row.group, row.n, row.times and row.times.max) for row in report()] == [
        ("success", "managed", 1, 7),
        ("success", "messages", 3, 30),
        ("error", "messages", 1, 1000),
        ("cancelled", "messages", 1, 500),
        ("started", "messages", 0, None),
    ]


def test_a_row_without_a_time_is_counted_and_measured_nowhere(insert, report):
    insert([10, None, None])
    (row,) = report()

    assert (row.n, row.unmeasured, row.times.avg) == (1, 2, 10)


def test_rows_of_another_origin_feature_or_time_are_in_no_figure(insert, report):
    insert([10])
    insert([99], origin="simulated")
    insert([99], feature="other")
    insert([99], created_at=AT - dt.timedelta(seconds=1))
    insert([99], created_at=AT + dt.timedelta(days=1))
    day = Selection(feature="agent_research", origin=Origin.PRODUCTION, since=AT, until=AT + dt.timedelta(days=1))

    assert [(row.n, row.times.max) for row in report(day)] == [(1, 10)]


@pytest.mark.parametrize(
    ("by", "groups"), [(By.PATH, ["messages", None]), (By.VARIANT, ["legacy"]), (By.TENANT, ["acme", "script"])]
)
def test_rows_are_grouped_by_what_was_asked_for_and_the_unknown_come_last(insert, report, by, groups):
    insert([10])
    insert([20], tenant="acme", path=None)

    assert [row.group for row in report(by=by)] == groups


def test_a_time_on_another_scale_is_told(insert, report):
    insert([10])
    insert([10], time_scale=0.02)
    (row,) = report()

    assert (row.n, row.time_scales) == (2, (0.02, 1.0))


def test_no_rows_are_no_figures(report):
    assert report() == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_the_figures_are_those_of_the_values_one_by_one(engine, insert, report, values):
    with engine.connect() as connection, allow_deletes(connection):
        connection.execute(sa.delete(logs))
    insert(values)
    (row,) = report()
    ordered = sorted(values)

    def ranked(percent):
        return ordered[-(-percent * len(ordered) // 100) - 1]

    assert (row.n, row.times.min, row.times.max) == (len(values), ordered[0], ordered[-1])
    assert (row.times.p50, row.times.p90, row.times.p95) == (ranked(50), ranked(90), ranked(95))
    assert row.times.avg == Fraction(sum(values), len(values))


def test_the_sql_of_a_report_can_be_run_by_hand_and_holds_its_values(engine, insert):
    insert([10, 10, 20])
    selection = Selection(feature="agent_research", origin=Origin.PRODUCTION, since=AT)
    text = sql_text(histogram_statement(selection, By.PATH), engine.dialect)
    with engine.connect() as connection:
        found = sorted(tuple(row) for row in connection.exec_driver_sql(text))

    assert "'agent_research'" in text
    assert found == [("messages", "success", 1.0, 10, 2), ("messages", "success", 1.0, 20, 1)]
