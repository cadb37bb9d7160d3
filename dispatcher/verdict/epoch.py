"""Which stretch of a record's evidence counts: pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from dispatcher.audit.registrations import Registration

MOST_ASTRAY = Fraction(1, 1000)
"""First attempts that may run otherwise than was routed, or than the others."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition of a variant, by its hash, when its first and last row reached the database, and how many did."""

    variant: str
    hash: str
    first_seen: dt.datetime
    last_seen: dt.datetime
    dispatches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """Evidence counts from `start`, for one definition of the candidate; `number` says how much of alpha is left.

    `record_hash` is that of the block that was registered. `control_mixed` says whether the control has run under more
    than one definition since the start, so that what is held against it is held against two things.
    """

    number: int
    start: dt.datetime
    candidate_hash: str
    record_hash: str
    control_mixed: bool = False


def newest_registration(registrations: Sequence[Registration], as_of: dt.datetime) -> Registration | None:
    """The registration that stood at a moment; None before the first."""
    standing = [registration for registration in registrations if registration.start <= as_of]
    return standing[-1] if standing else None


def current_epoch(
    registrations: Sequence[Registration], seen: Sequence[Definition], as_of: dt.datetime
) -> Epoch | None:
    """The epoch at a moment: the newest registration's or, where the candidate has changed since, the change's own.

    `seen` are all definitions of the candidate with rows, in the order of their first. One that an earlier registration
    named, or whose first row came before the newest registration, is an older one: its later rows open nothing.
    """
    registered = newest_registration(registrations, as_of)
    if registered is None:
        return None
    known = {registration.candidate_hash for registration in registrations if registration.epoch <= registered.epoch}
    unregistered = [each for each in seen if each.hash not in known and each.first_seen >= registered.start]
    changed = unregistered[-1] if unregistered else None
    return Epoch(
        number=registered.epoch + len(unregistered),
        start=registered.start if changed is None else changed.first_seen,
        candidate_hash=registered.candidate_hash if changed is None else changed.hash,
        record_hash=registered.record_hash,
    )


def of_variant(seen: Sequence[Definition], variant: str) -> tuple[Definition, ...]:
    """The definitions of one variant, in the same order."""
    return tuple(each for each in seen if each.variant == variant)


def is_mixed(seen: Sequence[Definition], start: dt.datetime) -> bool:
    """Whether a variant has run under more than one definition since a moment, but for one row in a thousand."""
    since = [each.dispatches for each in seen if each.last_seen >= start]
    return bool(since) and sum(since) - max(since) > MOST_ASTRAY * sum(since)
