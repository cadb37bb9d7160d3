"""A prompt as a sequence of blocks in cache order: tools, then system, then messages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dispatcher.simulator.model.conversation import Json, blocks_of

Ttl = Literal["5m", "1h"]
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class PrefixBlock:
    """One block of a prompt: a digest of all that comes before it and itself, its tokens, and its cache marker."""

    digest: bytes
    tokens: int
    marker: Ttl | None = None


@dataclass(frozen=True, slots=True)
class RawBlock:
    """A block before it is chained: its bytes, its tokens, its marker."""

    content: bytes
    tokens: int
    marker: Ttl | None = None


def canonical(value: object) -> bytes:
    """Compact JSON in the order of the keys: a request that reorders keys is another request to the cache."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def count_tokens(content: bytes) -> int:
    """Tokens of a block: a quarter of its bytes, rounded up. No tokenizer, but the same figure every time."""
    return -(-len(content) // BYTES_PER_TOKEN)


def marker_of(block: Mapping[str, Any]) -> Ttl | None:
    """The TTL that a block's own cache marker asks for; five minutes where it names none."""
    control = block.get("cache_control")
    if not isinstance(control, Mapping):
        return None
    return "1h" if control.get("ttl") == "1h" else "5m"


def prompt_prefix(body: Mapping[str, Any]) -> tuple[PrefixBlock, ...]:
    """The blocks of a Messages request.

    What only invalidates the conversation's cache (tool choice, thinking, effort, output format) is mixed in where the
    messages begin. The top-level marker falls on the last block that can carry one.
    """
    tools = [_raw("tool", tool) for tool in body.get("tools") or ()]
    system = [_raw("system", block) for block in blocks_of(body.get("system") or ())]
    messages = list(_message_blocks(body.get("messages") or ()))
    automatic = marker_of(body)
    if automatic is not None:
        _mark_last(messages or system or tools, automatic)
    return chain([*tools, *system], messages, salt=canonical(_message_salt(body)))


def chain(before: Iterable[RawBlock], messages: Iterable[RawBlock], salt: bytes = b"") -> tuple[PrefixBlock, ...]:
    """Give every block the digest of the whole prompt up to it."""
    running = hashlib.sha256()
    blocks = []
    for part, extra in ((before, b""), (messages, salt)):
        running.update(extra)
        for raw in part:
            running.update(len(raw.content).to_bytes(8, "big") + raw.content)
            blocks.append(PrefixBlock(running.digest(), raw.tokens, raw.marker))
    return tuple(blocks)


def _message_blocks(messages: Sequence[Json]) -> Iterator[RawBlock]:
    for message in messages:
        for block in blocks_of(message.get("content")):
            yield _raw(str(message.get("role")), block)


def _raw(place: str, block: Mapping[str, Any]) -> RawBlock:
    content = canonical({key: value for key, value in block.items() if key != "cache_control"})
    return RawBlock(place.encode() + b"\0" + content, count_tokens(content), marker_of(block))


def _mark_last(blocks: list[RawBlock], ttl: Ttl) -> None:
    if blocks and blocks[-1].marker is None:
        blocks[-1] = RawBlock(blocks[-1].content, blocks[-1].tokens, ttl)


def _message_salt(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body.get(name) for name in ("tool_choice", "thinking", "output_config")}
