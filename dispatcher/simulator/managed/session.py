"""A session: what it was created with, what it has used, and where its agent stands."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dispatcher.action.observation import ZERO_USAGE, Usage
from dispatcher.simulator.clock import rfc3339
from dispatcher.simulator.managed.budget import budget_view, money
from dispatcher.simulator.managed.container import Container
from dispatcher.simulator.managed.eventlog import EventLog
from dispatcher.simulator.metering.ledger import NANOUSD_PER_CENT, whole_cents

Wanted = Literal["nothing", "result", "confirmation"]


@dataclass(slots=True)
class OpenCall:
    """A tool call that has no result yet.

    `event_id` is the event's; `tool_id` names the call in the transcript. `wants` says what the client still owes.
    """

    event_id: str
    tool_id: str
    name: str
    input: dict[str, Any]
    wants: Wanted
    result: list[dict[str, Any]] | None = None
    is_error: bool = False
    is_denied: bool = False

    def answer(self, text: str, *, is_error: bool) -> None:
        """Settle the call with a text."""
        self.settle([{"type": "text", "text": text}], is_error=is_error)

    def deny(self, why: str) -> None:
        """Settle the call without running it; its result is told when the agent goes on."""
        self.answer(why, is_error=True)
        self.is_denied = True

    def settle(self, content: list[dict[str, Any]], *, is_error: bool) -> None:
        """Settle the call with content blocks."""
        self.result, self.is_error, self.wants = content, is_error, "nothing"


@dataclass(slots=True)
class Unheard:
    """An interrupt that isn't obeyed before so many more model requests; None: not in this turn."""

    event_id: str
    requests: int | None


@dataclass(slots=True)
class Meter:
    """Cumulative usage. `active_s` is simulated seconds of running; `charged_ms` of it is in `cost_nanousd` already."""

    tokens: Usage = ZERO_USAGE
    active_s: float = 0.0
    charged_ms: int = 0
    cost_nanousd: int = 0
    is_priced: bool = True

    @property
    def active_ms(self) -> int:
        """Simulated milliseconds of running."""
        return round(self.active_s * 1000)

    def add(self, usage: Usage, cost_nanousd: int | None) -> None:
        """Count a model request; one without a price takes the list cost from the whole session."""
        self.tokens += usage
        self.is_priced = self.is_priced and cost_nanousd is not None
        self.cost_nanousd += cost_nanousd or 0

    def view(self) -> dict[str, Any]:
        """The cumulative usage as the API returns it; a session without a list price has no list cost."""
        split = {
            "ephemeral_5m_input_tokens": self.tokens.cache_creation_5m_input_tokens,
            "ephemeral_1h_input_tokens": self.tokens.cache_creation_1h_input_tokens,
        }
        return {
            "input_tokens": self.tokens.input_tokens,
            "output_tokens": self.tokens.output_tokens,
            "cache_read_input_tokens": self.tokens.cache_read_input_tokens,
            "cache_creation": split,
            "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
            "active_seconds": self.active_ms / 1000,
            "list_cost": money(whole_cents(self.cost_nanousd)) if self.is_priced else None,
        }


@dataclass(slots=True, kw_only=True)
class Session:
    """One session. `transcript` has the form of the Messages API. `untold` are ends of spans that are told late."""

    id: str
    api_key: str
    agent: dict[str, Any]
    environment_id: str
    networking: Mapping[str, Any]
    resources: list[dict[str, Any]]
    metadata: dict[str, str]
    title: str | None
    budget_cents: int | None
    created_at: dt.datetime
    created_simulated_s: float
    thread_id: str
    log: EventLog
    updated_at: dt.datetime
    archived_at: dt.datetime | None = None
    meter: Meter = field(default_factory=Meter)
    transcript: list[dict[str, Any]] = field(default_factory=list)
    open_calls: list[OpenCall] = field(default_factory=list)
    waiting: deque[dict[str, Any]] = field(default_factory=deque)
    interrupts: list[str] = field(default_factory=list)
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    container: Container | None = None
    unheard: list[Unheard] = field(default_factory=list)
    untold: list[dict[str, Any]] = field(default_factory=list)
    is_running: bool = False
    is_rescheduling: bool = False
    is_terminated: bool = False
    budget_reached: bool = False
    resumes: bool = False
    says_running_until: float = 0.0
    ended_simulated_s: float | None = None

    def status(self, real_seconds: float) -> str:
        """The queryable status; it stays `running` for a moment after the idle event."""
        if self.is_over:
            return "terminated"
        if self.is_rescheduling:
            return "rescheduling"
        return "running" if self.is_running or real_seconds < self.says_running_until else "idle"

    @property
    def is_over(self) -> bool:
        """Whether nothing will ever run in it again."""
        return self.is_terminated or self.archived_at is not None

    @property
    def thread_facts(self) -> dict[str, Any]:
        """What the events of its one thread say of it."""
        return {"session_thread_id": self.thread_id, "agent_name": self.agent["name"]}

    def flush_waiting(self) -> None:
        """Drop the messages that wait for their turn; they count as processed."""
        while self.waiting:
            self.log.mark_processed(self.waiting.popleft()["id"])

    def tell_untold(self) -> None:
        """Emit the ends of spans that were held back."""
        for event in self.untold:
            self.log.emit("span.model_request_end", **event)
        self.untold.clear()

    def count_request(self) -> None:
        """A model request begins: an interrupt that was ignored for so many is obeyed now."""
        for one in tuple(self.unheard):
            if one.requests is None:
                continue
            if one.requests == 0:
                self.unheard.remove(one)
                self.interrupts.append(one.event_id)
                self.interrupted.set()
            else:
                one.requests -= 1

    @property
    def awaited(self) -> list[OpenCall]:
        """The calls that wait for the client."""
        return [call for call in self.open_calls if call.wants != "nothing"]

    @property
    def budget_nanousd(self) -> int | None:
        """The spend ceiling in 10⁻⁹ US dollars."""
        return None if self.budget_cents is None else self.budget_cents * NANOUSD_PER_CENT

    def view(self, real_seconds: float, simulated_seconds: float) -> dict[str, Any]:
        """The resource as the API returns it."""
        end = simulated_seconds if self.ended_simulated_s is None else self.ended_simulated_s
        return {
            "id": self.id,
            "type": "session",
            "status": self.status(real_seconds),
            "agent": self.agent,
            "environment_id": self.environment_id,
            "budget": budget_view(self.budget_cents),
            "resources": self.resources,
            "stats": {
                "active_seconds": self.meter.active_ms / 1000,
                "duration_seconds": round(end - self.created_simulated_s, 3),
            },
            "usage": self.meter.view(),
            "outcome_evaluations": [],
            "metadata": self.metadata,
            "title": self.title,
            "vault_ids": [],
            "deployment_id": None,
            "archived_at": rfc3339(self.archived_at) if self.archived_at else None,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
        }
