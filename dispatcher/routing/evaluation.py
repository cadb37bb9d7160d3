"""A decision in the words of OpenFeature and of OpenTelemetry, for those who watch flags with their own tools.

The reasons are those of OpenFeature's specification, section 1.4.7; the attributes those of the event
`feature_flag.evaluation` in OpenTelemetry's semantic conventions, which spell the reasons in small letters.
"""

from __future__ import annotations

from collections.abc import Mapping

from dispatcher.action.decision import Decision, Reason

PROVIDER = "unleash"

_REASONS: Mapping[Reason, str] = {
    Reason.FORCED: "STATIC",
    Reason.FORCE_INVALID: "STATIC",
    Reason.UNKNOWN_FLAG: "ERROR",
    Reason.STALE: "STALE",
    Reason.ERROR: "ERROR",
    Reason.OFF: "DISABLED",
    Reason.REMOVED: "TARGETING_MATCH",
    Reason.REPOSITORY_NOT_MOUNTABLE: "DEFAULT",
    Reason.PINNED: "STATIC",
    Reason.FLAG: "TARGETING_MATCH",
    Reason.STICKY: "CACHED",
    Reason.STICKY_UNAVAILABLE: "SPLIT",
    Reason.SHARE: "SPLIT",
    Reason.UNKNOWN_VARIANT: "ERROR",
    Reason.DEFAULT: "DEFAULT",
}
"""What moved a conversation stands for `sticky_overridden`."""

_ERRORS: Mapping[Reason, str] = {
    Reason.UNKNOWN_FLAG: "flag_not_found",
    Reason.ERROR: "provider_not_ready",
    Reason.UNKNOWN_VARIANT: "general",
}


def open_feature_reason(decision: Decision) -> str:
    """The reason by OpenFeature's name for it."""
    return _REASONS[decision.moved_by or decision.reason]


def attributes_of(decision: Decision, tenant: str) -> dict[str, str]:
    """The attributes of the event; what isn't known is left out. The context is the tenant, or what a draw hashed."""
    known = {
        "feature_flag.key": decision.flag,
        "feature_flag.provider.name": PROVIDER,
        "feature_flag.result.variant": decision.variant.name,
        "feature_flag.result.reason": open_feature_reason(decision).lower(),
        "feature_flag.context.id": decision.assignment_key or tenant,
        "feature_flag.version": decision.flag_version,
        "error.type": _ERRORS.get(decision.reason),
    }
    return {name: value for name, value in known.items() if value is not None}
