"""What the messages path sends: the conversation so far, and the parameters of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from dispatcher.action.decision import PathName
from dispatcher.action.report import report_schema
from dispatcher.action.transcript import Message, TranscriptForm
from dispatcher.paths.messages.cache_markers import marked
from dispatcher.paths.messages.limits import Extent
from dispatcher.paths.path import Fresh, Job
from dispatcher.paths.prompt import (
    SECTIONS,
    PromptDigest,
    prefix_fingerprint,
    question_sections,
    section_fingerprints,
)
from dispatcher.paths.repository.tool_input import TOOLS
from dispatcher.paths.sections import Section, written


class Prompt:
    """The prompt of one attempt as it grows: tools, system prompt, earlier turns, and the turn at hand.

    `turn` are this turn's messages. Earlier turns are replayed verbatim where the API takes them, else told as text in
    the question's message; `form` says which.
    """

    def __init__(
        self,
        job: Job,
        tools: Sequence[Mapping[str, Any]] = TOOLS,
        system: Sequence[Section] = SECTIONS[PathName.MESSAGES],
    ) -> None:
        self.form = TranscriptForm.NATIVE
        self._variant = job.variant
        self._tools = tools
        self._system = system
        earlier = None if isinstance(job.seed, Fresh) else job.seed.transcript
        self._earlier: list[Message] = []
        if earlier is not None and earlier.can_be_replayed(job.variant.model):
            self._earlier = [message for turn in earlier.turns for message in turn.messages]
        elif earlier is not None:
            self.form = TranscriptForm.FLATTENED
        told = earlier if self.form is TranscriptForm.FLATTENED else None
        self._question = question_sections(job.question, replies=job.caps.iterations, earlier=told)
        self.turn: list[Message] = []
        self.say([_text(written(self._question))])
        self._digest = PromptDigest(tools, written(system))

    @property
    def messages(self) -> list[Message]:
        """All messages, those of earlier turns first."""
        return [*self._earlier, *self.turn]

    def say(self, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Add what the user's side says: behind what it said last, else as a message of its own.

        A message is never changed but replaced, so that what was read of it stays true.
        """
        if self.turn and self.turn[-1]["role"] == "user":
            self.turn[-1] = {"role": "user", "content": [*self.turn[-1]["content"], *blocks]}
        else:
            self.turn.append({"role": "user", "content": list(blocks)})

    def say_text(self, text: str) -> None:
        """Add a text of the user's side."""
        self.say([_text(text)])

    def hear(self, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Add a reply, as it came. An empty text is left out, since it would be refused; so is an empty reply."""
        said = [block for block in blocks if block.get("type") != "text" or block.get("text")]
        if said:
            self.turn.append({"role": "assistant", "content": said})

    def replace_newest(self, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Say something else in the newest message."""
        self.turn[-1] = {**self.turn[-1], "content": list(blocks)}

    def parameters(self, *, with_tools: bool) -> dict[str, Any]:
        """The parameters of the next request.

        The tools are in every one, as is the form of the answer: taking them away would cost the conversation its
        cache. Where none may be called, `tool_choice` says so.
        """
        return {
            "model": self._variant.model,
            "max_tokens": self._variant.max_tokens,
            **marked(self._tools, written(self._system), self.messages, caching=self._variant.prompt_caching),
            "output_config": _output_config(),
            **({} if with_tools else {"tool_choice": {"type": "none"}}),
        }

    def prefix_fingerprint(self) -> str:
        """The fingerprint of the stable prefix as it is now."""
        return prefix_fingerprint(self._tools, written(self._system))

    def fingerprint(self) -> str:
        """The fingerprint of the whole prompt as it is now."""
        return self._digest.of(self.messages)

    def section_fingerprints(self) -> dict[str, str]:
        """The fingerprints of the prompt's sections as they are now."""
        return section_fingerprints(self._tools, self._system, self._question)

    def extent(self) -> Extent:
        """How long the prompt is now."""
        self.fingerprint()
        sizes = self._digest.sizes
        from_user = sum(size for size, message in zip(sizes, self.messages, strict=True) if message["role"] == "user")
        return Extent(self._digest.prefix_bytes, sum(sizes), from_user)


@cache
def _output_config() -> dict[str, Any]:
    return {"format": {"type": "json_schema", "schema": report_schema()}}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
