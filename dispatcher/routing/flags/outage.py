"""Saying that a flag server is away, in a bounded number of lines."""

from __future__ import annotations

import logging

REPEAT_S = 600.0
"""How often a lasting outage is repeated."""
QUIET_S = 60.0
"""How long after an outage was announced the next one isn't, so that a server that flaps doesn't fill the log."""


class OutageLog:
    """Announces an outage once, repeats it every REPEAT_S, and announces its end if its beginning was."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._announced_at: float | None = None
        self._away_since: float | None = None
        self._announced = False

    def failed(self, problem: str, kept: str, now: float) -> None:
        """The server can't be used; `kept` says what is in force meanwhile, `now` is monotonic in seconds."""
        first = self._away_since is None
        self._away_since = now if self._away_since is None else self._away_since
        wait_s = QUIET_S if first or not self._announced else REPEAT_S
        if self._announced_at is None or now - self._announced_at >= wait_s:
            since = "" if first else f" (for {now - self._away_since:.0f} s)"
            self._logger.warning("%s%s; %s", problem, since, kept)
            self._announced_at, self._announced = now, True

    def answered(self, source: str, now: float) -> None:
        """The server can be used."""
        if self._away_since is not None and self._announced:
            self._logger.info("%s answers again, after %.0f s", source, now - self._away_since)
        self._away_since, self._announced = None, False
