"""Asking the database: which definition of the candidate counts, and what there is to count."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import func, select

from dispatcher.adr.document import Acceptance
from dispatcher.audit.record import Origin, Role
from dispatcher.audit.tables import logs
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import SourceUnreachable
from dispatcher.verdict.epoch import Definition
from dispatcher.verdict.grid import GridCounts
from dispatcher.verdict.measured import Cell, Distribution, Measurement
from dispatcher.verdict.measurement import asides
from dispatcher.verdict.measurement.cells import read_all
from dispatcher.verdict.measurement.counting import Counting
from dispatcher.verdict.measurement.population import Population
from dispatcher.verdict.measurement.ranks import Ranks

_AT_ONCE = 2000
_MARK = re.compile(r"'(?:[^']|'')*'|\(SELECT|[()]|,\s*")


def candidate_definitions(
    engine: sa.Engine, block: Acceptance, origin: Origin, *, since: dt.datetime, as_of: dt.datetime
) -> tuple[Definition, ...]:
    """The definitions under which the candidate has run, in the order they were seen. Raises SourceUnreachable.

    Only a first attempt that ran the candidate shows its definition. The moment is that of arrival, not of creation, so
    that nothing that arrives later can change the order; and a row created before `since` that arrives after it shows
    nothing.
    """
    c = logs.c
    seen = func.min(c.recorded_at)
    query = (
        select(c.variant_hash, seen)
        .where(
            c.feature == block.feature,
            c.origin == origin.value,
            c.role != Role.SHADOW.value,
            c.tenant.in_(sorted(block.tenants)),
            c.attempt == 1,
            c.routed_variant == block.candidate.variant,
            c.variant == c.routed_variant,
            c.variant_hash.is_not(None),
            (c.recorded_at < since) | (c.created_at >= since),
            c.recorded_at <= as_of,
        )
        .group_by(c.variant_hash)
        .order_by(seen, c.variant_hash)
    )
    with _reading(engine) as connection:
        return tuple(Definition(hash_, first_seen) for hash_, first_seen in connection.execute(query))


def measure(
    engine: sa.Engine, population: Population, samples: Mapping[str, Distribution] | None = None
) -> Measurement:
    """Count what the log says about every criterion of the record. Raises SourceUnreachable.

    `samples` are the pinned order statistics of the baselines that are treated as samples, by criterion.
    """
    block, origin, looks = population.block, population.origin, population.looks
    with _reading(engine) as connection:
        _prepare(connection)
        gaps = asides.lost_dispatches(connection, block, origin, looks)
        population = replace(
            population,
            adjusted=asides.has_adjustments(connection),
            tenants_in=asides.tenants_in(connection, block, origin, looks),
        )
        counting = Counting(population)
        cells = read_all(_rows(connection, counting.cells), counting)
        if population.adjusted and looks.done and any(each.is_money for each in counting.averaged.values()):
            for row in _rows(connection, Counting(replace(population, repricing=True)).repriced):
                cells.reprice(row)
        ranks = Ranks(counting)
        distributions, distribution_sql = {}, None
        if ranks.measures:
            seen = connection.execute(ranks.distribution)
            distributions = ranks.read_distribution(tuple(row) for row in seen)
            distribution_sql = text_of(ranks.distribution, engine)
        pinned = samples or {}
        # Without its pinned sample a criterion has nothing to be held against.
        compared = [each for each in ranks.compared if each.id in pinned or each.bound.times_control is not None]
        grids = {
            each.id: GridCounts(
                rows=ranks.read_grid(_rows(connection, ranks.grid(each))) if looks.done else (),
                sample=None if each.bound.times_control is not None else pinned[each.id],
            )
            for each in compared
        }
    measured = Measurement(
        cells=cells.cells,
        excluded=cells.excluded,
        distributions=distributions,
        sql=text_of(counting.cells, engine),
        distribution_sql=distribution_sql,
        draws=cells.draws,
        grids=grids,
        gaps=gaps,
    )
    return replace(measured, rows_hash=_hash_of(measured))


def _prepare(connection: sa.Connection) -> None:
    """Settings of this transaction: PostgreSQL's guesses about groups of groups are wrong by orders of magnitude, and
    made it sort all rows for the few that are looked at closely, and compile what runs once.
    """
    if connection.dialect.name == "postgresql":
        for setting in ("jit = off", "enable_mergejoin = off", "enable_nestloop = off", "work_mem = '256MB'"):
            connection.exec_driver_sql(f"SET LOCAL {setting}")


def _rows(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[Mapping[str, Any]]:
    """The rows of a statement by the names of their columns, one after the other as the database has them."""
    result = connection.execution_options(stream_results=True, max_row_buffer=_AT_ONCE).execute(statement)
    names = list(result.keys())
    for row in result:
        yield dict(zip(names, row, strict=True))


def _hash_of(measured: Measurement) -> str:
    """A SHA-256 of everything that was counted; it all comes in one order, whatever that of the rows was."""
    counted = {
        "cells": [_listed(cell) for cell in measured.cells],
        "excluded": measured.excluded,
        "distributions": [
            [*map(str, key), list(seen.successes.items()), seen.without] for key, seen in measured.distributions.items()
        ],
        "draws": sorted((each.tenant, each.version, each.arm.value, each.share) for each in measured.draws),
        "grids": {name: [astuple(row) for row in grid.rows] for name, grid in measured.grids.items()},
        "gaps": measured.gaps,
    }
    text = json.dumps(counted, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _listed(cell: Cell) -> list[Any]:
    keys = [cell.look, cell.tenant, cell.share, cell.arm]
    counts = [cell.clusters, cell.dispatches, cell.failed, cell.scaled, cell.astray]
    counted = {name: [list(each.clusters.items()), each.unknown] for name, each in cell.counted.items()}
    valued = {name: [*astuple(each.sums), each.unknown] for name, each in cell.valued.items()}
    return [*keys, *counts, counted, valued]


def text_of(statement: sa.Select[Any], engine: sa.Engine) -> str:
    """A statement as it could be typed: its parameters written out, and one column a line."""
    sql = str(statement.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True}))
    # Of each open parenthesis, whether it holds a query.
    queries = [True]

    def broken(match: re.Match[str]) -> str:
        mark = match[0]
        if mark.startswith("("):
            queries.append(mark != "(")
        elif mark == ")":
            queries.pop()
        elif mark.startswith(",") and queries[-1] and "\n" not in mark:
            return ",\n    "
        return mark

    return _MARK.sub(broken, sql)


@contextmanager
def _reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.SQLAlchemyError as error:
        raise SourceUnreachable(f"{named(engine.url)} can't be read: {reason_of(error, engine.url)}") from None
