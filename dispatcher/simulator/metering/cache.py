"""The prompt cache: what a request reads, what it writes, and when others can read that. Time is handed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dispatcher.action.observation import Usage
from dispatcher.simulator.metering.prefix import PrefixBlock, Ttl

LOOK_BACK_BLOCKS = 20
TTL_SECONDS: dict[Ttl, float] = {"5m": 300.0, "1h": 3600.0}
_SWEEP_ABOVE = 50_000

Scope = tuple[str, str]
"""What a cache entry is shared within: the API key and the model."""


@dataclass(slots=True)
class _Entry:
    ttl: Ttl
    expires: float


@dataclass(frozen=True, slots=True)
class Write:
    """An entry that a request writes once its response has begun."""

    digest: bytes
    ttl: Ttl


@dataclass(frozen=True, slots=True)
class CachedPrompt:
    """How a prompt was served: its input tokens by class, and the entries still to be written."""

    usage: Usage
    scope: Scope
    started: float
    writes: tuple[Write, ...]


class PromptCache:
    """The cache entries of one simulator."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Scope, bytes], _Entry] = {}

    def open(self, scope: Scope, blocks: Sequence[PrefixBlock], minimum: int, now: float) -> CachedPrompt:
        """Account for a prompt at the start of its request, `now` in simulated seconds.

        Each marker looks back over at most 20 blocks, its own included, for the longest entry; an entry that is hit
        lives on from now. A marker whose prompt is shorter than `minimum` tokens is silently none.
        """
        totals = _running_totals(blocks)
        marked = [i for i, block in enumerate(blocks) if block.marker is not None and totals[i] >= minimum]
        hit = max((self._longest_hit(scope, blocks, i, now) for i in marked), default=-1)
        boundary = _Boundary(totals, blocks, marked, hit)
        writes = tuple(Write(blocks[i].digest, blocks[i].marker or "5m") for i in marked if i > hit)
        return CachedPrompt(boundary.usage(), scope, now, writes)

    def begin_response(self, prompt: CachedPrompt) -> None:
        """Make the entries of a prompt readable; their life counts from the start of its request."""
        for write in prompt.writes:
            expires = prompt.started + TTL_SECONDS[write.ttl]
            known = self._entries.get((prompt.scope, write.digest))
            if known is None or known.expires < expires:
                self._entries[prompt.scope, write.digest] = _Entry(write.ttl, expires)
        if len(self._entries) > _SWEEP_ABOVE:
            self._entries = {key: e for key, e in self._entries.items() if e.expires > prompt.started}

    def _longest_hit(self, scope: Scope, blocks: Sequence[PrefixBlock], marked: int, now: float) -> int:
        for i in range(marked, max(-1, marked - LOOK_BACK_BLOCKS), -1):
            entry = self._entries.get((scope, blocks[i].digest))
            if entry is not None and entry.expires > now:
                entry.expires = max(entry.expires, now + TTL_SECONDS[entry.ttl])
                return i
        return -1


@dataclass(frozen=True, slots=True)
class _Boundary:
    """Where the parts of a prompt meet: read to the hit, one-hour writes, five-minute writes, plain input."""

    totals: Sequence[int]
    blocks: Sequence[PrefixBlock]
    marked: Sequence[int]
    hit: int

    def usage(self) -> Usage:
        read = self._up_to(self.hit)
        hour = max(read, self._up_to(self._last("1h")))
        cached = max(hour, self._up_to(max(self.marked, default=-1)))
        return Usage(
            input_tokens=self._up_to(len(self.blocks) - 1) - cached,
            cache_read_input_tokens=read,
            cache_creation_input_tokens=cached - read,
            cache_creation_5m_input_tokens=cached - hour,
            cache_creation_1h_input_tokens=hour - read,
            output_tokens=0,
        )

    def _last(self, ttl: Ttl) -> int:
        return max((i for i in self.marked if self.blocks[i].marker == ttl), default=-1)

    def _up_to(self, index: int) -> int:
        return self.totals[index] if index >= 0 else 0


def _running_totals(blocks: Sequence[PrefixBlock]) -> list[int]:
    totals, total = [], 0
    for block in blocks:
        total += block.tokens
        totals.append(total)
    return totals
