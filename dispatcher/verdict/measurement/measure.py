"""Asking the database: which definition of the candidate counts, and what there is to count."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import func, select

from dispatcher.adr.criterion import Measure
from dispatcher.adr.document import Acceptance
from dispatcher.audit.record import Origin, Role
from dispatcher.audit.tables import logs
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import SourceUnreachable
from dispatcher.verdict.epoch import Definition
from dispatcher.verdict.measured import Measurement
from dispatcher.verdict.measurement.counting import Counting, read_distribution
from dispatcher.verdict.measurement.population import Population

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


def measure(engine: sa.Engine, population: Population) -> Measurement:
    """Count what the log says about every criterion of the record. Raises SourceUnreachable."""
    counting = Counting(population)
    with _reading(engine) as connection:
        rows = [dict(row) for row in connection.execute(counting.cells).mappings()]
        cells, excluded = counting.read_cells(rows)
        distributions, distribution_sql = {}, None
        if any(each.measure is Measure.RESPONSE_TIME_MS for each in population.block.criteria):
            seen = connection.execute(counting.distribution).all()
            distributions = read_distribution([tuple(row) for row in seen])
            distribution_sql = _text(counting.distribution, engine)
    return Measurement(
        cells=cells,
        excluded=excluded,
        distributions=distributions,
        sql=_text(counting.cells, engine),
        distribution_sql=distribution_sql,
        draws=counting.read_draws(rows),
    )


def _text(statement: sa.Select[Any], engine: sa.Engine) -> str:
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
