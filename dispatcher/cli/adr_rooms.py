"""What the verbs of `dispatcher adr` read before they can say anything: policies, other records, and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from decimal import Decimal

    from dispatcher.adr.document import Record
    from dispatcher.adr.measure import Measure
    from dispatcher.adr.surroundings import Surroundings
    from dispatcher.routing.policy import Policies
    from dispatcher.settings import Settings
    from dispatcher.verdict.pinning.sources import Source
    from dispatcher.verdict.register import Candidate

_OWN_LOG = "DISPATCHER_DATABASE_URL"
"""The one variable with a default."""
_FIRST_TO_SEE_A_DAY = 14
"""Hours that the easternmost clocks are ahead of UTC: what is dated there isn't of the future."""


def surroundings_of(settings: Settings, policies: Policies) -> tuple[Surroundings, str | None]:
    """What records are linted against, and why the log couldn't be looked at, None where it was.

    A log that isn't there yet has no rows. Raises InvalidPolicy and InvalidRecord.
    """
    import datetime as dt

    from dispatcher.adr.reader import read_records
    from dispatcher.adr.surroundings import Surroundings
    from dispatcher.audit.conversation import GRACE
    from dispatcher.verdict.pinning.sources import read_sources

    records, _ = read_records(settings.adrs_dir)
    sources = read_sources(settings.policies_dir)
    features = {record.acceptance.feature for record in records if record.acceptance is not None}
    found, unread = _features_with_rows(settings, features)
    around = Surroundings(
        deadlines=deadlines_of(policies),
        grace=GRACE,
        caps=caps_of(policies),
        records={record.id: record for record in records},
        features_with_rows=found,
        pinnable_features=frozenset(source.feature for source in sources.values() if source.feature is not None),
        log_was_read=unread is None,
        sources=frozenset(sources),
        today=(dt.datetime.now(dt.UTC) + dt.timedelta(hours=_FIRST_TO_SEE_A_DAY)).date(),
    )
    return around, unread


def deadlines_of(policies: Policies) -> dict[str, dt.timedelta]:
    """The deadline of every registered variant."""
    import datetime as dt

    return {name: dt.timedelta(seconds=variant.deadline_s) for name, variant in policies.variants.items()}


def caps_of(policies: Policies) -> dict[tuple[Measure, str], Decimal]:
    """The caps of every registered variant on what a criterion may be about."""
    from decimal import Decimal

    from dispatcher.adr.measure import Measure

    caps = {(Measure.ITERATIONS, name): Decimal(each.iteration_cap) for name, each in policies.variants.items()}
    dollars = {name: Decimal(each.cost_cap_nanousd).scaleb(-9) for name, each in policies.variants.items()}
    return caps | {(Measure.COST, name): cap for name, cap in dollars.items()}


def _features_with_rows(settings: Settings, features: set[str]) -> tuple[frozenset[str], str | None]:
    from dispatcher.audit.engine import open_existing
    from dispatcher.errors import SourceUnreachable
    from dispatcher.verdict.measurement.presence import features_with_rows

    try:
        engine = open_existing(settings.database_url.get_secret_value())
        if engine is None:
            return frozenset(), None
        try:
            return features_with_rows(engine, features), None
        finally:
            engine.dispose()
    except SourceUnreachable as error:
        return frozenset(), str(error)


def candidate_of(record: Record, settings: Settings, policies: Policies) -> Candidate:
    """What a registration must know. Raises InvalidRecord where the candidate isn't a registered variant."""
    from dispatcher.errors import InvalidRecord
    from dispatcher.verdict.register import Candidate
    from dispatcher.wiring.prompts import with_prompts

    if record.acceptance is None:
        raise InvalidRecord(record.id, ["says `acceptance: none`: there is nothing to judge"])
    variant = with_prompts(policies).variants.get(record.acceptance.candidate.variant)
    around, _ = surroundings_of(settings, policies)
    return Candidate(hash="" if variant is None else variant.hash, around=around)


def url_of(source: Source, settings: Settings) -> str:
    """The URL of a source. Raises InvalidPolicy where its variable isn't set."""
    from dispatcher.errors import InvalidPolicy
    from dispatcher.settings import source_url

    if source.url == _OWN_LOG:
        return settings.database_url.get_secret_value()
    held = source_url(source.url)
    if held is None:
        raise InvalidPolicy("sources.yml", [f"the environment variable {source.url} isn't set; it holds the URL"])
    return held.get_secret_value()
