"""What is observed of an attempt: tokens, model requests, times, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum


class Status(StrEnum):
    """How a row stands."""

    STARTED = "started"
    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"
    LOST = "lost"
    """The ending was never learned."""


class EndedBy(StrEnum):
    """What brought an attempt to its end."""

    COMPLETED = "completed"
    ITERATION_CAP = "iteration_cap"
    TOOL_CALL_CAP = "tool_call_cap"
    TOKEN_CAP = "token_cap"  # noqa: S105 - a model's tokens
    COST_CAP = "cost_cap"
    DEADLINE = "deadline"
    REFUSAL = "refusal"
    INTERRUPT = "interrupt"
    """A `user.interrupt` that wasn't ours."""
    CANCEL = "cancel"
    """The caller cancelled."""
    FAILURE = "failure"


class ErrorType(StrEnum):
    """What went wrong, as an engineer groups it; closed."""

    ITERATION_CAP = "iteration_cap"
    TOOL_CALL_CAP = "tool_call_cap"
    TOKEN_CAP = "token_cap"  # noqa: S105 - a model's tokens
    COST_CAP = "cost_cap"
    DEADLINE = "deadline"
    OUTPUT_INVALID = "output_invalid"
    REFUSAL = "refusal"
    MAX_TOKENS = "max_tokens"
    CONTEXT_WINDOW = "context_window"
    STREAM_TRUNCATED = "stream_truncated"
    CONNECTION = "connection"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    PROVIDER_ERROR = "provider_error"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    BILLING = "billing"
    INVALID_REQUEST = "invalid_request"
    NOT_FOUND = "not_found"
    REPOSITORY = "repository"
    SESSION_TERMINATED = "session_terminated"
    RETRIES_EXHAUSTED = "retries_exhausted"
    TOOL_USE_LIMIT = "tool_use_limit"
    BUDGET_REACHED = "budget_reached"
    INTERRUPTED = "interrupted"
    ORIGIN_MISMATCH = "origin_mismatch"
    CANCELLED = "cancelled"
    UNEXPECTED_REPLY = "unexpected_reply"
    """A reply that is not of the API's form, such as a proxy's page with status 200."""
    CIRCUIT_OPEN = "circuit_open"
    """The path was failing and is left alone for a while; nothing was sent."""
    QUEUE_FULL = "queue_full"
    """Too many attempts of the path already wait in this process; nothing was sent."""
    LOG_UNAVAILABLE = "log_unavailable"
    """The log could not be told the session, so nothing was sent to it."""
    INTERNAL = "internal"
    """A defect of ours."""


class ErrorStage(StrEnum):
    """Where it went wrong."""

    QUEUE = "queue"
    PROVISION = "provision"
    SESSION = "session"
    REQUEST = "request"
    STREAM = "stream"
    TOOLS = "tools"
    OUTPUT = "output"


class UsageQuality(StrEnum):
    """How far the token figures of a row can be trusted."""

    REPORTED = "reported"
    SPLIT_INFERRED = "split_inferred"
    """The totals are the provider's; the split of cache writes by TTL is inferred."""
    PARTIAL = "partial"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens in disjoint classes; None is unknown, 0 is zero.

    `input_tokens` is uncached input only. `cache_creation_input_tokens` is the cache writes of both TTLs together and
    stays known where their split isn't. The prompt of a request is the sum of uncached, read and written tokens.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation_5m_input_tokens: int | None = None
    cache_creation_1h_input_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        """The sum, class by class; a class unknown on either side is unknown in the sum."""
        return Usage(**{f.name: _sum(getattr(self, f.name), getattr(other, f.name)) for f in fields(Usage)})

    @property
    def prompt_tokens(self) -> int | None:
        """All input of the request, cached or not; None where a class is unknown."""
        return _sum(_sum(self.input_tokens, self.cache_read_input_tokens), self.cache_creation_input_tokens)


ZERO_USAGE = Usage(**{f.name: 0 for f in fields(Usage)})
"""Nothing spent: the start of a sum."""


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One model request inside an attempt.

    `ordinal` counts from 1. `latency_ms` runs from the request's start to its last byte; None where unobservable.
    `cost_nanousd` is in 10⁻⁹ US dollars, None where the price or the tokens are unknown.
    """

    ordinal: int
    model: str
    usage: Usage
    latency_ms: int | None
    stop_reason: str | None
    request_id: str | None
    cost_nanousd: int | None
    prompt_fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Where the caller's wait went, in integer milliseconds.

    `ready_ms` + `session_init_ms` + `first_token_ms` + `remainder_ms` = time to first token on every row that has
    one; a part that couldn't be observed is None, its time falls into the remainder, and
    `timing_unavailable_reason` says why. `first_text_ms` counts from the start to the first visible text. Both begin
    when the attempt had its place: `queue_ms`, the wait for one, is a figure of its own.
    """

    response_time_ms: int
    queue_ms: int | None = None
    ready_ms: int | None = None
    session_init_ms: int | None = None
    first_token_ms: int | None = None
    remainder_ms: int | None = None
    first_text_ms: int | None = None
    active_ms: int | None = None
    drain_ms: int | None = None
    timing_unavailable_reason: str | None = None

    @property
    def time_to_first_token_ms(self) -> int | None:
        """Milliseconds from the start to the first model output of any kind; None where there was none."""
        if self.remainder_ms is None:
            return None
        return (self.ready_ms or 0) + (self.session_init_ms or 0) + (self.first_token_ms or 0) + self.remainder_ms
