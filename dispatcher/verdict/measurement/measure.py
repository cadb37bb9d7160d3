"""Asking the database what there is to count."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from dispatcher.adr.criterion import Criterion
from dispatcher.audit.reading import reading
from dispatcher.verdict.evidence.grid import GridCounts
from dispatcher.verdict.measured import Distribution, Measurement
from dispatcher.verdict.measurement import asides
from dispatcher.verdict.measurement.cells import Cells
from dispatcher.verdict.measurement.counting import Counting, Statement
from dispatcher.verdict.measurement.distribution import VALUE, Values
from dispatcher.verdict.measurement.drift_rows import asked_of, drift_statement, read_drift
from dispatcher.verdict.measurement.fingerprint import hash_of
from dispatcher.verdict.measurement.planning import plan_for_groups
from dispatcher.verdict.measurement.population import Population
from dispatcher.verdict.measurement.ranks import Ranks

_AT_ONCE = 1000
_MARK = re.compile(r"'(?:[^']|'')*'|\(SELECT|[()]|,\s*")


def measure(
    engine: sa.Engine, population: Population, samples: Mapping[str, Distribution] | None = None
) -> Measurement:
    """Count what the log says about every criterion of the record. Raises SourceUnreachable.

    `samples` are the pinned order statistics of the baselines that are treated as samples, by criterion.
    """
    block, origin, looks = population.block, population.origin, population.looks
    with reading(engine) as connection, _without_collecting():
        plan_for_groups(connection)
        gaps = asides.lost_dispatches(connection, block, origin, looks)
        population = replace(
            population,
            adjusted=asides.has_adjustments(connection, looks),
            tenants_in=asides.tenants_in(connection, block, origin, looks),
        )
        counting = Counting(population, one_by_one=engine.dialect.name == "postgresql")
        values, ranks = Values(counting), Ranks(counting)
        cells, seen = _counted(connection, counting, values)
        compared = ranks.compared_with(samples or {})
        grids = {each.id: _grid(connection, ranks, each, samples or {}) for each in compared}
        drift, drift_sql = _drift(connection, engine, population)
    repriced = counting.of_changes
    measured = Measurement(
        cells=cells.cells,
        excluded=cells.excluded,
        lost_to_counting=cells.lost_to_counting,
        otherwise_defined=cells.otherwise_defined,
        distributions=values.read(seen),
        sql=text_of(counting.cells, engine),
        distribution_sql=text_of(values.seen, engine) if values.measures else None,
        draws=cells.draws,
        grids=grids,
        drift=drift,
        gaps=gaps,
        repriced_sql=None if repriced is None else text_of(repriced.repriced, engine),
        grid_sql={each.id: text_of(ranks.grid(each), engine) for each in compared if looks.done},
        drift_sql=drift_sql,
    )
    return replace(measured, rows_hash=hash_of(measured))


def _counted(connection: sa.Connection, counting: Counting, values: Values) -> tuple[Cells, list[tuple[Any, ...]]]:
    """The cells, and the rows of `Values.seen`."""
    cells, seen = Cells(counting), []
    result = connection.execute(counting.with_values(values.seen) if values.measures else counting.cells)
    places = [list(result.keys()).index(name) for name in VALUE] if values.measures else []
    for row in _in_parts(result):
        if places and row[places[0]] is not None:
            seen.append(tuple(row[place] for place in places))
        else:
            cells.add(row)
    if counting.of_changes is not None:
        for changed in _rows(connection, counting.of_changes.repriced):
            cells.reprice(changed)
    return cells, seen


def _grid(
    connection: sa.Connection, ranks: Ranks, criterion: Criterion, pinned: Mapping[str, Distribution]
) -> GridCounts:
    done = ranks.counting.population.looks.done
    return GridCounts(
        rows=ranks.read_grid(_rows(connection, ranks.grid(criterion))) if done else (),
        sample=None if criterion.bound.times_control is not None else pinned[criterion.id],
    )


def _drift(
    connection: sa.Connection, engine: sa.Engine, population: Population
) -> tuple[dict[str, dict[str, GridCounts]], dict[str, str]]:
    """What the tenants show that stayed with the control, by criterion, and the statements; each is run once."""
    asked = asked_of(population.block, population.origin, population.looks)
    statements = {each: drift_statement(each) for each in dict.fromkeys(asked.values())}
    read = {each: read_drift(_rows(connection, statement)) for each, statement in statements.items()}
    texts = {each: text_of(statement, engine) for each, statement in statements.items()}
    return {name: read[each] for name, each in asked.items()}, {name: texts[each] for name, each in asked.items()}


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Without looks for cycles: what is read is hundreds of thousands of objects, none of which is in one."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _rows(connection: sa.Connection, statement: Statement) -> Iterator[Mapping[str, Any]]:
    """The rows of a statement by the names of their columns, one after the other as the database has them."""
    result = connection.execute(statement)
    names = list(result.keys())
    for row in _in_parts(result):
        yield dict(zip(names, row, strict=True))


def _in_parts(result: sa.CursorResult[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows as tuples, fetched a thousand at a time, which takes half as long as one by one."""
    for part in result.partitions(_AT_ONCE):
        yield from map(tuple, part)


def text_of(statement: Statement, engine: sa.Engine) -> str:
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
