"""The `messages` path: our own tool loop on the Messages API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from dispatcher.action.decision import PathName
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.action.report import ResearchReport, report_schema
from dispatcher.paths.cache_markers import marked_messages, marked_system, marked_tools
from dispatcher.paths.claude import Claude, UnexpectedReply, failure_of
from dispatcher.paths.observation import Observer
from dispatcher.paths.path import Job, Outcome
from dispatcher.paths.prompt import (
    answer_now_text,
    prefix_fingerprint,
    prompt_fingerprint,
    question_text,
    system_text,
)
from dispatcher.paths.reply import StreamedReply, ToolUse
from dispatcher.paths.timing import Marker
from dispatcher.paths.tools import TOOLS, RepositoryTools
from dispatcher.paths.wire import word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anthropic import AsyncAnthropic, AsyncStream

_UNUSABLE: Mapping[str, tuple[ErrorType, EndedBy, str]] = {
    "refusal": (ErrorType.REFUSAL, EndedBy.REFUSAL, "the model refused to answer"),
    "max_tokens": (ErrorType.MAX_TOKENS, EndedBy.FAILURE, "the reply was cut off at max_tokens"),
    "model_context_window_exceeded": (
        ErrorType.CONTEXT_WINDOW,
        EndedBy.FAILURE,
        "the conversation outgrew the model's context window",
    ),
}
_GOES_ON = frozenset({"tool_use", "pause_turn"})


class MessagesPath:
    """Carries out an attempt with streamed requests, running the tools here between them."""

    def __init__(self, claude: Claude) -> None:
        self._claude = claude

    async def run(self, job: Job, observer: Observer) -> Outcome:
        """Carry out one attempt."""
        conversation = _Conversation(self._claude.client(), job, observer)
        try:
            return await conversation.run()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            return Outcome(
                status=Status.ERROR,
                ended_by=EndedBy.FAILURE,
                stop_reason=conversation.reply.stop_reason,
                error_type=failure.error_type,
                error_stage=conversation.stage,
                error=failure.message,
                http_status=failure.http_status,
            )


class _Conversation:
    """One attempt: the messages so far, and the reply at hand."""

    def __init__(self, client: AsyncAnthropic, job: Job, observer: Observer) -> None:
        self.stage = ErrorStage.REQUEST
        self.reply = StreamedReply()
        self._client = client
        self._job = job
        self._observer = observer
        self._tools = RepositoryTools(job.checkout)
        self._system = system_text(PathName.MESSAGES)
        self._at_cap = False
        self._messages: list[dict[str, Any]] = [
            {
                "role": "user",
                "content": [{"type": "text", "text": question_text(job.question, replies=job.iteration_cap)}],
            }
        ]

    async def run(self) -> Outcome:
        """Ask and answer until the model is done or the cap is reached."""
        self._observer.prefix_fingerprint = prefix_fingerprint(TOOLS, self._system)
        self._observer.mark(Marker.READY)
        for _ in range(self._job.iteration_cap - 1):
            await self._request()
            outcome = self._outcome()
            if outcome is not None:
                return outcome
            await self._go_on()
        self._ask_for_answer()
        await self._request(tool_choice={"type": "none"})
        return self._outcome() or self._capped()

    async def _request(self, **last: Any) -> None:
        """Send the conversation and take the reply; what was counted is kept, however the reply breaks off."""
        observer = self._observer
        self.stage, self.reply, request_id = ErrorStage.REQUEST, StreamedReply(), None
        fingerprint = prompt_fingerprint(TOOLS, self._system, self._messages)
        observer.prompt_fingerprint = observer.prompt_fingerprint or fingerprint
        observer.begin_call()
        observer.mark(Marker.SESSION_DONE)
        started_ns = observer.clock()
        try:
            stream: AsyncStream[Any] = await self._client.messages.create(**self._parameters(), **last, stream=True)
            async with stream:
                self.stage, request_id = ErrorStage.STREAM, word(stream.response.headers.get("request-id"))
                async for event in stream:
                    self._take(event)
        finally:
            usage = self.reply.usage
            if usage is not None:
                observer.end_call(
                    model=self.reply.model or self._job.variant.model,
                    usage=usage,
                    latency_ms=(observer.clock() - started_ns) // 1_000_000,
                    stop_reason=self.reply.stop_reason,
                    request_id=request_id,
                    prompt_fingerprint=fingerprint,
                )

    def _parameters(self) -> dict[str, Any]:
        caching = self._job.variant.prompt_caching
        return {
            "model": self._job.variant.model,
            "max_tokens": self._job.variant.max_tokens,
            "system": marked_system(self._system, caching=caching),
            "tools": marked_tools(TOOLS, caching=caching),
            "messages": marked_messages(self._messages, caching=caching),
            # On every request from the first: changing it between two would cost the conversation its cache.
            "output_config": {"format": {"type": "json_schema", "schema": report_schema()}},
        }

    def _take(self, event: object) -> None:
        said = (
            event.model_dump(exclude_unset=True, by_alias=True, warnings=False) if isinstance(event, BaseModel) else {}
        )
        if said.get("type") == "content_block_delta":
            self._observer.mark(Marker.FIRST_TOKEN)
            if (said.get("delta") or {}).get("type") == "text_delta":
                self._observer.mark(Marker.FIRST_TEXT)
        self.reply.add(said)

    async def _go_on(self) -> None:
        """Send back what was said, verbatim, and what the tools answer."""
        self._messages.append({"role": "assistant", "content": self.reply.content})
        if self.reply.stop_reason == "pause_turn":
            return
        self.stage = ErrorStage.TOOLS
        async with asyncio.TaskGroup() as group:
            results = [group.create_task(self._tool_result(use)) for use in self.reply.tool_uses]
        self._messages.append({"role": "user", "content": [result.result() for result in results]})

    async def _tool_result(self, use: ToolUse) -> dict[str, Any]:
        result = await self._tools.call(use.name, use.input)
        self._observer.tool(failed=result.is_error)
        return {
            "type": "tool_result",
            "tool_use_id": use.use_id,
            "content": [{"type": "text", "text": result.text}],
            "is_error": result.is_error,
        }

    def _ask_for_answer(self) -> None:
        """Tell the model that no request follows; tool results stay first in their message."""
        self._at_cap = True
        request = {"type": "text", "text": answer_now_text(PathName.MESSAGES)}
        if self._messages[-1]["role"] == "user":
            self._messages[-1]["content"].append(request)
        else:
            self._messages.append({"role": "user", "content": [request]})

    def _outcome(self) -> Outcome | None:
        """How the attempt ends with the reply at hand; None where the conversation goes on."""
        reply = self.reply
        if not reply.complete:
            message = "the stream ended before the reply did"
            return self._error(ErrorType.STREAM_TRUNCATED, ErrorStage.STREAM, message)
        reason = reply.stop_reason or "none"
        if reason == "end_turn":
            return self._answer()
        if reason in _UNUSABLE:
            error_type, ended_by, message = _UNUSABLE[reason]
            return self._error(error_type, ErrorStage.OUTPUT, message, ended_by)
        if reason not in _GOES_ON:
            raise UnexpectedReply(f"the reply stopped for a reason not known here: {reason[:40]!r}")
        if reason == "tool_use" and not reply.tool_uses:
            raise UnexpectedReply("the reply stopped for a tool call that it doesn't hold")
        return None

    def _answer(self) -> Outcome:
        text = self.reply.text
        try:
            report = ResearchReport.model_validate_json(text)
        except ValueError as error:
            if self._at_cap:
                return self._capped()
            return self._error(ErrorType.OUTPUT_INVALID, ErrorStage.OUTPUT, _report_problem(error))
        return Outcome(
            status=Status.SUCCESS,
            ended_by=EndedBy.ITERATION_CAP if self._at_cap else EndedBy.COMPLETED,
            output=report,
            output_chars=len(text),
            stop_reason=self.reply.stop_reason,
        )

    def _capped(self) -> Outcome:
        message = f"the cap of {self._job.iteration_cap} model requests was reached without a valid report"
        return self._error(ErrorType.ITERATION_CAP, ErrorStage.OUTPUT, message, EndedBy.ITERATION_CAP)

    def _error(
        self, error_type: ErrorType, stage: ErrorStage, message: str, ended_by: EndedBy = EndedBy.FAILURE
    ) -> Outcome:
        return Outcome(
            status=Status.ERROR,
            ended_by=ended_by,
            output_chars=len(self.reply.text) if self.reply.complete else None,
            stop_reason=self.reply.stop_reason,
            error_type=error_type,
            error_stage=stage,
            error=message,
        )


def _report_problem(error: ValueError) -> str:
    # By kind alone: the rest of a validation error quotes the answer.
    kinds = sorted({problem["type"] for problem in error.errors()}) if isinstance(error, ValidationError) else ["text"]
    return f"the answer is not a report of the required form ({', '.join(kinds)})"
