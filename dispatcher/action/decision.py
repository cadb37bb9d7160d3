"""Where an action goes, and why."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

DEFAULT_VARIANT = "legacy"
"""The variant of every action that nothing moves, and the one that every brake leads to."""


class PathName(StrEnum):
    """The two ways research is carried out."""

    MESSAGES = "messages"
    """Our own tool loop on the Messages API."""
    MANAGED = "managed"
    """Claude Managed Agents."""


class Reason(StrEnum):
    """Why a decision fell as it did; the first that applies, in the order of precedence."""

    FORCED = "forced"
    """The kill switch says `legacy`."""
    FORCE_INVALID = "force_invalid"
    """The kill switch is set to something else, or can't be read; it brakes all the same."""
    UNKNOWN_FLAG = "unknown_flag"
    """The flag state doesn't hold the flag."""
    STALE = "stale"
    """The flag state is older than is allowed."""
    ERROR = "error"
    """The flag state is missing or couldn't be evaluated."""
    OFF = "off"
    """The flag is switched off."""
    REMOVED = "removed"
    """A rule names this tenant for `legacy`."""
    REPOSITORY_NOT_MOUNTABLE = "repository_not_mountable"
    """The managed path can't mount the repository at a commit."""
    PINNED = "pinned"
    """The action pins a variant."""
    FLAG = "flag"
    """A rule names the tenant, with one variant."""
    STICKY = "sticky"
    """A draw reaches the conversation, which keeps the variant it was first assigned."""
    STICKY_OVERRIDDEN = "sticky_overridden"
    """An operator's rule moved the conversation from the variant it was first assigned."""
    STICKY_UNAVAILABLE = "sticky_unavailable"
    """A draw made anew, since the log couldn't say in time whether the conversation was assigned a variant before."""
    SHARE = "share"
    """A draw among weighted variants, won or lost."""
    UNKNOWN_VARIANT = "unknown_variant"
    """The flag's rule names a variant that isn't registered."""
    DEFAULT = "default"
    """No rule applies."""


class CapMode(StrEnum):
    """How the managed path keeps to its caps, since the platform has none of its own."""

    INTERRUPT = "interrupt"
    """Requests are counted as they start and the session is interrupted; may overshoot by one request."""
    CONFIRM = "confirm"
    """Every tool asks for our permission, which is denied at the cap; exact, at a round trip for each tool round."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A registered configuration of a path, from `policies/agent_research.yml`.

    The caps bound one attempt: `iteration_cap` model requests, `tool_call_cap` tool calls, `token_cap` tokens of all
    classes over all requests, `cost_cap_nanousd` 10⁻⁹ US dollars, `deadline_s` seconds of the caller's wall time.
    `max_tokens` bounds the output tokens of one request and is None on the managed path, which has no such setting;
    `cap_mode` is of the managed path. `fallback` names the variant that is tried where this one's provider fails.
    `prompt` stands for what is sent beside the question: the system prompt, the tools, the form of the answer; empty
    where only the policy is known. `hash` is of all of it, so a changed definition is another variant to a verdict.
    """

    name: str
    path: PathName
    model: str
    iteration_cap: int
    tool_call_cap: int
    token_cap: int
    cost_cap_nanousd: int
    deadline_s: float
    max_tokens: int | None = None
    prompt_caching: bool = False
    cap_mode: CapMode | None = None
    fallback: str | None = None
    prompt: str = ""

    @cached_property
    def hash(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the definition in canonical JSON."""
        definition = {field: getattr(self, field) for field in sorted(self.__dataclass_fields__)}
        return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The limits in force for one attempt: the variant's, tightened by the action's; units as in `Variant`."""

    iterations: int
    tool_calls: int
    tokens: int
    cost_nanousd: int
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rule of the precedence as it was looked at: did it decide, and what did it see."""

    rule: str
    decided: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a conversation keeps: the variant of its first turn that a flag's rule decided, by name or by a draw.

    `variant_hash` is that of the definition it had then. `key` and `share` are those of the draw, None where the rule
    named the variant.
    """

    variant: str
    variant_hash: str | None
    turn: int
    key: str | None
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The variant an action goes to, the reason, and the flag state it came from.

    `assignment_key` is what a draw hashed (a conversation or a tenant) and `assignment_share` the share of the variant
    that was drawn, in [0, 1]; both are None where nothing was drawn. A sticky decision has those of the first draw.
    `flag_version` is a hash of the flag document, which came from `flag_source` and was confirmed to be the newest
    `flag_age_s` seconds before; all None where the flag wasn't asked. `moved_by` is the reason that a conversation
    without an assignment would have, where `reason` is `sticky_overridden`, and None elsewhere.
    """

    variant: Variant
    reason: Reason
    caps: Caps
    flag: str
    flag_version: str | None = None
    flag_source: str | None = None
    flag_age_s: float | None = None
    flag_stale: bool = False
    assignment_key: str | None = None
    assignment_share: float | None = None
    moved_by: Reason | None = None
    steps: tuple[Step, ...] = ()

    @property
    def path(self) -> PathName:
        """The path of the variant."""
        return self.variant.path

    @property
    def iteration_cap(self) -> int:
        """The cap on model requests that is in force."""
        return self.caps.iterations

    @property
    def deadline_s(self) -> float:
        """The deadline that is in force, in seconds of the caller's wall time."""
        return self.caps.deadline_s
