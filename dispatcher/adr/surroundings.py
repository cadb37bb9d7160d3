"""What a record is linted against: the other records, the policies, and what is known of the rows there are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from dispatcher.adr.criterion import Measure, Source
from dispatcher.adr.document import Acceptance, Record

_NOTHING: Mapping[str, Record] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """`deadlines` are those of the registered variants; `grace` is how long after its deadline the sweeper leaves an
    attempt alone; `caps` are the most of a measure, in its unit, that one attempt of a variant may take, by measure and
    variant; `records` are all readable ones by id.

    `features_with_rows` have production rows in the log, which `log_was_read` says was looked at; `pinnable_features`
    have a source in the policies, and `sources` are the names of these, None where there is no file. `today` is the day
    it is anywhere, None where no day is to be held against it.
    """

    deadlines: Mapping[str, dt.timedelta]
    grace: dt.timedelta
    caps: Mapping[tuple[Measure, str], Decimal] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=lambda: _NOTHING)
    features_with_rows: frozenset[str] = frozenset()
    pinnable_features: frozenset[str] = frozenset()
    log_was_read: bool = False
    sources: frozenset[str] | None = None
    today: dt.date | None = None

    def production_of(self, block: Acceptance) -> str | None:
        """Where production rows of a block's feature are, as the end of a sentence; None where none are known."""
        feature = block.feature
        if _quotes_production(block, feature):
            return "this record itself quotes production telemetry"
        if feature in self.features_with_rows:
            return f"the log has production rows of {feature}"
        if feature in self.pinnable_features:
            return f"a source of policies/sources.yml holds rows of {feature}"
        for record in self.records.values():
            if record.acceptance is not None and _quotes_production(record.acceptance, feature):
                return f"{record.id} quotes production telemetry of {feature}"
        return None


def _quotes_production(block: Acceptance, feature: str) -> bool:
    for criterion in block.criteria:
        baseline = criterion.baseline
        if baseline is not None and baseline.source is Source.PRODUCTION_TELEMETRY:
            measured = block.feature if baseline.where is None else baseline.where.feature
            if measured == feature:
                return True
    return False
