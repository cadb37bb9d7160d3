"""How often a flag was asked and what it answered, as Unleash takes it, so that its pages show the flag alive."""

from __future__ import annotations

import datetime as dt
import json
import platform
import threading
from collections import Counter
from typing import Any

from dispatcher.routing.flags.answer import FlagAnswer, FlagState
from dispatcher.routing.flags.document import STRATEGIES

APP_NAME = "dispatcher"
SDK = "dispatcher:1"
SPECIFICATION = "6.1.0"
"""The version of Unleash's client specification by which the server forms its document."""


class Usage:
    """Counts of answers since the last report; counted from any thread."""

    def __init__(self, started: dt.datetime) -> None:
        self._lock = threading.Lock()
        self._counted: Counter[tuple[str, str | None]] = Counter()
        self._since = started

    def count(self, flag: str, answer: FlagAnswer) -> None:
        """One answer; only a variant counts as a yes."""
        key = flag, answer.variant if answer.state is FlagState.VARIANT else None
        with self._lock:
            self._counted[key] += 1

    def take(self, now: dt.datetime) -> dict[str, Any] | None:
        """The bucket since the last one, which ends it; None where nothing was asked."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
            since, self._since = self._since, now
        return _bucket(counted, since, now) if counted else None

    def give_back(self, bucket: dict[str, Any]) -> None:
        """A bucket that could not be posted counts into the next one."""
        with self._lock:
            for flag, counts in bucket["toggles"].items():
                self._counted[flag, None] += counts["no"]
                self._counted.update({(flag, variant): count for variant, count in counts["variants"].items()})
            self._since = dt.datetime.fromisoformat(bucket["start"])


def _bucket(counted: Counter[tuple[str, str | None]], since: dt.datetime, now: dt.datetime) -> dict[str, Any]:
    toggles: dict[str, Any] = {}
    for (flag, variant), count in counted.items():
        counts = toggles.setdefault(flag, {"yes": 0, "no": 0, "variants": {}})
        if variant is None:
            counts["no"] += count
        else:
            counts["yes"] += count
            counts["variants"][variant] = count
    return {"start": since.isoformat(), "stop": now.isoformat(), "toggles": toggles}


def usage_body(bucket: dict[str, Any], instance: str) -> bytes:
    """The body of a post to /api/client/metrics."""
    return json.dumps({**_about(instance), "bucket": bucket}).encode()


def registration_body(instance: str, started: dt.datetime, interval_s: float) -> bytes:
    """The body of a post to /api/client/register."""
    about = {"sdkVersion": SDK, "strategies": list(STRATEGIES), "started": started.isoformat()}
    return json.dumps({**_about(instance), **about, "interval": round(interval_s)}).encode()


def _about(instance: str) -> dict[str, Any]:
    return {
        "appName": APP_NAME,
        "instanceId": instance,
        "connectionId": instance,
        "platformName": platform.python_implementation(),
        "platformVersion": platform.python_version(),
        "specVersion": SPECIFICATION,
    }
