"""From a record and a database to a verdict."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from dispatcher.adr.baseline import Ranks
from dispatcher.adr.document import Acceptance, Arm, Record
from dispatcher.adr.ranks import PinnedRanks, read_ranks
from dispatcher.audit.record import Origin
from dispatcher.audit.registrations import registrations_of
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.epoch import Epoch, current_epoch, is_mixed, newest_registration, of_variant
from dispatcher.verdict.history import changed_crossings, history_of
from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.judgement.judge import Verdict, invalidated, judge
from dispatcher.verdict.looks import Looks
from dispatcher.verdict.measured import Distribution
from dispatcher.verdict.measurement.definitions import definitions
from dispatcher.verdict.measurement.measure import measure
from dispatcher.verdict.measurement.population import Population

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class Samples:
    """The pinned order statistics of the baselines, by criterion, and the criteria whose pins aren't as they were."""

    found: dict[str, PinnedRanks]
    changed: frozenset[str]

    @property
    def distributions(self) -> dict[str, Distribution]:
        """What was pinned, as a measurement holds it."""
        return {name: Distribution(ranks.histogram, ranks.failures) for name, ranks in self.found.items()}


def reach_verdict(
    record: Record, origin: Origin, as_of: dt.datetime, engine: Engine, samples: Samples | None = None
) -> Verdict:
    """Judge a record by the rows of one origin, as they stood at a moment; by default with what is pinned beside it.

    INVALID where a crossing of a stored verdict comes out differently, or a pinned baseline isn't what it was. Raises
    InvalidRecord for a record without criteria, and SourceUnreachable.
    """
    block = _criteria_of(record)
    epoch = _epoch_of(record, block, origin, as_of, engine)
    looks = _looks_of(block, epoch, as_of)
    samples = samples or samples_of(block, partial(read_ranks, record.path.parent))
    population = Population(block, origin, looks, None if epoch is None else epoch.candidate_hash)
    verdict = judge(record, block, origin, epoch, looks, measure(engine, population, samples.distributions))
    verdict = replace(verdict, pinned=samples.found)
    reasons = {Reason.BASELINE_NOT_REPRODUCIBLE} if samples.changed else set()
    verdict = replace(verdict, contradictions=changed_crossings(history_of(engine, verdict), verdict))
    if verdict.contradictions:
        reasons.add(Reason.HISTORY_CHANGED)
    return invalidated(verdict, reasons)


def show_variant(record: Record, variant: str | None, origin: Origin, as_of: dt.datetime, engine: Engine) -> Verdict:
    """The same criteria for another variant in the candidate's place, under any definition of it; None puts the control
    there as well, its conversations split by a hash.

    For display: nobody registered that, so it is never more than HOLD `not_registered`. The looks are the record's own.
    Raises InvalidRecord, also where the variant is the control, and SourceUnreachable.
    """
    block = _criteria_of(record)
    looks = _looks_of(block, _epoch_of(record, block, origin, as_of, engine), as_of)
    samples = samples_of(block, partial(read_ranks, record.path.parent))
    if variant is None:
        shown, said = block, f"{block.control.variant} against itself"
    elif variant == block.control.variant:
        raise InvalidRecord(record.id, [f"has {variant} as its control; --against-itself compares it with itself"])
    else:
        shown, said = block.model_copy(update={"candidate": Arm(variant=variant)}), variant
    population = Population(shown, origin, looks, None, against_itself=variant is None)
    titled = replace(record, title=f"{record.title} [shown for {said}; decides nothing]")
    judged = judge(titled, shown, origin, None, looks, measure(engine, population, samples.distributions))
    return replace(judged, shown_for=said, against_itself=variant is None)


def _criteria_of(record: Record) -> Acceptance:
    if record.acceptance is None:
        raise InvalidRecord(record.id, ["says `acceptance: none`: there is nothing to judge"])
    return record.acceptance


def _epoch_of(record: Record, block: Acceptance, origin: Origin, as_of: dt.datetime, engine: Engine) -> Epoch | None:
    registrations = registrations_of(engine, record.id, origin)
    registered = newest_registration(registrations, as_of)
    if registered is None:
        return None
    seen = definitions(engine, block, origin, since=registered.start, as_of=as_of)
    epoch = current_epoch(registrations, of_variant(seen, block.candidate.variant), as_of)
    if epoch is None or not is_mixed(of_variant(seen, block.control.variant), epoch.start):
        return epoch
    return replace(epoch, control_mixed=True)


def _looks_of(block: Acceptance, epoch: Epoch | None, as_of: dt.datetime) -> Looks:
    return Looks(
        start=None if epoch is None else epoch.start,
        as_of=as_of,
        window=block.unit.window,
        settle=block.looks.settle,
        max_weeks=block.looks.max_weeks,
    )


def samples_of(block: Acceptance, read: Callable[[Ranks], PinnedRanks]) -> Samples:
    """What is pinned for the criteria of a block; `read` raises InvalidRecord for what isn't what the block names."""
    found, changed = {}, set()
    for criterion in block.criteria:
        baseline = criterion.baseline
        if baseline is None or baseline.ranks is None:
            continue
        try:
            found[criterion.id] = read(baseline.ranks)
        except InvalidRecord:
            changed.add(criterion.id)
    return Samples(found, frozenset(changed))
