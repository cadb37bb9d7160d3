"""One streamed reply of the Messages API, put together from its events; pure.

Nothing in an event is validated by the SDK, so everything is looked at before it is believed. Blocks are kept as they
came, unknown fields included: what goes back to the provider must be what it sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dispatcher.action.observation import Usage
from dispatcher.paths.claude import UnexpectedReply
from dispatcher.paths.wire import count, word

Block = dict[str, Any]

_LATER = frozenset(
    {"content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}
)
_APPENDED = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_DEEPEST = 100
# Many times what the longest reply can hold; an endless one must not take all memory before its deadline.
_MOST_CHARS = 16_000_000
_DELTA_CHARS = 10
_TOKENS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call of the model; `input` is as it was written."""

    use_id: str
    name: str
    input: dict[str, Any]


@dataclass(slots=True)
class StreamedReply:
    """A reply while it arrives.

    `begun` says that something of it came, and `complete` that the provider ended it; nothing else is an end.
    `web_searches` counts those that the provider ran.
    `secrets` are blotted out of the provider's own words, which are kept beside what it said.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    model: str | None = None
    stop_reason: str | None = None
    begun: bool = False
    complete: bool = False
    web_searches: int = 0
    _blocks: dict[int, Block] = field(default_factory=dict)
    _parts: dict[int, dict[str, list[str]]] = field(default_factory=dict)
    _whole: set[int] = field(default_factory=set)
    _started: bool = False
    _tokens: dict[str, int] = field(default_factory=dict)
    _split: tuple[int, int] | None = None
    _output_counted: bool = False
    _unknown: str | None = None
    _chars: int = 0

    def add(self, event: Mapping[str, Any]) -> None:
        """Take the next event; an unknown type is passed over. Raises UnexpectedReply."""
        kind = event.get("type")
        self.begun = True
        if kind == "message_start":
            self._start(_mapping(event.get("message")))
        elif isinstance(kind, str) and kind in _LATER:
            if not self._started or self.complete:
                raise UnexpectedReply(f"the stream holds {kind} where none can be")
            self._continue(kind, event)

    @property
    def content(self) -> list[Block]:
        """The blocks in order, in the form to send back. Raises UnexpectedReply where that can't be what was said."""
        if self._unknown is not None:
            raise UnexpectedReply(f"a content block was extended by {self._unknown!r}, which is not known here")
        if self.complete and not self._is_whole:
            raise UnexpectedReply("the reply ended before a content block did, or lacks one")
        blocks = [self._finished(index) for index in sorted(self._blocks)]
        if not _is_json(blocks):
            raise UnexpectedReply("a content block holds what JSON can't")
        return blocks

    @property
    def partial(self) -> list[Block]:
        """What can be told of a reply that broke off, or that can't be sent back: no tool call that isn't whole."""
        blocks = []
        for index in sorted(self._blocks):
            with suppress(UnexpectedReply):
                block = self._finished(index)
                if _is_json(block) and (index in self._whole or block.get("type") != "tool_use"):
                    blocks.append(block)
        return blocks

    @property
    def text(self) -> str:
        """The text of all text blocks."""
        blocks = [(index, self._blocks[index]) for index in sorted(self._blocks)]
        return "".join(self._joined(index, block, "text") for index, block in blocks if block.get("type") == "text")

    @property
    def usage(self) -> Usage | None:
        """What was reported so far; None where nothing was.

        Output tokens stay unknown until the provider has counted them: the figure at the start is a placeholder.
        """
        if not self._tokens:
            return None
        written = self._tokens.get("cache_creation_input_tokens")
        split = self._split if self._split is not None and sum(self._split) == written else (None, None)
        counted = {
            name: value for name, value in self._tokens.items() if name != "output_tokens" or self._output_counted
        }
        return Usage(**counted, cache_creation_5m_input_tokens=split[0], cache_creation_1h_input_tokens=split[1])

    @property
    def _is_whole(self) -> bool:
        """Whether every block has come, and come to its end."""
        return self._whole == self._blocks.keys() and sorted(self._blocks) == list(range(len(self._blocks)))

    def _start(self, message: Mapping[str, Any]) -> None:
        if self._started:
            raise UnexpectedReply("the stream begins twice")
        self._started = True
        self.model = word(message.get("model"), self.secrets)
        usage = _mapping(message.get("usage"))
        self._merge(usage)
        # The split of cache writes by TTL is told here and never again.
        split = _mapping(usage.get("cache_creation"))
        by_ttl = (count(split.get("ephemeral_5m_input_tokens")), count(split.get("ephemeral_1h_input_tokens")))
        self._split = None if by_ttl[0] is None or by_ttl[1] is None else (by_ttl[0], by_ttl[1])

    def _continue(self, kind: str, event: Mapping[str, Any]) -> None:
        if kind == "message_stop":
            self.complete = True
        elif kind == "message_delta":
            self._stop(word(_mapping(event.get("delta")).get("stop_reason"), self.secrets))
            usage = _mapping(event.get("usage"))
            self._merge(usage)
            self._output_counted = self._output_counted or count(usage.get("output_tokens")) is not None
        elif self.stop_reason is not None:
            raise UnexpectedReply("the reply goes on although it stopped")
        elif not isinstance(index := event.get("index"), int):
            raise UnexpectedReply("a content block has no index")
        elif kind == "content_block_start":
            if index in self._blocks:
                raise UnexpectedReply("a content block begins twice")
            self._blocks[index] = dict(_mapping(event.get("content_block")))
        elif index not in self._blocks or index in self._whole:
            raise UnexpectedReply("a content block goes on that never began, or has ended")
        elif kind == "content_block_stop":
            self._whole.add(index)
        else:
            self._extend(index, self._blocks[index], _mapping(event.get("delta")))

    def _stop(self, reason: str | None) -> None:
        if reason is not None and self.stop_reason not in {None, reason}:
            raise UnexpectedReply("the reply stopped for two reasons")
        self.stop_reason = reason or self.stop_reason

    def _extend(self, index: int, block: Block, delta: Mapping[str, Any]) -> None:
        kind = delta.get("type")
        if isinstance(kind, str) and kind in _APPENDED:
            name = _APPENDED[kind]
            part = str(delta.get(name) or "")
            self._chars += _DELTA_CHARS + len(part)
            if self._chars > _MOST_CHARS:
                raise UnexpectedReply("the reply is longer than any can be")
            self._parts.setdefault(index, {}).setdefault(name, []).append(part)
        elif kind == "signature_delta":
            block["signature"] = delta.get("signature")
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta.get("citation")]
        else:
            self._unknown = (word(kind, self.secrets) or "nothing")[:40]

    def _finished(self, index: int) -> Block:
        block = self._blocks[index]
        grown = {
            name: self._joined(index, block, name) for name in self._parts.get(index, ()) if name != "partial_json"
        }
        written = self._joined(index, {}, "partial_json")
        if not written:
            return {**block, **grown}
        try:
            tool_input = json.loads(written)
        except (ValueError, RecursionError):
            tool_input = None
        if not isinstance(tool_input, dict):
            raise UnexpectedReply("the input of a tool call is no JSON object")
        return {**block, **grown, "input": tool_input}

    def _joined(self, index: int, block: Block, name: str) -> str:
        return str(block.get(name) or "") + "".join(self._parts.get(index, {}).get(name, ()))

    def _merge(self, usage: Mapping[str, Any]) -> None:
        """Later figures are totals and replace earlier ones; an absent one changes nothing."""
        self._tokens.update({name: told for name in _TOKENS if (told := count(usage.get(name))) is not None})
        searches = count(_mapping(usage.get("server_tool_use")).get("web_search_requests"))
        self.web_searches = self.web_searches if searches is None else searches


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_json(said: object) -> bool:
    if not _is_shallow(said):
        return False
    try:
        json.dumps(said, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def _is_shallow(said: object) -> bool:
    """Whether it can be written and read wherever it goes: how deep JSON may be depends on who calls."""
    layer = [said]
    for _ in range(_DEEPEST):
        layer = [inner for one in layer for inner in _inside(one)]
        if not layer:
            return True
    return False


def _inside(said: object) -> Iterable[object]:
    if isinstance(said, dict):
        return said.values()
    return said if isinstance(said, list) else ()


def tool_uses_in(content: Sequence[Block]) -> list[ToolUse]:
    """The calls of our tools in a reply's content, in order. Raises UnexpectedReply."""
    uses = [block for block in content if block.get("type") == "tool_use"]
    forms = {"id": str, "name": str, "input": dict}
    if not all(isinstance(use.get(name), form) for use in uses for name, form in forms.items()):
        raise UnexpectedReply("a tool call lacks its id, its name or its input")
    if len({use["id"] for use in uses}) < len(uses):
        raise UnexpectedReply("two tool calls of a reply have the same id")
    return [ToolUse(use["id"], use["name"], use["input"]) for use in uses]
