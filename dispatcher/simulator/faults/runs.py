"""Faults inside a managed session: what its harness does between the client's requests.

What the model was asked before is charged; a turn that dies here costs no more than that and its running time.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from dispatcher.simulator.faults.vocabulary import Fault, Seconds

RepositoryError = Literal[
    "repository_authentication_error",
    "repository_forbidden_error",
    "repository_not_found_error",
    "repository_checkout_error",
    "repository_clone_error",
]
SessionErrorType = Literal[
    "unknown_error",
    "model_overloaded_error",
    "model_rate_limited_error",
    "model_request_failed_error",
    "mcp_connection_failed_error",
    "mcp_authentication_failed_error",
    "billing_error",
    "credential_host_unreachable_error",
    "tool_use_limit_reached_error",
    "compaction_limit_reached_error",
    RepositoryError,
]


class RunFault(Fault):
    """What happens right before a model request."""

    acts_on: ClassVar[frozenset[str]] = frozenset(["model_request"])


class SessionError(RunFault):
    """A `session.error`; the run goes on (`retrying`), the turn dies (`exhausted`), or the session (`terminal`)."""

    name: Literal["session_error"] = "session_error"
    error_type: SessionErrorType
    retry_status: Literal["retrying", "exhausted", "terminal"] = "retrying"
    message: str = "Injected by the simulator"


class Rescheduled(RunFault):
    """The session is rescheduled, waits so long, which isn't billed, and goes on."""

    name: Literal["rescheduled"] = "rescheduled"
    seconds: Seconds = 0.0


class Terminated(RunFault):
    """The session is terminated, without a word why."""

    name: Literal["terminated"] = "terminated"


class Deleted(RunFault):
    """Somebody deletes the session: streams are told and closed, and it is gone."""

    name: Literal["deleted"] = "deleted"


class BudgetReached(Fault):
    """The session's budget counts as reached. It counts only sessions that have one."""

    acts_on: ClassVar[frozenset[str]] = frozenset(["model_request"])
    name: Literal["budget_reached"] = "budget_reached"


class ForeignInterrupt(RunFault):
    """Somebody else sends `user.interrupt`: the request that has just begun ends, with its input charged."""

    name: Literal["foreign_interrupt"] = "foreign_interrupt"


class FailedRequest(RunFault):
    """A model request fails: its span ends with `is_error` and no tokens, nothing is charged, and it is made again."""

    name: Literal["failed_request"] = "failed_request"


class LateUsage(Fault):
    """Usage is told late.

    On `model_request`, the span's end comes after the next request has begun, or after the idle event where there is
    none. On `session.idle`, `session.usage` follows the idle event instead of preceding it.
    """

    acts_on: ClassVar[frozenset[str]] = frozenset(["model_request", "session.idle"])
    name: Literal["late_usage"] = "late_usage"


class CloneError(Fault):
    """A repository can't be mounted, is told so, and the run goes on without it."""

    acts_on: ClassVar[frozenset[str]] = frozenset(["repository.clone"])
    name: Literal["clone_error"] = "clone_error"
    error_type: RepositoryError = "repository_clone_error"


class StaleStatus(Fault):
    """For `ms` real milliseconds after the idle event, the queryable status still says `running`."""

    acts_on: ClassVar[frozenset[str]] = frozenset(["session.idle"])
    name: Literal["stale_status"] = "stale_status"
    ms: int = Field(ge=1)


class InterruptFault(Fault):
    """What happens to an interrupt of a running session. It counts only requests that send one."""

    acts_on: ClassVar[frozenset[str]] = frozenset(["events.send"])


class SlowInterrupt(InterruptFault):
    """The interrupt is accepted, and obeyed `seconds` later; the agent works on until then, and is billed."""

    name: Literal["slow_interrupt"] = "slow_interrupt"
    seconds: Seconds


class IgnoredInterrupt(InterruptFault):
    """The interrupt is accepted, and obeyed after `requests` more model requests, or never in this turn."""

    name: Literal["ignored_interrupt"] = "ignored_interrupt"
    requests: int | None = Field(default=None, ge=1)
