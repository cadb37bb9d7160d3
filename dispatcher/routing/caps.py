"""The caps of an attempt: a variant's, tightened by what the caller limits. Pure."""

from __future__ import annotations

from typing import TypeVar

from dispatcher.action.decision import Caps, Variant
from dispatcher.action.request import Limits


def tightened(variant: Variant, limits: Limits) -> Caps:
    """The caps in force: a limit can only tighten the variant's."""
    return Caps(
        iterations=_lower(variant.iteration_cap, limits.iterations),
        tool_calls=_lower(variant.tool_call_cap, limits.tool_calls),
        tokens=_lower(variant.token_cap, limits.tokens),
        cost_nanousd=_lower(variant.cost_cap_nanousd, limits.cost_nanousd),
        deadline_s=float(_lower(variant.deadline_s, limits.deadline_s)),
    )


_Number = TypeVar("_Number", int, float)


def _lower(cap: _Number, limit: _Number | None) -> _Number:
    return cap if limit is None else min(cap, limit)
