"""Where an action goes, and why."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


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
    SHARE = "share"
    """A draw among weighted variants, won or lost."""
    UNKNOWN_VARIANT = "unknown_variant"
    """The flag's rule names a variant that isn't registered."""
    DEFAULT = "default"
    """No rule applies."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A registered configuration of a path, from `policies/agent_research.yml`.

    `iteration_cap` counts model requests; `deadline_s` is seconds of the caller's wall time. `max_tokens` bounds the
    output tokens of one request and is None on the managed path, which has no such setting. `hash` is of the whole
    definition, so a changed definition is another variant to a verdict.
    """

    name: str
    path: PathName
    model: str
    iteration_cap: int
    deadline_s: float
    max_tokens: int | None = None
    prompt_caching: bool = False

    @cached_property
    def hash(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the definition in canonical JSON."""
        definition = {field: getattr(self, field) for field in sorted(self.__dataclass_fields__)}
        return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rule of the precedence as it was looked at: did it decide, and what did it see."""

    rule: str
    decided: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The variant an action goes to, the reason, and the flag state it came from.

    `assignment_key` is what a draw hashed (a conversation or a tenant) and `assignment_share` the share of the variant
    that was drawn, in [0, 1]; both are None where nothing was drawn. `flag_version` is a hash of the flag document.
    `iteration_cap` and `deadline_s` are those in force: the variant's, tightened by the action's limits.
    """

    variant: Variant
    reason: Reason
    iteration_cap: int
    deadline_s: float
    flag: str
    flag_version: str | None = None
    flag_stale: bool = False
    assignment_key: str | None = None
    assignment_share: float | None = None
    steps: tuple[Step, ...] = ()

    @property
    def path(self) -> PathName:
        """The path of the variant."""
        return self.variant.path
