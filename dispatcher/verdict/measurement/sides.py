"""The two sides of the comparison: which one a dispatch is on, what keeps it out, and what its side had in the draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func

from dispatcher.action.decision import Reason
from dispatcher.adr.document import Acceptance
from dispatcher.verdict.measured import Arm, LeftOut
from dispatcher.verdict.measurement.integers import remainder

_HALF = 0.5
_SPREAD, _PLACES = 40_503, 65_536
"""Neighbouring milliseconds come far from each other: a multiplicative hash (Knuth, golden ratio · 2¹⁶)."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The sides of a record. Against itself, the control's conversations are split by a hash of their beginning.

    The hash knows nothing of what happened, so both sides of such a split are alike, and whatever evidence there is
    that they aren't is a false alarm.
    """

    block: Acceptance
    candidate_hash: str | None
    against_itself: bool = False

    @property
    def candidate_share(self) -> float:
        """The share of a split against itself that plays the candidate."""
        share = self.block.assignment.share
        return _HALF if share is None else float(share)

    def arm(self, p: Any) -> sa.ColumnElement[str]:
        """The side of a dispatch, by the variant that was routed."""
        return self.by_arm(p, {arm: arm.value for arm in (Arm.CANDIDATE, Arm.CONTROL, Arm.OTHER)})

    def by_arm(self, p: Any, of: Mapping[Arm, Any]) -> sa.ColumnElement[Any]:
        """What belongs to the side of a dispatch."""
        candidate, control = self.block.candidate.variant, self.block.control.variant
        if not self.against_itself:
            sides = {candidate: of[Arm.CANDIDATE], control: of[Arm.CONTROL]}
            return case(sides, value=p.routed_variant, else_=of[Arm.OTHER])
        place = remainder(func.coalesce(p.first_ms, 0) * _SPREAD, _PLACES)
        plays_candidate = place < round(self.candidate_share * _PLACES)
        return case(
            ((p.routed_variant == control) & plays_candidate, of[Arm.CANDIDATE]),
            (p.routed_variant == control, of[Arm.CONTROL]),
            else_=of[Arm.OTHER],
        )

    def share(self, p: Any) -> sa.ColumnElement[float]:
        """What the side of a dispatch had in the draw."""
        share: sa.ColumnElement[float] = p.assignment_share
        if not self.against_itself:
            return share
        own = case((self.arm(p) == Arm.CANDIDATE.value, self.candidate_share), else_=1 - self.candidate_share)
        return sa.cast(own, sa.Double)

    def barred(self, p: Any) -> sa.ColumnElement[str]:
        """Why a dispatch keeps its whole conversation out."""
        variants = {self.block.candidate.variant, self.block.control.variant}
        variants = {self.block.control.variant} if self.against_itself else variants
        drawn = self.block.assignment.kind == "sticky_share"
        reasons = (Reason.SHARE.value, Reason.STICKY.value) if drawn else (Reason.FLAG.value, Reason.DEFAULT.value)
        # One by one, since PostgreSQL takes several times as long for a list of them.
        known = p.routed_variant.is_not(None) & sa.or_(*(p.routed_variant == each for each in sorted(variants)))
        rules = [
            (sa.not_(known), LeftOut.OTHER_VARIANT.value),
            (p.reason.is_(None), LeftOut.NO_REASON.value),
            (sa.and_(*(p.reason != each for each in reasons)), p.reason),
        ]
        if drawn:
            share = func.coalesce(p.assignment_share, 0)
            rules.append(((share <= 0) | (share >= 1), LeftOut.NOT_DRAWN.value))
        if self.candidate_hash is not None and not self.against_itself:
            other = func.coalesce(p.variant_hash, "") != self.candidate_hash
            candidate = (p.routed_variant == self.block.candidate.variant) & ran_as_routed(p)
            rules.append((candidate & other, LeftOut.OTHER_CANDIDATE.value))
        return case(*rules)

    def usual(self, p: Any) -> list[sa.ColumnElement[bool]]:
        """Conditions under which a dispatch is on one of the two sides, ran what was routed, and bars nothing."""
        drawn = self.block.assignment.kind == "sticky_share"
        reasons = (Reason.STICKY.value, Reason.SHARE.value) if drawn else (Reason.FLAG.value, Reason.DEFAULT.value)
        candidate: sa.ColumnElement[bool] = p.routed_variant == self.block.candidate.variant
        if self.candidate_hash is not None:
            candidate &= p.variant_hash == self.candidate_hash
        conditions = [
            candidate | (p.routed_variant == self.block.control.variant),
            p.variant == p.routed_variant,
            sa.or_(*(p.reason == each for each in reasons)),
        ]
        return [*conditions, p.assignment_share > 0, p.assignment_share < 1] if drawn else conditions


def ran_as_routed(p: Any) -> sa.ColumnElement[bool]:
    """Whether the first attempt ran what was routed; its definition is that of what ran."""
    ran: sa.ColumnElement[bool] = func.coalesce(p.variant, "") == p.routed_variant
    return ran
