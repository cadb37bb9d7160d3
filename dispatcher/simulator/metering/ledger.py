"""What the simulator charged, for tests that compare it with what was recorded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dispatcher.action.observation import ZERO_USAGE, Usage
from dispatcher.prices import PriceTable

Api = Literal["messages", "managed"]
Delivered = Literal["whole", "part", "none"]
NANOUSD_PER_CENT = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One charge: a model request, or the running time of a managed session.

    `request_id` is that of the HTTP request on Messages and of the span's end event on Managed. `active_ms` is
    simulated running time, 0 on a model request. `cost_nanousd` is in 10⁻⁹ US dollars, None where the model has no
    price.

    `delivered` is how much of the response the client was sent: a response of which it saw nothing (`none`) is charged
    in full; of one that broke off (`part`) the input is charged in full and the output as far as it was written. On
    Managed the client reads what happened from the session, so it is always `whole`. `question` is the text of the
    first message of a Messages request: what a client knows of a request whose response it never saw.
    """

    api: Api
    session_id: str | None
    request_id: str
    model: str
    usage: Usage
    active_ms: int
    cost_nanousd: int | None
    delivered: Delivered = "whole"
    question: str | None = None


class Ledger:
    """The charges of one simulator, in order."""

    def __init__(self, prices: PriceTable) -> None:
        self.prices = prices
        self._entries: list[LedgerEntry] = []

    @property
    def entries(self) -> Sequence[LedgerEntry]:
        """Every charge so far."""
        return tuple(self._entries)

    def charge_request(
        self,
        api: Api,
        request_id: str,
        model: str,
        usage: Usage,
        on: dt.date,
        *,
        session_id: str | None = None,
        delivered: Delivered = "whole",
        question: str | None = None,
    ) -> LedgerEntry:
        """Charge a model request at the list price of the day."""
        entry = LedgerEntry(
            api=api,
            session_id=session_id,
            request_id=request_id,
            model=model,
            usage=usage,
            active_ms=0,
            cost_nanousd=self.prices.cost_nanousd(model, usage, on),
            delivered=delivered,
            question=question,
        )
        self._entries.append(entry)
        return entry

    def charge_runtime(
        self, session_id: str, request_id: str, model: str, active_ms: int, *, charged_ms: int
    ) -> LedgerEntry:
        """Charge a managed session for simulated milliseconds of running, after those charged already.

        The whole is rounded, not each charge, so that the charges add up to the price of the session's running time.
        """
        cost = self.prices.runtime_cost_nanousd
        entry = LedgerEntry(
            api="managed",
            session_id=session_id,
            request_id=request_id,
            model=model,
            usage=ZERO_USAGE,
            active_ms=active_ms,
            cost_nanousd=cost(charged_ms + active_ms) - cost(charged_ms),
        )
        self._entries.append(entry)
        return entry


def whole_cents(nanousd: int) -> int:
    """US cents, rounded half up, as the API states a list cost."""
    return (2 * nanousd + NANOUSD_PER_CENT) // (2 * NANOUSD_PER_CENT)
