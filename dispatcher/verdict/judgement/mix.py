"""Whether the candidate was heard by every tenant that the record speaks of: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from dispatcher.verdict.measured import Arm, Measurement

FEWEST_EXPECTED = 10
"""Clusters that a tenant should have by its weight before too few of them say anything."""
_ENOUGH = Fraction(1, 2)


def unheard(tenants: Mapping[str, Decimal], measurement: Measurement, *, up_to: int) -> tuple[str, ...]:
    """The tenants with less than half of the candidate's clusters that their registered weight says.

    A percentile or a rate is of all clusters together. Where a tenant was let in and taken out again, or at a share far
    below the others', it is the others' percentile, and "easy tenants first" in another dress.
    """
    clusters: Counter[str] = Counter()
    for cell in measurement.of(Arm.CANDIDATE, up_to=up_to):
        clusters[cell.tenant] += cell.clusters
    expected = {tenant: Fraction(weight) * clusters.total() for tenant, weight in tenants.items()}
    return tuple(
        tenant
        for tenant, count in sorted(expected.items())
        if count >= FEWEST_EXPECTED and clusters[tenant] < _ENOUGH * count
    )
