"""Which stretch of a record's evidence counts: pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from dispatcher.audit.registrations import Registration


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition of the candidate, by its hash, and when its first row reached the database."""

    hash: str
    first_seen: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """Evidence counts from `start`, for one definition of the candidate; `number` says how much of alpha is left.

    `record_hash` is that of the block that was registered.
    """

    number: int
    start: dt.datetime
    candidate_hash: str
    record_hash: str


def newest_registration(registrations: Sequence[Registration], as_of: dt.datetime) -> Registration | None:
    """The registration that stood at a moment; None before the first."""
    standing = [registration for registration in registrations if registration.start <= as_of]
    return standing[-1] if standing else None


def current_epoch(
    registrations: Sequence[Registration], seen: Sequence[Definition], as_of: dt.datetime
) -> Epoch | None:
    """The epoch at a moment: the newest registration's or, where the candidate has changed since, the change's own.

    `seen` are all definitions with rows, in the order of their first. One that an earlier registration named, or whose
    first row came before the newest registration, is an older one: its later rows open nothing.
    """
    registered = newest_registration(registrations, as_of)
    if registered is None:
        return None
    known = {registration.candidate_hash for registration in registrations if registration.epoch <= registered.epoch}
    unregistered = [each for each in seen if each.hash not in known and each.first_seen >= registered.start]
    newest = unregistered[-1] if unregistered else Definition(registered.candidate_hash, registered.start)
    return Epoch(
        number=registered.epoch + len(unregistered),
        start=newest.first_seen,
        candidate_hash=newest.hash,
        record_hash=registered.record_hash,
    )
