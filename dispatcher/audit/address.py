"""The URL of a database, as it may be written."""

from __future__ import annotations

import sqlalchemy as sa

from dispatcher.errors import SourceUnreachable

FORM = "write it as sqlite:////absolute/path/to/file.db or postgresql+psycopg://user@host/name"
"""What to do about a URL that can't be read."""


def parse(url: str) -> sa.URL:
    """A database's URL, read. Raises SourceUnreachable, without a word of what it says."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # The text may hold a password, so it isn't shown.
        raise SourceUnreachable(f"the database URL can't be read; {FORM}") from None
    if parsed.get_backend_name() != "sqlite":
        if any("@" in part for part in (parsed.host or "", parsed.database or "", url.partition("?")[2])):
            # What comes before it was taken for the whole password, and what comes after would be shown as a name.
            raise SourceUnreachable("the database URL can't be read: an @ in a user or a password is written %40")
        return parsed
    if parsed.database in {None, "", ":memory:"}:
        raise SourceUnreachable(f"a log in memory would not outlive its process; name a file: {FORM}")
    if parsed.query or str(parsed.database).startswith("file:"):
        raise SourceUnreachable(f"a SQLite URL takes a path and no options; {FORM}")
    return parsed
