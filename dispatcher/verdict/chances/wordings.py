"""What wording of a criterion would be decidable at the traffic there is: pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal

from pydantic import ValidationError

from dispatcher.adr.baseline import Baseline, Source
from dispatcher.adr.criterion import Bound, Criterion
from dispatcher.adr.document import Acceptance
from dispatcher.adr.ranks import PinnedRanks
from dispatcher.document.notation import plain
from dispatcher.verdict.chances.chance_model import Model
from dispatcher.verdict.chances.chance_models import model_of
from dispatcher.verdict.chances.comparison_chances import RatesModel
from dispatcher.verdict.chances.share_chances import ShareModel

_STEPS = tuple(Decimal(step) / 20 for step in range(21, 81))
"""Multiples of a limit that are tried: 1.05, 1.1, … 4."""
_PERCENTILES = (90, 80, 75, 50)
_RATES = tuple(Decimal(per_cent) / 100 for per_cent in (5, 10, 15, 20, 25, 30, 40))
_MOST_TRAFFIC, _MOST_SIMULATED = 1024, 8


def wordings(criterion: Criterion, block: Acceptance, ranks: PinnedRanks | None, enough: float) -> tuple[str, ...]:
    """Sentences, the mildest changes first; each one changes a single thing and was computed to be decidable."""
    return tuple(_wordings(criterion, block, ranks, enough))


def _wordings(criterion: Criterion, block: Acceptance, ranks: PinnedRanks | None, enough: float) -> Iterator[str]:
    model = model_of(criterion, block, ranks)
    if model.never is not None:
        if criterion.bound.times_control is not None and block.assignment.share is None:
            yield "assignment: sticky_share, which draws a control, or a limit against a number"
        return
    if criterion.expected is None and _control_fails(criterion):
        yield "the same wording with `expected` stating where you think the candidate is, since the control can't pass"
        return
    weeks = block.looks.max_weeks
    longer = model.expected(model.longest).week_of(enough) if weeks < model.longest else None
    if longer is not None:
        yield f"the same wording with max_weeks: {longer}"
    busier = _least_traffic(model, weeks, enough)
    if busier is not None:
        yield f"the same wording at {busier} dispatches a month"
    if isinstance(model, RatesModel):
        yield from _absolute(criterion, block, enough)
    elif criterion.aggregate == "rate":
        yield from _looser_rate(criterion, block, enough)
    elif criterion.quantile is not None:
        if isinstance(model, ShareModel):
            yield from _lower_percentile(model, enough)
        yield from _looser_limit(criterion, block, ranks, enough)


def _control_fails(criterion: Criterion) -> bool:
    """Whether the limit asks for more than the control itself does."""
    if criterion.bound.form == "value":
        return False
    return criterion.bound.number < 1 if criterion.measure.lower_is_better else criterion.bound.number > 1


def _least_traffic(model: Model, weeks: int, enough: float) -> int | None:
    """The least whole multiple of the traffic, found by doubling and halving, as dispatches a month."""

    def does(times: int) -> bool:
        return replace(model, times=times).expected(weeks).to_pass >= enough

    high = 2
    while not does(high):
        high *= 2
        if high > (_MOST_TRAFFIC if isinstance(model, ShareModel) else _MOST_SIMULATED):
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if does(middle) else (middle, high)
    return math.ceil(model.block.traffic.dispatches_per_month * high)


def _lower_percentile(model: ShareModel, enough: float) -> Iterator[str]:
    """A lower percentile of the same limit: more dispatches may lie above it."""
    criterion, block = model.criterion, model.block
    assert criterion.limit is not None
    for per_cent in _PERCENTILES:
        allowed = 1 - per_cent / 100
        if allowed > model.p0 and model.expected_if(allowed, block.looks.max_weeks).to_pass >= enough:
            yield f"p{per_cent} at most {plain(criterion.limit)} {criterion.measure.unit}"
            return


def _looser_limit(criterion: Criterion, block: Acceptance, ranks: PinnedRanks | None, enough: float) -> Iterator[str]:
    """The least multiple of the limit that is tried; the chances rise with it, so it is found by halving."""
    form, number = criterion.bound.form, criterion.bound.number

    def looser(place: int) -> Decimal:
        grown = number * _STEPS[place]
        return grown if form == "value" else grown.quantize(Decimal("0.01"), ROUND_CEILING)

    def does(place: int) -> bool:
        changed = _changed(criterion, at_most=Bound.model_validate({form: looser(place)}))
        if changed is None:
            return False
        return model_of(changed, block, ranks).expected(block.looks.max_weeks).to_pass >= enough

    low, high = -1, len(_STEPS) - 1
    if not does(high):
        return
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if does(middle) else (middle, high)
    unit = f" {criterion.measure.unit}" if form == "value" else f" in {form}"
    yield f"{criterion.aggregate} at most {plain(looser(high))}{unit}"


def _looser_rate(criterion: Criterion, block: Acceptance, enough: float) -> Iterator[str]:
    for bad in _RATES:
        changed = _rate_of(criterion, bad)
        if changed is not None and model_of(changed, block).expected(block.looks.max_weeks).to_pass >= enough:
            yield _rate_told(criterion, bad)
            return


def _absolute(criterion: Criterion, block: Acceptance, enough: float) -> Iterator[str]:
    """Against a number instead of the control: a clean run of calls decides it."""
    for bad in _RATES:
        changed = _rate_of(criterion, bad)
        if changed is None:
            continue
        model = model_of(changed, block)
        if model.expected(block.looks.max_weeks).to_pass >= enough:
            week = model.earliest(block.looks.max_weeks)
            yield f"{_rate_told(criterion, bad)}, as a number of its own (week {week} if every dispatch is good)"
            return


def _rate_told(criterion: Criterion, bad: Decimal) -> str:
    if criterion.measure.lower_is_better:
        return f"{criterion.measure} at most {plain(100 * bad)} %"
    return f"{criterion.measure} at least {plain(100 * (1 - bad))} %"


def _rate_of(criterion: Criterion, bad: Decimal) -> Criterion | None:
    limit = criterion.limit
    if limit is not None and bad <= (limit if criterion.measure.lower_is_better else 1 - limit):
        return None
    own = Baseline(source=Source.OWN_TARGET)
    if criterion.measure.lower_is_better:
        return _changed(criterion, at_most=Bound(value=bad), baseline=own, expected=None)
    return _changed(criterion, at_least=Bound(value=1 - bad), baseline=own, expected=None)


def _changed(criterion: Criterion, **changes: object) -> Criterion | None:
    """The criterion with changes; None where it then means nothing."""
    stated = {name: getattr(criterion, name) for name in type(criterion).model_fields} | changes
    try:
        return Criterion.model_validate(stated)
    except ValidationError:
        return None
