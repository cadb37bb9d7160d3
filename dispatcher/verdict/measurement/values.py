"""Each measure in SQL: what it takes of an attempt, the value that it gives a dispatch, and when that exceeds a limit.

A value is a whole number, NULL where it isn't known: milliseconds, nano-dollars, tokens, model requests, and 1 or 0 for
yes or no. What a failure, a caller's cancel and an unknown value count as is in `exceedance`; it is always against the
claim, since no variant may improve by failing, and what isn't known can't speak for anybody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func

from dispatcher.action.failure import EngineeringView, ProductView, failure_views
from dispatcher.action.observation import ErrorStage, ErrorType, Status
from dispatcher.adr.criterion import Criterion, Measure

Column = sa.ColumnElement[Any]

_FIRST_TOKEN_PARTS = ("ready_ms", "session_init_ms", "first_token_ms")
_STOPPED = 2
"""In the two views of a failure: the caller's own wish, which is none and no answer either."""


@dataclass(frozen=True, slots=True)
class Exceedance:
    """Conditions on a dispatch: above the limit against the claim that it is kept, above it against the claim that it
    is broken, and of unknown value.
    """

    over: sa.ColumnElement[bool]
    proven: sa.ColumnElement[bool]
    unknown: sa.ColumnElement[bool]


def columns_of(measures: Iterable[Measure]) -> dict[str, Callable[[Any], Column]]:
    """What the measures need of an attempt beside what every statement reads: a name each, and its SQL."""
    return {name: _ATTEMPT[name] for name in sorted({_OF_ATTEMPT[each] for each in measures if each in _OF_ATTEMPT})}


def later_turns(measures: Iterable[Measure]) -> bool:
    """Whether any of them is about second and later turns only."""
    return any(measure.later_turns_only for measure in measures)


def value_of(measure: Measure, dispatch: Any) -> Column:
    """The value of a dispatch."""
    of_dispatch = {
        Measure.RESPONSE_TIME_MS: "wall_ms",
        Measure.COST: "cost",
        Measure.COST_PER_VALID_SUCCESS: "cost",
        Measure.OUTPUT_VALID: "valid",
    }
    column: Column = dispatch[of_dispatch.get(measure) or _OF_ATTEMPT[measure]]
    return column


def is_about(measure: Measure, dispatch: Any) -> sa.ColumnElement[bool] | None:
    """The condition under which a measure is about a dispatch; None where it always is."""
    return dispatch.later_turn == 1 if measure.later_turns_only else None


def exceedance(criterion: Criterion, dispatch: Any) -> Exceedance:
    """The conditions of a criterion about a share, on the columns of a dispatch."""
    failed, cancelled = dispatch.failed == 1, dispatch.cancelled == 1
    value = value_of(criterion.measure, dispatch)
    missing = value.is_(None)
    if criterion.measure in {Measure.PRODUCT_FAILURE, Measure.ENGINEERING_FAILURE}:
        # They say themselves what a failure is: one of the provider isn't ours to mend.
        return Exceedance(over=(value != 0) | missing, proven=(value == 1) & ~missing, unknown=missing)
    if criterion.quantile is None:
        wrong = value == (1 if criterion.measure.lower_is_better else 0)
        return Exceedance(
            over=failed | cancelled | missing | wrong,
            proven=failed | (~cancelled & wrong),
            unknown=~failed & ~cancelled & missing,
        )
    assert criterion.limit is not None
    # Values are whole, so the limit's fraction can't matter.
    above = value > math.floor(criterion.limit)
    if criterion.measure is Measure.RESPONSE_TIME_MS:
        # Who cancels after the limit has waited too long; who does so before it leaves an unknown.
        return Exceedance(over=failed | cancelled | missing | above, proven=failed | above, unknown=~failed & missing)
    return Exceedance(
        over=failed | cancelled | missing | above,
        proven=failed | (~cancelled & above),
        unknown=~failed & ~cancelled & missing,
    )


def within(criterion: Criterion, dispatch: Any) -> sa.ColumnElement[bool]:
    """Whether a success counts nowhere in `exceedance`; not true where its value isn't known."""
    value, measure = value_of(criterion.measure, dispatch), criterion.measure
    if criterion.quantile is not None:
        assert criterion.limit is not None
        kept: sa.ColumnElement[bool] = value <= math.floor(criterion.limit)
        return kept
    views = {Measure.PRODUCT_FAILURE, Measure.ENGINEERING_FAILURE}
    fine: sa.ColumnElement[bool] = value == int(measure not in views and not measure.lower_is_better)
    return fine


