"""The rules for cache markers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dispatcher.simulator.model.conversation import blocks_of
from dispatcher.simulator.refusal import invalid

MOST_MARKERS = 4
_TTLS = (None, "5m", "1h")
_NEVER_MARKED = ("thinking", "redacted_thinking")


def check_markers(body: Mapping[str, Any]) -> None:
    """At most four markers, the automatic one included; one-hour markers before five-minute ones."""
    blocks = list(_blocks(body))
    explicit = [block for block in blocks if block.get("cache_control") is not None]
    for block in explicit:
        _check_control(block["cache_control"])
        _check_markable(block)
    ttls = [_ttl(block["cache_control"]) for block in explicit]
    automatic = body.get("cache_control")
    if automatic is not None:
        _check_control(automatic)
        ttls = _with_automatic(ttls, _ttl(automatic), last_marked=bool(blocks) and blocks[-1] in explicit[-1:])
    if len(ttls) > MOST_MARKERS:
        raise invalid(f"A maximum of {MOST_MARKERS} blocks with cache_control may be provided. Found {len(ttls)}.")
    if "1h" in ttls[ttls.index("5m") :] if "5m" in ttls else False:
        raise invalid(
            "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are "
            "processed in the following order: `tools`, `system`, `messages`."
        )


def _with_automatic(ttls: list[str], automatic: str, *, last_marked: bool) -> list[str]:
    if last_marked:
        if ttls[-1] != automatic:
            raise invalid("cache_control: the last block already has a cache_control marker with another ttl")
        return ttls
    if len(ttls) == MOST_MARKERS:
        raise invalid(f"cache_control: {MOST_MARKERS} explicit markers leave no room for the automatic one")
    return [*ttls, automatic]


def _check_control(control: object) -> None:
    if not isinstance(control, dict) or control.get("type") != "ephemeral":
        raise invalid("cache_control.type: Input should be 'ephemeral'")
    if control.get("ttl") not in _TTLS:
        raise invalid("cache_control.ephemeral.ttl: Input should be '5m' or '1h'")


def _check_markable(block: Mapping[str, Any]) -> None:
    if block.get("type") == "text" and not block.get("text"):
        raise invalid("cache_control cannot be set for empty text blocks")
    if block.get("type") in _NEVER_MARKED:
        raise invalid(f"cache_control cannot be set for {block['type']} blocks")


def _ttl(control: Mapping[str, Any]) -> str:
    return "1h" if control.get("ttl") == "1h" else "5m"


def _blocks(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from body.get("tools") or ()
    yield from blocks_of(body.get("system") or ())
    for message in body.get("messages") or ():
        yield from blocks_of(message.get("content"))
