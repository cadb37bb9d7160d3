"""Whether the simulator stands behind a base URL: asked once, before a client is made."""

from __future__ import annotations

import json
import math
import threading
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

SIMULATOR_HEADER = "x-simulator"
SIMULATOR_NAME = "dispatcher"

_ASK_SIMULATOR_S = 2.0
_ASK_SIMULATOR_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class SimulatorMark:
    """The simulator's answer to being asked: real seconds per simulated second."""

    time_scale: float


def ask_simulator(base_url: str) -> SimulatorMark | None:
    """Ask a base URL whether the simulator stands behind it; None where it doesn't, or doesn't say so within 2 s."""
    if urlsplit(base_url).scheme not in {"http", "https"}:
        return None
    answers: list[SimulatorMark | None] = []
    # A thread, because neither looking up a name nor a server that trickles is bounded by a socket's timeout.
    asking = threading.Thread(target=lambda: answers.append(_ask(base_url)), daemon=True)
    asking.start()
    asking.join(_ASK_SIMULATOR_S)
    return answers[0] if answers else None


def _ask(base_url: str) -> SimulatorMark | None:
    # Only these two: no proxy, no redirect, no file.
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.HTTPHandler())
    opener.add_handler(urllib.request.HTTPSHandler())
    try:
        with opener.open(f"{base_url.rstrip('/')}/simulator", timeout=_ASK_SIMULATOR_S) as response:
            marked = response.status == 200 and response.headers.get(SIMULATOR_HEADER) == SIMULATOR_NAME  # noqa: PLR2004
            answer = json.loads(response.read(_ASK_SIMULATOR_BYTES)) if marked else None
    except Exception:  # noqa: BLE001 - whatever a server says that isn't the simulator, the answer is no
        return None
    scale = answer.get("time_scale") if isinstance(answer, dict) else None
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale) or scale < 0:
        return None
    return SimulatorMark(float(scale))
