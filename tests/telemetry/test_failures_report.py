"""The report of failures: counted by kind, seen twice, reach beside volume, timed apart from answers."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from freezegun import freeze_time

from dispatcher.action.failure import EngineeringView, ProductView
from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import logs
from dispatcher.cli import run
from dispatcher.telemetry.distribution import Selection, sql_text
from dispatcher.telemetry.failures import (
    Count,
    FailureReport,
    LeftOut,
    counts_statement,
    failures,
    times_statement,
)

BEGIN = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
SELECTION = Selection(
    feature="agent_research", origin=Origin.PRODUCTION, since=BEGIN, until=BEGIN + dt.timedelta(days=7)
)
ids = count()

OK = {"status": "success", "ended_by": "completed"}
OVERLOADED = {"status": "error", "ended_by": "failure", "error_type": "overloaded", "error_stage": "request"}
INVALID = {"status": "error", "ended_by": "failure", "error_type": "output_invalid", "error_stage": "output"}
CANCELLED = {"status": "cancelled", "ended_by": "cancel", "error_type": "cancelled"}


def row(ending: dict[str, Any], **given: Any) -> dict[str, Any]:
    name = f"row-{next(ids)}"
    return {
        "log_id": name,
        "dispatch_id": name,
        "attempt": 1,
        "role": "served",
        "origin": "production",
        "time_scale": 1.0,
        "feature": "agent_research",
        "tenant": "acme",
        "created_at": BEGIN + dt.timedelta(hours=1),
        **dict.fromkeys(("ended_by", "error_type", "error_stage", "response_time_ms")),
        **ending,
        **given,
    }


@pytest.fixture
def report(engine: sa.Engine) -> Callable[..., FailureReport]:
    """`report(rows)`: the report over a log that holds these rows."""

    def read(*rows: dict[str, Any], selection: Selection = SELECTION) -> FailureReport:
        with engine.begin() as connection:
            connection.execute(sa.insert(logs), list(rows))
        with engine.connect() as connection:
            return failures(connection, selection)

    return read


Report = Callable[..., FailureReport]


def test_an_empty_window_has_no_share(report: Report) -> None:
    found = report(row(OK, created_at=BEGIN - dt.timedelta(seconds=1)), row(OK, created_at=SELECTION.until))

    assert (found.failures, found.failure_share, found.unclassified_share, found.left_out) == ((), None, None, {})


def test_reach_stands_beside_volume_and_comes_first(report: Report) -> None:
    found = report(
        *(row(OVERLOADED) for _ in range(5)),
        row(INVALID),
        row(INVALID, tenant="globex"),
        row(OK, tenant="initech"),
    )

    assert [(kind.error_type, kind.error_stage, counted) for kind, counted in found.failures] == [
        ("output_invalid", "output", Count(n=2, tenants=2)),
        ("overloaded", "request", Count(n=5, tenants=1)),
    ]


def test_a_tenant_that_meets_two_kinds_is_reached_once(report: Report) -> None:
    again = {**OVERLOADED, "error_type": "rate_limited"}

    found = report(row(OVERLOADED), row(again), row(OK))

    assert found.by_engineering()[EngineeringView.PROVIDER] == Count(n=2, tenants=1)
    assert found.by_product() == {
        ProductView.ANSWERED: Count(n=1, tenants=1),
        ProductView.UNAVAILABLE: Count(n=2, tenants=1),
    }


def test_what_a_user_stopped_is_in_no_share_and_counted_apart(report: Report) -> None:
    interrupted = {"status": "error", "ended_by": "interrupt", "error_type": "interrupted", "error_stage": "stream"}

    found = report(row(OK), row(OVERLOADED), row(CANCELLED), row(interrupted), row({"status": "started"}))

    assert found.failure_share == 1 / 2
    assert [kind.error_type for kind, _ in found.failures] == ["overloaded"]
    assert found.left_out == {LeftOut.PENDING: 1, LeftOut.USER_ACTION: 2}
    assert found.by_product()[ProductView.STOPPED_BY_USER] == Count(n=2, tenants=1)


def test_an_error_without_a_name_and_one_with_a_strange_one_are_unclassified(report: Report) -> None:
    nameless, strange = {"status": "error"}, {"status": "error", "error_type": "gremlins", "error_stage": "attic"}

    found = report(row(nameless), row(strange), row(OVERLOADED), row(INVALID))

    assert found.unclassified_share == 1 / 2
    assert ("gremlins", "attic") in [(kind.error_type, kind.error_stage) for kind, _ in found.failures]


def test_a_lost_row_is_a_failure_of_ours(report: Report) -> None:
    found = report(row({"status": "lost"}), row(OK))

    assert found.failure_share == 1 / 2
    assert found.by_engineering()[EngineeringView.OURS] == Count(n=1, tenants=1)


def test_of_a_dispatch_with_a_fallback_the_user_felt_the_last_attempt_alone(report: Report) -> None:
    found = report(
        row(OVERLOADED, dispatch_id="d"),
        row(OK, dispatch_id="d", attempt=2, role="fallback", created_at=SELECTION.until - dt.timedelta(seconds=1)),
        row(OVERLOADED),
    )

    assert found.by_product() == {
        ProductView.ANSWERED: Count(n=1, tenants=1),
        ProductView.UNAVAILABLE: Count(n=1, tenants=1),
    }
    assert found.by_engineering()[EngineeringView.PROVIDER] == Count(n=2, tenants=1)
    assert found.left_out == {LeftOut.SUPERSEDED: 1}


def test_a_fallback_that_began_after_the_window_supersedes_all_the_same(report: Report) -> None:
    found = report(
        row(OVERLOADED, dispatch_id="d"),
        row(OK, dispatch_id="d", attempt=2, role="fallback", created_at=SELECTION.until),
    )

    assert found.by_product() == {}
    assert found.left_out == {LeftOut.SUPERSEDED: 1}


def test_rows_of_other_origins_features_and_shadows_are_not_read(report: Report) -> None:
    found = report(
        row(OVERLOADED, origin="spike"), row(OVERLOADED, feature="other"), row(OVERLOADED, role="shadow"), row(OK)
    )

    assert found.failure_share == 0


def test_failures_are_timed_apart_from_answers(report: Report) -> None:
    found = report(
        *(row(OK, response_time_ms=ms) for ms in (100, 200, 300)),
        row(OVERLOADED, response_time_ms=9),
        row(INVALID, response_time_ms=7),
        row({"status": "lost"}),
        row(CANCELLED, response_time_ms=1),
    )

    assert found.answered.times is not None
    assert found.failed.times is not None
    assert (found.answered.n, found.answered.times.min, found.answered.times.p50) == (3, 100, 200)
    assert (found.failed.n, found.failed.unmeasured, found.failed.times.min, found.failed.times.max) == (2, 1, 7, 9)


def test_the_sql_that_is_shown_gives_the_rows_that_were_counted(report: Report, engine: sa.Engine) -> None:
    report(row(OVERLOADED, response_time_ms=5), row(OK, response_time_ms=6), row(OK, origin="spike"))

    with engine.connect() as connection:
        for statement in (counts_statement(SELECTION), times_statement(SELECTION)):
            shown = connection.exec_driver_sql(sql_text(statement, engine.dialect)).all()

            assert sorted(map(str, shown)) == sorted(map(str, connection.execute(statement).all()))


@pytest.fixture
def cli(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`cli(rows, *options)`: what the command prints over a log of its own with these rows."""
    url = f"sqlite:///{tmp_path}/log.db"
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", url)

    def call(rows: list[dict[str, Any]], *options: str) -> str:
        engine = open_engine(url)
        if rows:
            with engine.begin() as connection:
                connection.execute(sa.insert(logs), rows)
        engine.dispose()
        assert run(["telemetry", "failures", *options]) == 0
        return capsys.readouterr().out

    return call


