"""POST /v1/messages and its token count."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from dispatcher.action.observation import Usage
from dispatcher.simulator.faults.occasions import replied, reply_occasion
from dispatcher.simulator.faults.replies import broken_off
from dispatcher.simulator.inference import Inference
from dispatcher.simulator.messages.reply import Ending, Frame, body_frames, closing, ending_of, opening, whole_message
from dispatcher.simulator.messages.rules import check_request, check_version
from dispatcher.simulator.metering.ledger import Delivered
from dispatcher.simulator.metering.prefix import prompt_prefix
from dispatcher.simulator.model.conversation import blocks_of, text_of
from dispatcher.simulator.model.request import ModelRequest
from dispatcher.simulator.reading import json_object
from dispatcher.simulator.sse import EventStream, frame
from dispatcher.simulator.world import World


def messages_routes(world: World) -> list[Route]:
    """The routes of the Messages API."""
    endpoint = _Messages(world)
    return [
        Route("/v1/messages", endpoint.create, methods=["POST"], name="messages.create"),
        Route("/v1/messages/count_tokens", endpoint.count, methods=["POST"], name="messages.count_tokens"),
    ]


@dataclass(frozen=True, slots=True)
class _Messages:
    world: World

    async def create(self, request: Request) -> Any:
        body = await json_object(request)
        exchange = self._exchange(body, request)
        if body.get("stream"):
            return EventStream(exchange.stream())
        return JSONResponse(await exchange.whole())

    async def count(self, request: Request) -> Any:
        body = await json_object(request)
        version = check_version(request.headers.get("anthropic-version"))
        check_request(body, version, self.world.profiles, counting=True)
        return JSONResponse({"input_tokens": sum(block.tokens for block in prompt_prefix(body))})

    def _exchange(self, body: dict[str, Any], request: Request) -> _Exchange:
        version = check_version(request.headers.get("anthropic-version"))
        profile = check_request(body, version, self.world.profiles)
        asked = _model_request(body)
        inference = self.world.inferences.start(
            asked,
            prompt_prefix(body),
            profile,
            profile.messages,
            api_key=request.state.api_key,
            now=self.world.clock.simulated_seconds(),
        )
        fault = None
        if self.world.faults.is_armed:
            inference, fault = replied(self.world.faults, reply_occasion(request, body), inference, asked)
        ending = ending_of(inference.content, body["max_tokens"], body.get("stop_sequences") or ())
        return _Exchange(
            world=self.world,
            request_id=request.state.request_id,
            model=str(body["model"]),
            question=text_of(body["messages"][0]["content"]),
            unseen=request.state.unseen,
            inference=inference,
            ending=broken_off(ending, fault) if fault else ending,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    """One request being answered; `unseen`: the client gets nothing of the answer."""

    world: World
    request_id: str
    model: str
    question: str
    unseen: bool
    inference: Inference
    ending: Ending

    async def whole(self) -> Frame:
        clock, share = self.world.clock, self._generated_share()
        await clock.wait(self.inference.first_token_s)
        self.world.inferences.cache.begin_response(self.inference.prompt)
        await clock.wait(self.inference.generation_s * share)
        usage = self._charge_whole()
        return whole_message(self.world.mint("msg"), self.model, self.ending, usage)

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The frames at their times; of a response that breaks off, what was written so far is charged all the same."""
        clock, sent, body, charged = self.world.clock, 0, list(body_frames(self.ending.content)), False
        await clock.wait(self.inference.first_token_s)
        self.world.inferences.cache.begin_response(self.inference.prompt)
        try:
            for first in opening(self.world.mint("msg"), self.model, self._usage(1)):
                yield frame(first)
            async for one in clock.paced(self._timed(body)):
                sent += 1
                yield frame(one)
            delta, stop = closing(self.ending, self._usage(self.ending.output_tokens))
            yield frame(delta)
            # Whoever sees the last frame finds the request charged.
            charged = self._charge_whole() is not None
            yield frame(stop)
        finally:
            if not charged:
                written = max(1, self.ending.output_tokens * sent // max(1, len(body)))
                self._charge(self._usage(written), "none" if self.unseen else "part")

    def _timed(self, frames: list[Frame]) -> Iterator[tuple[float, Frame]]:
        length = self.inference.generation_s * self._generated_share()
        for index, one in enumerate(frames):
            yield length * index / len(frames), one

    def _generated_share(self) -> float:
        return self.ending.output_tokens / self.inference.output_tokens

    def _usage(self, output_tokens: int) -> Usage:
        return replace(self.inference.prompt.usage, output_tokens=output_tokens)

    def _charge_whole(self) -> Usage:
        usage = self._usage(self.ending.output_tokens)
        self._charge(usage, "none" if self.unseen else "whole")
        return usage

    def _charge(self, usage: Usage, delivered: Delivered) -> None:
        self.world.ledger.charge_request(
            "messages",
            self.request_id,
            self.model,
            usage,
            self.world.clock.timestamp().date(),
            delivered=delivered,
            question=self.question,
        )


def _model_request(body: dict[str, Any]) -> ModelRequest:
    form = (body.get("output_config") or {}).get("format") or {}
    return ModelRequest(
        model=str(body["model"]),
        messages=_tuple(body["messages"]),
        tools=_tuple(body.get("tools") or ()),
        system=_tuple(blocks_of(body.get("system") or ())),
        tool_choice=body.get("tool_choice"),
        output_schema=form.get("schema"),
        shows_thinking=(body.get("thinking") or {}).get("type") != "disabled",
    )


def _tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)
