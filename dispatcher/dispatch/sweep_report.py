"""What a sweep of the log did, and why it left what it left. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dispatcher.action.observation import UsageQuality
from dispatcher.audit.owner import Life


class Unread(StrEnum):
    """Why a row's usage isn't known, where no session was asked for it."""

    OWNER_GONE = "owner_gone"
    """On the messages path only the attempt's own process has the figures."""
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    OTHER_ORIGIN = "other_origin"
    """Another provider's session, such as the simulator's."""
    NO_PROVIDER = "no_provider"
    """There was no key to ask it with."""


class Left(StrEnum):
    """Why an overdue row stays open for now; each of these ends after the sweep's patience."""

    OWNER_ALIVE = "owner_alive"
    OWNER_UNSEEN = "owner_unseen"
    ENDING_WAITS = "ending_waits"
    """It is in this host's spool."""
    SESSION_UNREAD = "session_unread"
    ENDED_MEANWHILE = "ended_meanwhile"
    """It ended after it was looked at, or another sweep gave it up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A row that became `lost`; with a dry run, one that would."""

    log_id: str
    tenant: str
    path: str
    variant: str
    owner: str | None
    life: Life
    overdue_s: int
    session_id: str | None = None
    usage_quality: UsageQuality | None = None
    cost_nanousd: int | None = None
    usage_unavailable_reason: str | None = None


class Uncosted(StrEnum):
    """Why a row gets no cost, although its session could be read."""

    COMPLETED_MEANWHILE = "completed_meanwhile"
    """Another program was first."""

    USAGE_INCOMPLETE = "usage_incomplete"
    """What it told of its requests isn't what it counted."""
    NO_PRICE = "no_price"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A row whose cost became known; with a dry run, one whose cost would. In nano-dollars."""

    log_id: str
    tenant: str
    session_id: str
    cost_nanousd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsReport:
    """What became of the ended rows that lacked a cost: those that have one now, and how many are left, by reason."""

    completed: tuple[Completed, ...]
    left: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsReport:
    """What a sweep did with the overdue rows: those that it gave up, and how many it left, by reason."""

    given_up: tuple[GivenUp, ...]
    left: Mapping[str, int]