@dataclass(frozen=True, slots=True)
class Averaged:
    """Of a measure's mean: the value of a dispatch, and when it is known, divides by one more, and isn't known."""

    value: Column
    known: sa.ColumnElement[bool]
    divides: sa.ColumnElement[bool]
    unknown: sa.ColumnElement[bool]


def averaged(measure: Measure, dispatch: Any) -> Averaged:
    """What a mean is made of: Σ value / Σ divides, over the dispatches whose value is known."""
    value = value_of(measure, dispatch)
    known, unknown = value.is_not(None), value.is_(None)
    if measure is not Measure.COST_PER_VALID_SUCCESS:
        return Averaged(value, known, known, unknown)
    succeeded = (dispatch.failed == 0) & (dispatch.cancelled == 0)
    return Averaged(
        value, known, known & succeeded & (dispatch.valid == 1), unknown | (succeeded & dispatch.valid.is_(None))
    )


def _to_first_token(c: Any) -> Column:
    parts = [func.coalesce(c[name], 0) for name in _FIRST_TOKEN_PARTS]
    total: Column = c.remainder_ms + parts[0] + parts[1] + parts[2]
    return total


def _viewed(bad: Callable[[Any], int]) -> Callable[[Any], Column]:
    """1 for an ending that is a failure in a view, 2 for one that its caller wished for, else 0."""

    def column(c: Any) -> Column:
        usual = {error_type: bad(failure_views(Status.ERROR, None, error_type, None)) for error_type in ErrorType}
        unknown = bad(failure_views(Status.ERROR, None, None, None))
        special = [
            ((c.error_type == error_type.value) & (c.error_stage == stage.value), found)
            for error_type, stage in product(ErrorType, ErrorStage)
            if (found := bad(failure_views(Status.ERROR, None, error_type, stage))) != usual[error_type]
        ]
        typed = case({each.value: found for each, found in usual.items()}, value=c.error_type, else_=unknown)
        others = {
            status.value: bad(failure_views(status, None, None, None))
            for status in Status
            if status is not Status.ERROR
        }
        of_error = case(*special, else_=typed) if special else typed
        return case((c.status == Status.ERROR.value, of_error), else_=case(others, value=c.status, else_=1))

    return column


def _product(views: Any) -> int:
    if views.product is ProductView.STOPPED_BY_USER:
        return _STOPPED
    return int(views.product not in {ProductView.ANSWERED, ProductView.ANSWERED_AT_LIMIT})


def _engineering(views: Any) -> int:
    if views.engineering is EngineeringView.USER_ACTION:
        return _STOPPED
    fine = {EngineeringView.NO_FAILURE, EngineeringView.PROVIDER, EngineeringView.NETWORK}
    return int(views.engineering not in fine)


_ATTEMPT: Mapping[str, Callable[[Any], Column]] = {
    "to_first_token_ms": _to_first_token,
    "ready_ms": lambda c: c.ready_ms,
    "session_init_ms": lambda c: c.session_init_ms,
    "first_token_ms": lambda c: c.first_token_ms,
    "remainder_ms": lambda c: c.remainder_ms,
    "first_text_ms": lambda c: c.first_text_ms,
    "product_failure": _viewed(_product),
    "engineering_failure": _viewed(_engineering),
    "iterations": lambda c: c.iterations,
    "cache_hit": lambda c: case(
        (c.first_call_cache_read_input_tokens > 0, 1), (c.first_call_cache_read_input_tokens == 0, 0)
    ),
    "first_call_input_tokens": lambda c: c.first_call_input_tokens,
}

_OF_ATTEMPT = {
    Measure.TIME_TO_FIRST_TOKEN_MS: "to_first_token_ms",
    Measure.READY_MS: "ready_ms",
    Measure.SESSION_INIT_MS: "session_init_ms",
    Measure.FIRST_TOKEN_MS: "first_token_ms",
    Measure.REMAINDER_MS: "remainder_ms",
    Measure.FIRST_TEXT_MS: "first_text_ms",
    Measure.PRODUCT_FAILURE: "product_failure",
    Measure.ENGINEERING_FAILURE: "engineering_failure",
    Measure.ITERATIONS: "iterations",
    Measure.CACHE_HIT: "cache_hit",
    Measure.FIRST_CALL_UNCACHED_INPUT_TOKENS: "first_call_input_tokens",
}

OF_ALL_ATTEMPTS = frozenset({"cost", "iterations"})
"""What is summed over a dispatch's attempts, and unknown where one of them is; the rest is the first attempt's."""

AT_THE_END = {"product_failure": 1, "engineering_failure": 1}
"""What a dispatch that hasn't ended by its look has, where that isn't unknown: it is lost, which is ours."""
