"""What the policies say of carrying out actions, apart from the variants: retries, breakers, budgets, keeping."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dispatcher.action.decision import PathName

SHORTEST_KEEPING = dt.timedelta(days=32)
"""How long rows of the log are kept at least: a budget of the month is held against the sum over them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How a request is sent again after a transient failure that came before any output.

    `attempts` counts the first sending, so 1 never retries. Waits are in seconds, double from the first to the
    longest, and are drawn between half of that and the whole; a provider's `Retry-After` is a lower bound. A wait that
    wouldn't end before the deadline isn't begun.
    """

    attempts: int = 3
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a path is left alone: after `failures` failures of the provider in a row, for `cooldown_s` seconds."""

    failures: int = 5
    cooldown_s: float = 30.0


class Period(StrEnum):
    """What a budget is for; in UTC."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a tenant may spend in a period, in 10⁻⁹ US dollars."""

    nanousd: int
    per: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long content is kept, and how much of it in bytes: of one conversation, or of one result."""

    ttl: dt.timedelta
    max_bytes: int


class Redaction(StrEnum):
    """What is taken out of content before it is kept; closed."""

    CREDENTIALS = "credentials"
    """Keys and tokens in the forms that providers give them, private keys, a password in an address."""
    EMAIL_ADDRESSES = "email_addresses"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How the actions of a feature are carried out.

    `concurrency` bounds the attempts of a path that run at once in one process; `queue` those that wait. A tenant that
    `budgets` doesn't name has `default_budget`; None is no budget. `conversations` and `results` are None where that
    content isn't kept, and what `redact` names is taken out of it before. A managed session is used again for a later
    turn within `session_ttl` of its latest one.
    """

    retries: RetryPolicy
    breaker: BreakerPolicy
    concurrency: Mapping[PathName, int]
    queue: int
    default_budget: Budget | None
    budgets: Mapping[str, Budget]
    conversations: Keeping | None
    results: Keeping | None
    session_ttl: dt.timedelta
    redact: tuple[Redaction, ...] = (Redaction.CREDENTIALS,)

    def budget_of(self, tenant: str) -> Budget | None:
        """The tenant's budget; None where it has none."""
        return self.budgets.get(tenant, self.default_budget)
