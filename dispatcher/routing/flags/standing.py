"""Where a flag sends everybody, tenant by tenant: what people are shown, and what changes are told in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dispatcher.action.decision import DEFAULT_VARIANT
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.named import Key
from dispatcher.routing.flags.survey import Surveyed, survey

By = Literal["tenant", "conversation", "project"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where one tenant's actions go, or with `tenant` None everybody's whom no rule names.

    `project` None means every project that has no entry of its own. `shares` are the variants with their
    probabilities, which add up to 1, and `by` is what a draw sticks to, None where chance has no part; of several draws
    the finest. `rule` is the title of the first rule that applies, None where none does.
    """

    tenant: str | None
    project: str | None
    by: By | None
    shares: tuple[tuple[str, float], ...]
    rule: str | None

    @property
    def text(self) -> str:
        """The variant, or the draw: `20 % managed, 80 % legacy by conversation`."""
        if self.by is None:
            return self.shares[0][0]
        return f"{', '.join(f'{share * 100:.4g} % {variant}' for variant, share in self.shares)} by {self.by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One tenant, or with `tenant` None everybody else, sent elsewhere; `before` is None where nothing is known."""

    tenant: str | None
    project: str | None
    before: Entry | None
    after: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a flag says for every tenant that a rule names, and for everybody else.

    While the flag isn't `on`, everybody stays on `legacy`, `detail` says why, and `entries` is what would be.
    """

    on: bool
    detail: str
    entries: tuple[Entry, ...]

    def to_json(self) -> str:
        """The standing as JSON text with sorted keys."""
        entries = [
            {
                "tenant": e.tenant,
                "project": e.project,
                "by": e.by,
                "shares": [list(s) for s in e.shares],
                "rule": e.rule,
            }
            for e in self.entries
        ]
        held = {"on": self.on, "detail": self.detail, "entries": entries}
        return json.dumps(held, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Standing:
        """What `to_json` wrote."""
        held: dict[str, Any] = json.loads(text)
        entries = tuple(
            Entry(**{**entry, "shares": tuple((variant, share) for variant, share in entry["shares"])})
            for entry in held["entries"]
        )
        return cls(on=held["on"], detail=held["detail"], entries=entries)

    def entry(self, tenant: str | None, project: str | None = None) -> Entry:
        """Where the actions of a tenant and project go while the flag is as it is; None is whom no rule names."""
        return Places(self).entry(tenant, project)


class Places:
    """A standing as something to look many tenants up in."""

    def __init__(self, standing: Standing) -> None:
        self._held = {(entry.tenant, entry.project): entry for entry in standing.entries} if standing.on else {}

    def entry(self, tenant: str | None, project: str | None = None) -> Entry:
        """As `Standing.entry`."""
        for key in ((tenant, project), (tenant, None), (None, project), (None, None)):
            if key in self._held:
                return self._held[key]
        return _legacy(tenant, project)


def standing_of(engine: FlagEngine, flag: str) -> Standing:
    """What the flag says, asked of the engine for every tenant that a rule or segment names and for one that none does.

    A parent that is on for some tenants only is reported as `legacy` for those whom it switches the flag off for.
    """
    surveyed = survey(engine, flag)
    if surveyed is None:
        return Standing(on=False, detail=f"the document doesn't hold {flag!r}", entries=())
    on = any(place.off is None for place in surveyed.values())
    entries = [_entry(key, place, obey=on) for key, place in surveyed.items()]
    detail = "" if on else next((place.off for place in surveyed.values() if place.off), f"{flag!r} is off")
    return Standing(on=on, detail=detail, entries=tuple(sorted(_telling(entries), key=_order)))


def moves(before: Standing | None, after: Standing) -> tuple[Move, ...]:
    """Who is sent elsewhere than before, by tenant; a rule that was only renamed moves nobody."""
    keys = {(entry.tenant, entry.project) for entry in after.entries} | {(None, None)}
    if before is not None:
        keys |= {(entry.tenant, entry.project) for entry in before.entries}
    found, places_before, places_after = [], None if before is None else Places(before), Places(after)
    for tenant, project in keys:
        was = None if places_before is None else places_before.entry(tenant, project)
        now = places_after.entry(tenant, project)
        if was is None or (was.by, was.shares) != (now.by, now.shares):
            found.append(Move(tenant=tenant, project=project, before=was, after=now))
    return tuple(sorted(found, key=_order))


def _order(placed: Entry | Move) -> tuple[bool, str, bool, str]:
    return placed.tenant is None, placed.tenant or "", placed.project is not None, placed.project or ""


def _legacy(tenant: str | None, project: str | None, rule: str | None = None) -> Entry:
    return Entry(tenant=tenant, project=project, by=None, shares=((DEFAULT_VARIANT, 1.0),), rule=rule)


def _entry(key: Key, place: Surveyed, *, obey: bool) -> Entry:
    tenant, project = key
    if obey and place.off is not None:
        return _legacy(tenant, project)
    shares = tuple((variant, round(float(share), 9)) for variant, share in place.shares)
    by = next((name for name in _FINEST_FIRST if name in place.drawn_by), None)
    return Entry(tenant=tenant, project=project, by=by, shares=shares, rule=place.rule)


_FINEST_FIRST: tuple[By, ...] = ("conversation", "project", "tenant")


def _telling(entries: list[Entry]) -> Iterator[Entry]:
    """Without the entries of projects that go where their tenant goes anyway."""
    held = {(entry.tenant, entry.project): entry for entry in entries}
    for entry in entries:
        above = held[entry.tenant, None]
        if entry.project is None or (entry.by, entry.shares) != (above.by, above.shares):
            yield entry
