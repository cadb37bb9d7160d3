"""Identifiers in the API's forms, and the digests from which deterministic choices are drawn."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from statistics import NormalDist

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LENGTH = 22

Mint = Callable[[str], str]
"""Makes a new identifier with the given prefix, such as `sesn`."""


def random_id(prefix: str) -> str:
    """A new identifier, unique across simulators: rows of several runs meet in one log."""
    return f"{prefix}_01{_letters(secrets.randbits(256))}"


def derived_id(prefix: str, *facts: object) -> str:
    """The identifier that always belongs to these facts."""
    return f"{prefix}_01{_letters(int.from_bytes(digest(*facts), 'big'))}"


def _letters(number: int) -> str:
    letters = []
    for _ in range(_LENGTH):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def digest(*facts: object) -> bytes:
    """32 bytes that depend on the facts alone, never on the process."""
    return hashlib.sha256(json.dumps(facts, ensure_ascii=False, default=str).encode()).digest()


def draw(choices: int, *facts: object) -> int:
    """A number from 0 to `choices` - 1, spread evenly over the facts."""
    return int.from_bytes(digest(*facts)[:8], "big") % choices


def spread(width: float, *facts: object) -> float:
    """A log-normal factor with median 1 and the given standard deviation of its logarithm."""
    if width == 0:
        return 1.0
    share = (int.from_bytes(digest(*facts)[:8], "big") + 0.5) / 2**64
    return float(2.718281828459045 ** NormalDist(0.0, width).inv_cdf(share))
