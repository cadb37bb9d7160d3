"""One attempt as the log holds it: an opening, committed before the provider is called, and an ending.

The fields are the columns of `ai_outbound_logs`; a test pins the two to each other.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum

from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status, UsageQuality
from dispatcher.action.transcript import TranscriptForm


class Origin(StrEnum):
    """Where a row comes from; rows of different origins never mix in one figure."""

    PRODUCTION = "production"
    SPIKE = "spike"
    SHADOW = "shadow"
    IMPORT = "import"
    SIMULATED = "simulated"


class Role(StrEnum):
    """What an attempt is to its dispatch."""

    SERVED = "served"
    FALLBACK = "fallback"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOpening:
    """What is known before the provider is called. Moments are aware and in UTC."""

    log_id: str
    dispatch_id: str
    attempt: int
    role: Role
    origin: Origin
    time_scale: float
    feature: str
    tenant: str
    project: str | None
    conversation_id: str | None
    turn: int | None
    actor: str | None
    created_at: dt.datetime
    deadline_at: dt.datetime
    owner: str
    path: str
    variant: str
    routed_variant: str
    variant_hash: str
    model: str
    reason: str
    flag: str | None
    flag_version: str | None
    flag_stale: bool
    assignment_key: str | None
    assignment_share: float | None
    iteration_cap: int
    transcript_form: TranscriptForm
    repository: str | None
    commit_sha: str | None
    idempotency_key: str | None = None
    reserved_nanousd: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnding:
    """What is known when the attempt has ended; None is unknown, 0 is zero. Durations are in milliseconds."""

    status: Status
    finished_at: dt.datetime
    ended_by: EndedBy
    stop_reason: str | None
    output_valid: bool | None
    output_chars: int | None
    error_type: ErrorType | None
    error_stage: ErrorStage | None
    http_status: int | None
    response_time_ms: int
    queue_ms: int | None
    ready_ms: int | None
    session_init_ms: int | None
    first_token_ms: int | None
    remainder_ms: int | None
    first_text_ms: int | None
    active_ms: int | None
    drain_ms: int | None
    timing_unavailable_reason: str | None
    timing_schema: int
    input_tokens: int | None
    cache_read_input_tokens: int | None
    cache_creation_input_tokens: int | None
    cache_creation_5m_input_tokens: int | None
    cache_creation_1h_input_tokens: int | None
    output_tokens: int | None
    usage_quality: UsageQuality
    first_call_input_tokens: int | None
    first_call_cache_read_input_tokens: int | None
    first_call_cache_creation_input_tokens: int | None
    first_call_output_tokens: int | None
    cost_nanousd: int | None
    runtime_cost_nanousd: int | None
    tool_cost_nanousd: int | None
    price_version: str | None
    platform_list_cost_nanousd: int | None
    iterations: int
    tool_calls: int
    tool_errors: int
    retries: int
    repairs: int
    retry_wait_ms: int
    provider_request_id: str | None
    session_id: str | None
    agent_id: str | None
    agent_version: int | None
    prefix_fingerprint: str | None
    prompt_fingerprint: str | None
    section_fingerprints: str | None
    prefix_changed: str | None
    transcript_form: TranscriptForm
    platform_input_tokens: int | None
    platform_output_tokens: int | None
    platform_cache_read_input_tokens: int | None
    platform_cache_creation_input_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a tenant may spend: what its rows since the moment have cost or reserved, and this one's reservation, must
    together not exceed `nanousd` (10⁻⁹ US dollars).

    `own_nanousd` is what the earlier attempt of the same dispatch has cost, whose row is still open: it counts instead
    of that row's reservation. What isn't known counts as the reservation.
    """

    nanousd: int
    since: dt.datetime
    own_nanousd: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Content that the feature's policy keeps, written in the transaction that ends the row; JSON texts.

    `turn` belongs to the row's conversation, `result` to its dispatch's idempotency key; each with the moment from
    which it counts as gone. `max_conversation_bytes` bounds what is kept of one conversation, this turn included: a
    turn that doesn't fit isn't kept, and the conversation can't go on without `history`.
    """

    turn: str | None = None
    turn_expires_at: dt.datetime | None = None
    max_conversation_bytes: int = 0
    result: str | None = None
    result_expires_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedSession:
    """The managed session of a conversation's latest turn, as its row has it."""

    session_id: str
    agent_id: str
    agent_version: int
    model: str
    repository: str | None
    commit_sha: str | None
    project: str | None
    prefix_fingerprint: str | None
    finished_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSoFar:
    """What the log knows of a conversation.

    `turn` is the highest ordinal, 0 where there is none; it counts rows of other origins too, whose ordinals are taken
    all the same. All else is of the asker's own origin. `running` says that an attempt is `started` and can still be
    at work. `answered` are the ordinals of the turns that were answered, and `kept` the JSON texts of those
    whose content is kept and hasn't expired, by ordinal. `session` is set where the latest turn was answered in a
    managed session. `section_fingerprints` is the latest turn's, on the path `path`.
    """

    turn: int = 0
    running: bool = False
    answered: tuple[int, ...] = ()
    kept: tuple[tuple[int, str], ...] = ()
    session: LoggedSession | None = None
    path: str | None = None
    section_fingerprints: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptRow:
    """The row of the attempt that created a provider's session, as a sweep of sessions needs it.

    `session_id` is the session that the row was told, None where it was told none; any other session that names the row
    is nobody's. `busy_until` is the latest deadline among the attempts that are `started`, of the row's conversation
    or, outside one, of the row itself; None where none is. `active_at` is when one of them last began or ended.
    `resumable` says that the conversation's latest turn was answered in this row's session, so that the next turn may
    go on in it.
    """

    log_id: str
    tenant: str
    conversation_id: str | None
    status: Status
    session_id: str | None
    deadline_at: dt.datetime | None
    finished_at: dt.datetime | None
    busy_until: dt.datetime | None
    active_at: dt.datetime
    resumable: bool


def new_log_id() -> str:
    """A UUIDv7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then 74 random bits.

    Ids are made here and never taken from the provider, so an empty or repeated provider id can't swallow a row.
    """
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
