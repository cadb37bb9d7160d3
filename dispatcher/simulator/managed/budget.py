"""A session's spend ceiling in whole US cents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dispatcher.simulator.metering.ledger import NANOUSD_PER_CENT
from dispatcher.simulator.refusal import invalid

_WHOLE_CENTS = re.compile(r"[1-9]\d*")


def budget_cents(value: object) -> int:
    """The ceiling that a request names."""
    amount = value.get("max_list_cost") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or value.get("type") != "limit" or not isinstance(amount, Mapping):
        raise invalid("budget: Input should be a limit with max_list_cost")
    cents = amount.get("amount")
    if not isinstance(cents, str) or not _WHOLE_CENTS.fullmatch(cents):
        raise invalid('budget.max_list_cost.amount: Input should be a string of whole cents, such as "50"')
    if amount.get("currency") != "USD":
        raise invalid("budget.max_list_cost.currency: Input should be 'USD'")
    return int(cents)


def budget_view(cents: int | None) -> dict[str, Any] | None:
    """The ceiling as the API returns it; None where there is none."""
    return None if cents is None else {"type": "limit", "max_list_cost": money(cents)}


def changed_budget(value: object, before: int | None, spent_nanousd: int) -> int | None:
    """The ceiling after an update: it can be replaced above what is spent, or removed, never added."""
    if value is None:
        return None
    cents = budget_cents(value)
    if before is None:
        raise invalid("a budget can only be set when a session is created", error_code="budget_create_only")
    if cents * NANOUSD_PER_CENT <= spent_nanousd:
        raise invalid("max_list_cost must be above the session's consumed list cost", error_code="budget_not_raised")
    return cents


def money(cents: int) -> dict[str, str]:
    """An amount of US dollars in minor units."""
    return {"amount": str(cents), "currency": "USD"}
