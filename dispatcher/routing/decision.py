"""The decision, pure: the rules of precedence in their order, and the first that applies decides.

They are: kill switch, flag state unusable, flag off, tenant removed, repository not mountable, pin, tenant named,
share, default. The order is taken literally: where the managed path can't mount the repository, the reason says so even
for a tenant that no rule names. Mountability is judged before any draw, so both arms lose the same actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from dispatcher.action.decision import DEFAULT_VARIANT, Caps, Decision, Reason, Step, Variant
from dispatcher.action.request import Limits
from dispatcher.errors import InvalidAction
from dispatcher.routing.flag_answer import FlagAnswer, FlagState
from dispatcher.routing.policy import Policies

_UNUSABLE = {
    FlagState.UNKNOWN_FLAG: Reason.UNKNOWN_FLAG,
    FlagState.STALE: Reason.STALE,
    FlagState.ERROR: Reason.ERROR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a decision depends on once the kill switch isn't set.

    `obstacle` says why the managed path can't mount the repository, None where it can.
    """

    policies: Policies
    answer: FlagAnswer
    obstacle: str | None
    pin: str | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a rule saw; with a reason, it decides."""

    detail: str
    reason: Reason | None = None
    variant: str = DEFAULT_VARIANT


def decide(situation: Situation) -> Decision:
    """The decision of a situation. Raises InvalidAction where the action pins a variant that isn't registered."""
    _refuse_unknown_pin(situation)
    steps = [Step(rule="kill switch", decided=False, detail="not set")]
    for name, rule in _RULES:
        seen = rule(situation)
        steps.append(Step(rule=name, decided=seen.reason is not None, detail=seen.detail))
        if seen.reason is not None:
            return _decision(situation, seen.variant, seen.reason, tuple(steps))
    steps.append(Step(rule="default", decided=True, detail=f"nothing moves it from {DEFAULT_VARIANT!r}"))
    return _decision(situation, DEFAULT_VARIANT, Reason.DEFAULT, tuple(steps))


def brake(policies: Policies, limits: Limits, where: str, value: str) -> Decision:
    """The decision while the kill switch is set: it asks nothing else, and any value brakes."""
    if value == DEFAULT_VARIANT:
        reason, detail = Reason.FORCED, f"{where} says {value!r}"
    else:
        reason, detail = Reason.FORCE_INVALID, f"{where} says {value!r}, which isn't 'legacy'; it brakes all the same"
    return Decision(
        variant=policies.default,
        reason=reason,
        caps=tightened(policies.default, limits),
        flag=policies.flag,
        steps=(Step(rule="kill switch", decided=True, detail=detail),),
    )


def _refuse_unknown_pin(situation: Situation) -> None:
    variants = situation.policies.variants
    if situation.pin is not None and situation.pin not in variants:
        known = ", ".join(sorted(variants))
        raise InvalidAction("action", [f"variant {situation.pin!r} is not registered; registered are {known}"])


def _flag_state(situation: Situation) -> _Seen:
    answer = situation.answer
    if answer.state in _UNUSABLE:
        return _Seen(answer.detail, _UNUSABLE[answer.state])
    if answer.stale:
        return _Seen(f"document {answer.version}, the last good one: {answer.problem}")
    return _Seen(f"document {answer.version}, confirmed")


def _flag_off(situation: Situation) -> _Seen:
    if situation.answer.state is FlagState.OFF:
        return _Seen(situation.answer.detail, Reason.OFF)
    return _Seen(f"{situation.policies.flag!r} is on")


def _removed(situation: Situation) -> _Seen:
    answer = situation.answer
    if _named(answer) and answer.variant == DEFAULT_VARIANT:
        return _Seen(f"rule {answer.rule!r} names it for {DEFAULT_VARIANT!r}", Reason.REMOVED)
    return _Seen(f"no rule names it for {DEFAULT_VARIANT!r}")


def _repository(situation: Situation) -> _Seen:
    if situation.obstacle is not None:
        return _Seen(f"the managed path can't mount it: {situation.obstacle}", Reason.REPOSITORY_NOT_MOUNTABLE)
    return _Seen("the managed path can mount it")


def _pin(situation: Situation) -> _Seen:
    if situation.pin is not None:
        return _Seen(f"the action pins {situation.pin!r}", Reason.PINNED, situation.pin)
    return _Seen("the action pins no variant")


def _tenant_named(situation: Situation) -> _Seen:
    answer = situation.answer
    if not _named(answer):
        return _Seen("no rule names one variant for it")
    return _registered(situation, f"rule {answer.rule!r} names it for {answer.variant!r}", Reason.FLAG)


def _share(situation: Situation) -> _Seen:
    answer = situation.answer
    if not answer.drawn or answer.share is None:
        return _Seen(answer.detail or "no rule draws for it")
    drawn = f"by {answer.assignment_key!r}, at a share of {answer.share:.4g}"
    if answer.state is FlagState.LOST:
        detail = f"constraints of rule {answer.rule!r} pass, but it is not in the rollout: left out {drawn}"
        return _Seen(detail, Reason.SHARE)
    return _registered(situation, f"rule {answer.rule!r} drew {answer.variant!r} {drawn}", Reason.SHARE)


def _registered(situation: Situation, detail: str, reason: Reason) -> _Seen:
    """What the flag chose, if policies register it."""
    variant = situation.answer.variant
    if variant is None or variant not in situation.policies.variants:
        return _Seen(f"{detail}, which is not registered", Reason.UNKNOWN_VARIANT)
    return _Seen(detail, reason, variant)


def _named(answer: FlagAnswer) -> bool:
    return answer.state is FlagState.VARIANT and not answer.drawn


_RULES: tuple[tuple[str, Callable[[Situation], _Seen]], ...] = (
    ("flag state", _flag_state),
    ("flag", _flag_off),
    ("tenant removed", _removed),
    ("repository", _repository),
    ("pin", _pin),
    ("tenant named", _tenant_named),
    ("share", _share),
)


def _decision(situation: Situation, variant_name: str, reason: Reason, steps: tuple[Step, ...]) -> Decision:
    answer = situation.answer
    variant = situation.policies.variants[variant_name]
    by_draw = reason is Reason.SHARE
    return Decision(
        variant=variant,
        reason=reason,
        caps=tightened(variant, situation.limits),
        flag=situation.policies.flag,
        flag_version=answer.version,
        flag_stale=answer.stale,
        assignment_key=answer.assignment_key if by_draw else None,
        assignment_share=answer.share if by_draw else None,
        steps=steps,
    )


def tightened(variant: Variant, limits: Limits) -> Caps:
    """The caps in force: a limit can only tighten the variant's."""
    return Caps(
        iterations=_lower(variant.iteration_cap, limits.iterations),
        tool_calls=_lower(variant.tool_call_cap, limits.tool_calls),
        tokens=_lower(variant.token_cap, limits.tokens),
        cost_nanousd=_lower(variant.cost_cap_nanousd, limits.cost_nanousd),
        deadline_s=float(_lower(variant.deadline_s, limits.deadline_s)),
    )


_Number = TypeVar("_Number", int, float)


def _lower(cap: _Number, limit: _Number | None) -> _Number:
    return cap if limit is None else min(cap, limit)
