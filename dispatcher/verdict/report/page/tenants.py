"""Tenant by tenant: how much of each arm was counted, and how it ended."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.measured import Arm, Cell
from dispatcher.verdict.report.amounts import many
from dispatcher.verdict.report.page.element import element, tenth

MOST = 40
"""Tenants that get a line of their own: those with an alarm first, then the largest."""


@dataclass(slots=True)
class _Counts:
    n: int = 0
    over: int = 0
    failed: int = 0

    def add(self, cell: Cell, criteria: list[str]) -> None:
        self.n += cell.dispatches
        self.failed += cell.failed
        above = max((cell.counted[name].over for name in criteria if name in cell.counted), default=0)
        self.over += max(0, above - cell.failed)


def tenant_strip(verdict: Verdict) -> Element | None:
    """One line per tenant with a bar for each arm; None where nothing was counted."""
    counts = _counts(verdict)
    if not counts:
        return None
    # The alarm of the only tenant is that of the criterion.
    alarmed = {tenant for finding in verdict.findings for tenant in finding.tenants if len(verdict.block.tenants) > 1}
    largest = max(each.n for arms in counts.values() for each in arms.values())
    order = sorted(
        counts, key=lambda tenant: (tenant not in alarmed, -sum(c.n for c in counts[tenant].values()), tenant)
    )
    rows = [_row(tenant, counts[tenant], largest, alarmed=tenant in alarmed) for tenant in order[:MOST]]
    head = element("tr", *(element("th", words, scope="col") for words in ("tenant", "candidate", "control")))
    table = element("table", element("thead", head), element("tbody", *rows), class_="tenants")
    rest = order[MOST:]
    more = element("p", f"And {many(len(rest), 'tenant')} more.", class_="quiet") if rest else None
    return element("div", table, *([more] if more is not None else []))


def _counts(verdict: Verdict) -> dict[str, dict[Arm, _Counts]]:
    percentiles = [each.id for each in verdict.block.criteria if each.quantile is not None]
    counts: dict[str, dict[Arm, _Counts]] = defaultdict(lambda: {Arm.CANDIDATE: _Counts(), Arm.CONTROL: _Counts()})
    for arm in (Arm.CANDIDATE, Arm.CONTROL):
        for cell in verdict.measurement.of(arm):
            counts[cell.tenant][arm].add(cell, percentiles)
    return counts


def _row(tenant: str, arms: dict[Arm, _Counts], largest: int, *, alarmed: bool) -> Element:
    name = element("th", tenant, *([element("span", "alarm", class_="alarm")] if alarmed else []), scope="row")
    return element("tr", name, *(element("td", *_bar(arms[arm], arm, largest)) for arm in (Arm.CANDIDATE, Arm.CONTROL)))


def _bar(counts: _Counts, arm: Arm, largest: int) -> list[Element]:
    if not counts.n:
        return [element("span", "none", class_="quiet")]
    parts = ((counts.n - counts.over - counts.failed, arm.value), (counts.over, "over"), (counts.failed, "failed"))
    said = many(counts.n, "dispatch").replace("dispatchs", "dispatches")
    said += f", {counts.over} too slow" if counts.over else ""
    said += f", {counts.failed} failed" if counts.failed else ""
    pieces = [
        element("span", class_=f"piece {class_}", style=f"width:{tenth(100 * count / largest)}%")
        for count, class_ in parts
        if count > 0
    ]
    return [element("span", *pieces, class_="bar", title=said), element("span", said, class_="quiet small")]
