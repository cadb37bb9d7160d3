"""Lists in pages, and the filters of their query."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.datastructures import QueryParams

from dispatcher.simulator.clock import rfc3339
from dispatcher.simulator.refusal import invalid

T = TypeVar("T")
_NO_CURSOR = "page: not a cursor of this list"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_COMPARISONS: Mapping[str, Callable[[dt.datetime, dt.datetime], bool]] = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
}


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one page and the cursors around it."""

    rows: tuple[Any, ...]
    next_page: str | None
    prev_page: str | None


def page_of(rows: Sequence[T], query: QueryParams, key: Callable[[T], str], *, default: int, most: int) -> Page:
    """Cut the page that the query asks for; a cursor names the last row of the page before."""
    keys = [key(row) for row in rows]
    last = _last_seen(query)
    if last is not None and last not in keys:
        raise invalid(_NO_CURSOR)
    start = 0 if last is None else keys.index(last) + 1
    return _page(rows, keys, start, _limit(query.get("limit"), default, most))


def page_by_creation(
    rows: Sequence[T],
    query: QueryParams,
    moment: Callable[[T], dt.datetime],
    *,
    descending: bool,
    default: int,
    most: int,
) -> Page:
    """Cut the page of rows in the order of their creation; a row may leave the list between two pages."""
    keys = [rfc3339(moment(row)) for row in rows]
    last = _last_seen(query)
    if last is not None and not _MOMENT.fullmatch(last):
        raise invalid(_NO_CURSOR)
    start = 0 if last is None else sum(key >= last if descending else key <= last for key in keys)
    return _page(rows, keys, start, _limit(query.get("limit"), default, most))


def _page(rows: Sequence[T], keys: Sequence[str], start: int, limit: int) -> Page:
    more = start + limit < len(rows)
    before = _cursor(keys[start - limit - 1]) if start > limit else None
    return Page(tuple(rows[start : start + limit]), _cursor(keys[start + limit - 1]) if more else None, before)


def chosen_times(query: QueryParams) -> Callable[[dt.datetime | None], bool]:
    """The filter of `created_at[gte]` and its kin; without any, everything passes."""
    bounds = [
        (compare, query[f"created_at[{name}]"])
        for name, compare in _COMPARISONS.items()
        if f"created_at[{name}]" in query
    ]
    parsed = [(compare, _moment(text)) for compare, text in bounds]

    def passes(moment: dt.datetime | None) -> bool:
        return not parsed or (moment is not None and all(compare(moment, bound) for compare, bound in parsed))

    return passes


def chosen_values(query: QueryParams, name: str) -> frozenset[str]:
    """The values of an array parameter, in either of its spellings; empty where it isn't given."""
    return frozenset((*query.getlist(f"{name}[]"), *query.getlist(name)))


def is_descending(query: QueryParams, default: str) -> bool:
    """The direction that the query asks for."""
    order = query.get("order", default)
    if order not in ("asc", "desc"):
        raise invalid("order: Input should be 'asc' or 'desc'")
    return order == "desc"


def flag(query: QueryParams, name: str) -> bool:
    """A boolean parameter, false where it isn't given."""
    return query.get(name, "false").lower() == "true"


def _limit(text: str | None, default: int, most: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise invalid(f"limit: Input should be an integer from 1 to {most}")
    return int(text)


def _last_seen(query: QueryParams) -> str | None:
    """What the cursor of a query names; None for the first page."""
    cursor = query.get("page")
    if not cursor:
        return None
    try:
        return base64.urlsafe_b64decode(cursor.encode()).decode()
    except (binascii.Error, UnicodeError):
        raise invalid(_NO_CURSOR) from None


def _cursor(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise invalid("created_at: Input should be a valid RFC 3339 timestamp") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
