"""Faults of the model's reply, on either API: it refuses, breaks off, says nothing, or doesn't hold to a form.

Such a reply is charged as any other: the input in full, and the output that it has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from dispatcher.simulator.faults.vocabulary import Fault
from dispatcher.simulator.inference import Content, Inference, content_tokens
from dispatcher.simulator.messages.reply import Ending
from dispatcher.simulator.model.request import Reply

UNFIT: dict[str, Any] = {"unfit": True}
"""A report that no closed schema takes."""


class ReplyFault(Fault):
    """What can happen to any reply."""

    acts_on: ClassVar[frozenset[str]] = frozenset(["messages.create", "model_request"])


class Refuse(ReplyFault):
    """The model refuses: stop reason `refusal`, no content."""

    name: Literal["refusal"] = "refusal"
    category: Literal["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"] | None = None

    @property
    def details(self) -> dict[str, Any]:
        """The stop details that explain it."""
        return {"type": "refusal", "category": self.category, "explanation": None}


class EmptyContent(ReplyFault):
    """The turn ends and nothing was said."""

    name: Literal["empty_content"] = "empty_content"


class MaxTokens(ReplyFault):
    """The reply breaks off in the middle, stop reason `max_tokens`; a tool call's input is no whole JSON then."""

    acts_on: ClassVar[frozenset[str]] = frozenset(["messages.create"])
    name: Literal["max_tokens"] = "max_tokens"


class ContextWindow(ReplyFault):
    """As `max_tokens`, with stop reason `model_context_window_exceeded`."""

    acts_on: ClassVar[frozenset[str]] = frozenset(["messages.create"])
    name: Literal["context_window"] = "context_window"


class InvalidReport(Fault):
    """The answer isn't what was asked for: half of its JSON (`not_json`), or JSON that its schema doesn't take.

    It counts answers only: a reply that calls the tool for submitting a result, or where there is none, one without
    tool calls. A tool's input is always JSON, so there it is the schema that both forms violate.
    """

    acts_on: ClassVar[frozenset[str]] = frozenset(["messages.create", "model_request"])
    name: Literal["invalid_report"] = "invalid_report"
    form: Literal["not_json", "schema"] = "schema"


class MalformedInput(Fault):
    """The input of the first tool call is no JSON: `truncated`, or `garbage`. It counts replies with tool calls only.

    A response that doesn't stream has the text as a string in place of the object.
    """

    acts_on: ClassVar[frozenset[str]] = frozenset(["messages.create"])
    name: Literal["malformed_input"] = "malformed_input"
    form: Literal["truncated", "garbage"] = "truncated"


def kinds_of(content: Content, submit: str | None) -> tuple[type[Fault], ...]:
    """The faults that can happen to a reply; `submit` is the tool that results are submitted with."""
    called = [block["name"] for block in content if block["type"] == "tool_use"]
    kinds: list[type[Fault]] = [ReplyFault]
    if submit in called if submit else not called:
        kinds.append(InvalidReport)
    if called:
        kinds.append(MalformedInput)
    return tuple(kinds)


def spoiled(inference: Inference, fault: Fault, submit: str | None) -> Inference:
    """The reply as the fault leaves it; its output tokens are those of what is left."""
    content = _spoiled(inference.content, fault, submit)
    thought = inference.output_tokens - content_tokens(inference.content)
    calls = inference.reply.calls if any(block["type"] == "tool_use" for block in content) else ()
    text = "".join(block["text"] for block in content if block["type"] == "text")
    return replace(
        inference,
        reply=Reply(text, calls),
        content=content,
        output_tokens=thought + content_tokens(content),
        generation_s=inference.generation_s * content_tokens(content) / content_tokens(inference.content),
    )


def broken_off(ending: Ending, fault: Fault) -> Ending:
    """The ending of a Messages reply as the fault gives its reason."""
    match fault:
        case Refuse():
            return replace(ending, stop_reason="refusal", stop_details=fault.details)
        case MaxTokens():
            return replace(ending, stop_reason="max_tokens")
        case ContextWindow():
            return replace(ending, stop_reason="model_context_window_exceeded")
        case _:
            return ending


def _spoiled(content: Content, fault: Fault, submit: str | None) -> Content:
    match fault:
        case Refuse() | EmptyContent():
            return []
        case MaxTokens() | ContextWindow():
            return [*content[:-1], _halved(content[-1])] if content else content
        case InvalidReport():
            return [_unfit(block, fault, submit) for block in content]
        case MalformedInput():
            return _first_call_spoiled(content, fault)
        case _:
            return content


def _unfit(block: Mapping[str, Any], fault: InvalidReport, submit: str | None) -> dict[str, Any]:
    if block["type"] == "tool_use":
        return {**block, "input": UNFIT} if block["name"] == submit else {**block}
    if submit is not None:
        return {**block}
    return _halved(block) if fault.form == "not_json" else {**block, "text": json.dumps(UNFIT)}


def _first_call_spoiled(content: Sequence[dict[str, Any]], fault: MalformedInput) -> Content:
    first = next(index for index, block in enumerate(content) if block["type"] == "tool_use")
    block = content[first]
    spoiled_block = _halved(block) if fault.form == "truncated" else {**block, "input": '{"pattern": ]]'}
    return [*content[:first], spoiled_block, *content[first + 1 :]]


def _halved(block: Mapping[str, Any]) -> dict[str, Any]:
    """The first half of a block; the input of a tool call becomes a text that is no JSON."""
    name = "input" if block["type"] == "tool_use" else block["type"]
    text = json.dumps(block["input"], ensure_ascii=False) if name == "input" else block[name]
    return {**block, name: text[: max(1, len(text) // 2)]}