@freeze_time(BEGIN + dt.timedelta(days=7))
def test_the_command_prints_both_views_and_what_is_left_out(cli: Callable[..., str]) -> None:
    shown = cli([row(OK, response_time_ms=1200), row(OVERLOADED, time_scale=0.1), row(CANCELLED)])

    assert "endings of agent_research, production attempts, 2026-04-08T00:00+00:00 to 2026-05-08T00:00+00:00" in shown
    for words in ("answered", "unavailable", "stopped_by_user", "provider", "overloaded"):
        assert words in shown
    assert "response_time_ms of answers (n 1): min 1 200, p50 1 200" in shown
    assert "response_time_ms of failures: none, 1 without a time." in shown
    assert "Failures among attempts that nobody stopped: 50.0%." in shown
    assert "Left out: 1 stopped by a user on purpose" in shown
    assert "time scale of 0.1" in shown


@freeze_time(BEGIN + dt.timedelta(days=7))
def test_the_json_has_every_figure_and_its_sql(cli: Callable[..., str]) -> None:
    document = json.loads(cli([row(OK), row(INVALID, tenant="globex")], "--json", "--since", "all"))

    assert document["failures"] == [
        {
            "status": "error",
            "ended_by": "failure",
            "error_type": "output_invalid",
            "error_stage": "output",
            "superseded": False,
            "product": "no_answer",
            "engineering": "model",
            "source": "model",
            "retryable": True,
            "n": 1,
            "tenants": 1,
        }
    ]
    assert document["engineering"] == {"no_failure": {"n": 1, "tenants": 1}, "model": {"n": 1, "tenants": 1}}
    assert (document["failure_share"], document["unclassified_share"]) == (0.5, 0.0)
    assert set(document["sql"]) == {"counts", "times"}
    assert "FROM ai_outbound_logs" in document["sql"]["counts"]


@freeze_time(BEGIN + dt.timedelta(days=7))
def test_no_rows_are_said_to_be_none(cli: Callable[..., str]) -> None:
    assert cli([], "--origin", "spike").endswith(": no rows\n")
