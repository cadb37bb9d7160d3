"""The same rows give the same figures on every engine: whole numbers to the last digit, files of the same bytes."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from money_rows import BEGAN, NEWER, PRICES, everything

from dispatcher.audit.engine import open_engine
from dispatcher.audit.reading import reading
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import adjustments, calls, logs
from dispatcher.prices import PriceTable
from dispatcher.telemetry.distribution import By, Selection, distribution
from dispatcher.telemetry.export_parts import Form
from dispatcher.telemetry.exporter import SUMMED, ExportOrder, export
from dispatcher.telemetry.failures import failures
from dispatcher.telemetry.reconciling import reconcile
from dispatcher.telemetry.repricing import reprice, tie_out
from dispatcher.telemetry.summary import summary

ROWS = 300
LATER = BEGAN + dt.timedelta(days=30)
SELECTION = Selection(feature="agent_research", origin=Origin.PRODUCTION)
CLASSES = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_5m_input_tokens",
    "cache_creation_1h_input_tokens",
)
# Names that an engine might take for one another, or order in its own way.
TENANTS = ("script", "Script", "SCRIPT", "straße", "strasse", "a-b", "a_b", "ab")
ENDINGS = (
    ("success", "completed", None, None),
    ("success", "completed", None, None),
    ("error", "failure", "overloaded", "request"),
    ("error", "deadline", "deadline", "stream"),
    ("cancelled", "cancel", "cancelled", None),
    ("lost", None, None, None),
    ("started", None, None, None),
)


def _call(chance: random.Random, log_id: str, ordinal: int, prices: PriceTable, on: dt.date) -> dict[str, Any]:
    from dispatcher.action.observation import Usage  # noqa: PLC0415 - beside its only use

    counted = {name: chance.choice((0, 17, chance.randrange(200_000))) for name in CLASSES}
    written = counted["cache_creation_5m_input_tokens"] + counted["cache_creation_1h_input_tokens"]
    usage = Usage(**counted, cache_creation_input_tokens=written, output_tokens=chance.randrange(8_000))
    model = chance.choice(sorted(prices.models))
    cost = prices.cost_nanousd(model, usage, on)
    return {"log_id": log_id, "ordinal": ordinal, "model": model, "cost_nanousd": cost, **asdict(usage)}


def _attempt(chance: random.Random, place: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A row as a dispatcher, an older one or a careless one may have left it, and its model requests."""
    log_id, at = f"{place:08d}", BEGAN + dt.timedelta(seconds=37 * (place // 2), microseconds=place)
    made = [_call(chance, log_id, 1 + n, PRICES, at.date()) for n in range(chance.randrange(4))]
    status, ended_by, error_type, error_stage = chance.choice(ENDINGS)
    managed = chance.random() < 0.5
    active_ms = chance.randrange(300_000) if managed else None
    runtime = PRICES.runtime_cost_nanousd(active_ms) if active_ms is not None else 0
    tools = chance.choice((0, 0, PRICES.search_cost_nanousd(2)))
    cost = sum(call["cost_nanousd"] for call in made) + runtime + tools
    tokens = {
        name: sum(call[name] for call in made) for name in (*CLASSES, "cache_creation_input_tokens", "output_tokens")
    }
    if chance.random() < 0.1:
        tokens["input_tokens"] = 2**63 - 1
    row = {
        "log_id": log_id,
        "dispatch_id": f"{place // 2:08d}",
        "attempt": 1 + place % 2,
        "role": "fallback" if place % 2 else "served",
        "origin": "production" if place % 4 else "simulated",
        "time_scale": 1.0,
        "feature": "agent_research",
        "tenant": chance.choice(TENANTS),
        "project": chance.choice((None, "", "Projekt ✓", 'quo"ted, with\r\nlines')),
        "created_at": at,
        "finished_at": None if status == "started" else at + dt.timedelta(milliseconds=chance.randrange(60_000)),
        "recorded_at": at,
        "landed_at": None if status in {"started", "lost"} else at,
        "path": "managed" if managed else chance.choice(("messages", None)),
        "variant": chance.choice(("legacy", "legacy-cached", "managed-haiku-4-5-cap8", None)),
        "assignment_share": chance.choice((None, 0.1, 2 / 3)),
        "flag_stale": chance.choice((None, True, False)),
        "status": status,
        "ended_by": ended_by,
        "error_type": error_type,
        "error_stage": error_stage,
        "response_time_ms": chance.choice((None, 0, chance.randrange(60_000), 2**40)),
        "usage_quality": chance.choice(("reported", "reported", "split_inferred", "partial", None)),
        **tokens,
        "active_ms": active_ms,
        "cost_nanousd": chance.choice((None, cost, cost, cost, cost + 1)),
        "runtime_cost_nanousd": runtime,
        "tool_cost_nanousd": tools,
        "price_version": chance.choice((None, PRICES.version, PRICES.version, "older")),
        "platform_list_cost_nanousd": chance.choice((None, round(cost, -7), 0)) if managed else None,
        "session_id": f"sesn_{place // 5}" if managed else None,
    }
    return row, made


@pytest.fixture(scope="module")
def written() -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    chance = random.Random(20261121)
    return [_attempt(chance, place) for place in range(ROWS)]


@pytest.fixture
def logs_of_both(
    server_url: str, tmp_path: Path, written: list[tuple[dict[str, Any], list[dict[str, Any]]]]
) -> Iterator[tuple[sa.Engine, sa.Engine]]:
    """The same rows in SQLite and on a server."""
    engines = open_engine(f"sqlite:///{tmp_path}/reference.db"), open_engine(server_url)
    for engine in engines:
        with engine.begin() as connection:
            connection.execute(sa.insert(logs), [row for row, _ in written])
            connection.execute(sa.insert(calls), [call for _, made in written for call in made])
    yield engines
    for engine in engines:
        engine.dispose()


def _read(report: Callable[[sa.Connection], Any]) -> Callable[[sa.Engine], Any]:
    def on(engine: sa.Engine) -> Any:
        with reading(engine) as connection:
            return report(connection)

    return on


def _priced(engine: sa.Engine) -> Any:
    """Everything about money, one verb after the other, and what they left behind."""
    done = (
        tie_out(engine, PRICES),
        reconcile(engine, dry_run=True),
        reprice(engine, NEWER),
        reprice(engine, NEWER),
        reconcile(engine),
        tie_out(engine, NEWER),
    )
    left = [
        {name: value for name, value in row.items() if name != "adjusted_at"} for row in everything(engine, adjustments)
    ]
    return done, left


@pytest.mark.parametrize(
    "report",
    [
        _read(summary),
        _read(lambda connection: distribution(connection, SELECTION, By.PATH)),
        _read(lambda connection: distribution(connection, SELECTION, By.VARIANT)),
        _read(lambda connection: distribution(connection, SELECTION, By.TENANT)),
        _read(lambda connection: failures(connection, SELECTION)),
        _priced,
    ],
    ids=["summary", "by path", "by variant", "by tenant", "failures", "money"],
)
def test_every_report_is_the_same(
    logs_of_both: tuple[sa.Engine, sa.Engine], report: Callable[[sa.Engine], Any]
) -> None:
    reference, other = logs_of_both
    assert report(other) == report(reference)


def test_every_figure_is_a_whole_number(logs_of_both: tuple[sa.Engine, sa.Engine]) -> None:
    """No decimal, no float, where an engine adds 64-bit numbers up to something else. Means are fractions."""
    _, other = logs_of_both
    done, left = _priced(other)
    with reading(other) as connection:
        times = [row.times for row in distribution(connection, SELECTION, By.PATH) if row.times is not None]
    figures = [*_leaves([asdict(one) for one in done]), *_leaves(left), *_leaves([asdict(one) for one in times])]

    assert {type(figure) for figure in figures} <= {int, str, type(None), Fraction}
    assert {type(row[name]) for row in everything(other, logs) for name in SUMMED} == {int, type(None)}


def test_an_export_has_the_same_bytes_and_the_sums_of_plain_addition(
    logs_of_both: tuple[sa.Engine, sa.Engine],
    written: list[tuple[dict[str, Any], list[dict[str, Any]]]],
    tmp_path: Path,
) -> None:
    order = ExportOrder(form=Form.CSV, origin=None, since=None, until=None, rows_per_part=70)
    reports = [export(engine, tmp_path / engine.dialect.name, order, now=LATER) for engine in logs_of_both]
    files = [sorted((tmp_path / engine.dialect.name).glob("part-*")) for engine in logs_of_both]
    ended = [row for row, _ in written if row["status"] != "started"]

    assert [path.read_bytes() for path in files[1]] == [path.read_bytes() for path in files[0]]
    assert reports[1].sums == reports[0].sums
    assert reports[1].sums == {name: sum(row.get(name) or 0 for row in ended) for name in SUMMED}
    assert reports[1].sums["input_tokens"] > 2**63


def test_the_rows_have_what_engines_differ_in(written: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> None:
    """Else the claims above would say little."""
    rows = [row for row, _ in written]
    assert set(TENANTS) == {row["tenant"] for row in rows}
    for name in ("path", "variant", "project", "response_time_ms", "cost_nanousd", "price_version"):
        assert Counter(row[name] is None for row in rows).keys() == {True, False}, name


def _leaves(document: Any) -> Iterator[Any]:
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, list | tuple):
        for one in document:
            yield from _leaves(one)
    else:
        yield document
