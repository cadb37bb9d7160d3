"""How `conduct:` is written in a feature's policy: retries, breaker, concurrency, budgets, and what is kept."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dispatcher.action.decision import PathName
from dispatcher.action.policy import BreakerPolicy, Budget, Conduct, Keeping, Period, Redaction, RetryPolicy
from dispatcher.action.request import nanousd
from dispatcher.document.notation import Contradictions, Duration, Name, Number, Positive, Strict, as_tuple, plain

_MOST_DOLLARS = 10**9


def _dollars(usd: Decimal) -> Decimal:
    # In 10⁻⁹ dollars it must be something, and fit a column of 64 bits.
    if not (nanousd(usd) > 0 and usd <= _MOST_DOLLARS):
        raise ValueError(f"{plain(usd)} is not an amount from 0.000000001 to {_MOST_DOLLARS} US dollars")
    return usd


def _some_time(span: dt.timedelta) -> dt.timedelta:
    if not span:
        raise ValueError("is no time at all: leave it out to keep nothing")
    return span


Dollars = Annotated[Number, AfterValidator(_dollars)]
"""US dollars, more than nothing."""


class _Retries(Strict):
    attempts: int = Field(default=3, ge=1, le=10)
    first_wait_s: Positive = Decimal("0.5")
    longest_wait_s: Positive = Decimal(8)

    @model_validator(mode="after")
    def _waits_grow(self) -> _Retries:
        if self.longest_wait_s < self.first_wait_s:
            raise Contradictions([f"the longest wait, {plain(self.longest_wait_s)} s, is shorter than the first"])
        return self


class _Breaker(Strict):
    failures: int = Field(default=5, ge=1)
    cooldown_s: Positive = Decimal(30)


class _Concurrency(Strict):
    messages: int = Field(default=256, ge=1)
    managed: int = Field(default=256, ge=1)
    queue: int = Field(default=10_000, ge=0)


class _Budget(Strict):
    usd: Dollars
    per: Period = Field(strict=False)  # strict, it would take no text

    def budget(self) -> Budget:
        return Budget(nanousd=nanousd(self.usd), per=self.per)


class _Budgets(Strict):
    default: _Budget | None = None
    tenants: dict[Name, _Budget] = Field(default_factory=dict)


class _Keeping(Strict):
    ttl: Annotated[Duration, AfterValidator(_some_time)]
    max_bytes: int = Field(ge=1)

    def keeping(self) -> Keeping:
        return Keeping(ttl=self.ttl, max_bytes=self.max_bytes)


class _Keep(Strict):
    redact: Annotated[
        tuple[Annotated[Redaction, Field(strict=False)], ...],  # strict, it would take no text
        BeforeValidator(as_tuple),
    ] = (Redaction.CREDENTIALS,)
    conversations: _Keeping | None = None
    results: _Keeping | None = None


class ConductDefinition(Strict):
    """The section `conduct:`; whatever is left out has the default of `Conduct`'s parts."""

    retries: _Retries = _Retries()
    breaker: _Breaker = _Breaker()
    concurrency: _Concurrency = _Concurrency()
    budgets: _Budgets = _Budgets()
    keep: _Keep = _Keep()
    session_ttl: Duration = dt.timedelta(hours=24)

    def conduct(self) -> Conduct:
        """The section's meaning."""
        retries, keep = self.retries, self.keep
        return Conduct(
            retries=RetryPolicy(
                attempts=retries.attempts,
                first_wait_s=float(retries.first_wait_s),
                longest_wait_s=float(retries.longest_wait_s),
            ),
            breaker=BreakerPolicy(failures=self.breaker.failures, cooldown_s=float(self.breaker.cooldown_s)),
            concurrency={
                PathName.MESSAGES: self.concurrency.messages,
                PathName.MANAGED: self.concurrency.managed,
            },
            queue=self.concurrency.queue,
            default_budget=None if self.budgets.default is None else self.budgets.default.budget(),
            budgets={tenant: budget.budget() for tenant, budget in self.budgets.tenants.items()},
            conversations=None if keep.conversations is None else keep.conversations.keeping(),
            results=None if keep.results is None else keep.results.keeping(),
            session_ttl=self.session_ttl,
            redact=keep.redact,
        )
