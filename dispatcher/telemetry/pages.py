"""Reading a table in pages, each from where the one before ended, so that neither memory nor a lock grows with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa


def beyond(key: Sequence[sa.Column[Any]], last: Mapping[str, Any] | None) -> sa.ColumnElement[bool]:
    """The rows whose key comes after the last one's, in the order of the key; every row where there was none.

    Spelled out instead of compared as a tuple, of which not every engine makes a search in an index.
    """
    if last is None:
        return sa.true()
    first, *rest = key
    later: sa.ColumnElement[bool] = first > last[first.name]
    if not rest:
        return later
    tied = sa.and_(first == last[first.name], beyond(rest, last))
    return sa.and_(first >= last[first.name], sa.or_(later, tied))


def up_to(key: Sequence[sa.Column[Any]], last: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    """The rows whose key isn't after the last one's: the others than `beyond` gives, spelled so that an index helps."""
    first, *rest = key
    not_after: sa.ColumnElement[bool] = first <= last[first.name]
    if not rest:
        return not_after
    tied = sa.and_(first == last[first.name], up_to(rest, last))
    return sa.and_(not_after, sa.or_(first < last[first.name], tied))
