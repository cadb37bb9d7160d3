"""A server's event log, as far as it decides one flag: the flag's own entries, its parents' and its segments'."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from dispatcher.errors import FlagServerUnavailable
from dispatcher.routing.flag_editing.admin import AdminApi
from dispatcher.routing.flag_editing.history import Event

_SEGMENT_EVENTS = ("segment-created", "segment-updated", "segment-deleted")


def read_events(api: AdminApi, flag: str, limit: int) -> list[Event]:
    """The latest events, at most `limit` of each kind. Raises FlagServerUnavailable or InvalidFlags.

    The server files an edit of a segment under no flag, so segments are asked for by themselves: those that the flag
    and its parents use, or used in the events read.
    """
    feature = api.feature(flag)
    deciding = [feature, *(api.feature(one["feature"]) for one in feature.get("dependencies") or [])]
    raw = [one for each in deciding for one in api.events(limit=limit, feature=f"IS:{each['name']}")]
    raw = [one for one in raw if one.get("environment") in {None, api.environment}]
    used = {number for each in deciding for rule in api.content(each).rules for number in rule.get("segments") or []}
    used |= {number for one in raw for data in _data(one) for number in data.get("segments") or []}
    if used:
        for kind in _SEGMENT_EVENTS:
            found = api.events(limit=limit, type=f"IS:{kind}")
            raw += [one for one in found if any(data.get("id") in used for data in _data(one))]
    try:
        return [_event(one) for one in raw]
    except (KeyError, TypeError, ValueError):
        raise FlagServerUnavailable(f"{api.source} keeps an event log of a form that isn't known here") from None


def _data(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in ("preData", "data"):
        if isinstance(event.get(key), dict):
            yield event[key]


def _event(raw: dict[str, Any]) -> Event:
    names = [str(data.get("title") or data.get("name")) for data in _data(raw) if data.get("title") or data.get("name")]
    of_what = [str(raw["featureName"])] if raw.get("featureName") else []
    return Event(
        number=int(raw["id"]),
        at=dt.datetime.fromisoformat(raw["createdAt"]),
        by=str(raw["createdBy"]),
        what=" ".join([str(raw["type"]), *of_what, *(f"({name})" for name in names[-1:])]),
    )
