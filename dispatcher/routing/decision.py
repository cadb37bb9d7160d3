"""The decision, pure: the rules of precedence in their order, and the first that applies decides.

They are: kill switch, flag state unusable, flag off, tenant removed, repository not mountable, pin, tenant named,
sticky, share, default. The order is taken literally: where the managed path can't mount the repository, the reason says
so even for a tenant that no rule names. Mountability is judged before any draw, so both arms lose the same actions.

A conversation keeps the variant that it was first assigned for as long as some draw reaches it, whatever the draw's
share is by then. What an operator does by name wins over it; that the reason is `sticky_overridden` then, and not the
rule's own, says that the conversation was moved. A pin and a repository are the action's own matter, and a flag state
that can't be used is nobody's intention, so these keep their reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from dispatcher.action.decision import DEFAULT_VARIANT, Assignment, Decision, Reason, Step
from dispatcher.action.request import Limits
from dispatcher.errors import InvalidAction
from dispatcher.routing.assignment import NOTHING_ASSIGNED, Recalled
from dispatcher.routing.caps import tightened
from dispatcher.routing.flags.answer import FlagAnswer, FlagState
from dispatcher.routing.policy import Policies

_UNUSABLE = {
    FlagState.UNKNOWN_FLAG: Reason.UNKNOWN_FLAG,
    FlagState.STALE: Reason.STALE,
    FlagState.ERROR: Reason.ERROR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a decision depends on once the kill switch isn't set.

    `obstacle` says why the managed path can't mount the repository, None where it can. `recalled` is what is known of
    the variant that the conversation was first assigned.
    """

    policies: Policies
    answer: FlagAnswer
    obstacle: str | None
    pin: str | None
    limits: Limits
    recalled: Recalled = NOTHING_ASSIGNED


class _Seen(NamedTuple):
    """What a rule saw; with a reason, it decides."""

    detail: str
    reason: Reason | None = None
    variant: str = DEFAULT_VARIANT


def decide(situation: Situation) -> Decision:
    """The decision of a situation. Raises InvalidAction where the action pins a variant that isn't registered."""
    _refuse_unknown_pin(situation)
    steps = [_passed("kill switch", "not set")]
    for name, rule in _RULES:
        seen = rule(situation)
        if seen.reason is not None:
            mover = _mover(seen.reason, seen.variant, situation.recalled.assignment)
            detail = seen.detail if rule is _sticky else seen.detail + _moving(mover, situation.recalled.assignment)
            steps.append(Step(rule=name, decided=True, detail=detail))
            return _decision(situation, seen.variant, seen.reason, mover, tuple(steps))
        steps.append(_passed(name, seen.detail))
    raise AssertionError("the default decides where nothing else does")


@lru_cache(maxsize=256)
def _passed(rule: str, detail: str) -> Step:
    """The step of a rule that didn't decide; most of them say the same in every decision."""
    return Step(rule=rule, decided=False, detail=detail)


def brake(
    policies: Policies, limits: Limits, where: str, value: str, recalled: Recalled = NOTHING_ASSIGNED
) -> Decision:
    """The decision while the kill switch is set: it asks nothing else, and any value brakes."""
    if value == DEFAULT_VARIANT:
        reason, detail = Reason.FORCED, f"{where} says {value!r}"
    else:
        reason, detail = Reason.FORCE_INVALID, f"{where} says {value!r}, which isn't 'legacy'; it brakes all the same"
    mover = _mover(reason, DEFAULT_VARIANT, recalled.assignment)
    return Decision(
        variant=policies.default,
        reason=reason if mover is None else Reason.STICKY_OVERRIDDEN,
        caps=tightened(policies.default, limits),
        flag=policies.flag,
        moved_by=mover,
        steps=(Step(rule="kill switch", decided=True, detail=detail + _moving(mover, recalled.assignment)),),
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
    document = f"document {answer.version} from {answer.source}, confirmed {answer.age_s or 0:.0f} s ago"
    return _Seen(f"{document}, the last good one: {answer.problem}" if answer.stale else document)


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


def _sticky(situation: Situation) -> _Seen:
    recalled, answer = situation.recalled, situation.answer
    kept = recalled.assignment
    if recalled.problem is not None:
        return _Seen(f"nobody can say what an earlier turn was assigned: {recalled.problem}")
    if kept is None:
        return _Seen("no earlier turn was assigned a variant")
    assigned = f"turn {kept.turn} was assigned {kept.variant!r}"
    if not answer.drawn:
        gone = f"{assigned}, but no rule reaches it any more"
        return _Seen(gone) if kept.variant == DEFAULT_VARIANT else _Seen(gone, Reason.REMOVED)
    variant = situation.policies.variants.get(kept.variant)
    if variant is None:
        return _Seen(f"{assigned}, which is no longer registered")
    if kept.variant_hash not in {None, variant.hash}:
        assigned += f"; its definition has changed since, from {kept.variant_hash} to {variant.hash}"
    return _Seen(assigned, Reason.STICKY, kept.variant)


def _share(situation: Situation) -> _Seen:
    answer = situation.answer
    if not answer.drawn or answer.share is None:
        return _Seen(answer.detail or "no rule draws for it")
    unread = situation.recalled.problem is not None
    reason = Reason.STICKY_UNAVAILABLE if unread else Reason.SHARE
    drawn = f"by {answer.assignment_key!r}, at a share of {answer.share:.4g}"
    if answer.state is FlagState.LOST:
        detail = f"constraints of rule {answer.rule!r} pass, but it is not in the rollout: left out {drawn}"
        return _Seen(detail, reason)
    return _registered(situation, f"rule {answer.rule!r} drew {answer.variant!r} {drawn}", reason)


def _default(_situation: Situation) -> _Seen:
    return _Seen(f"nothing moves it from {DEFAULT_VARIANT!r}", Reason.DEFAULT)


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
    ("sticky", _sticky),
    ("share", _share),
    ("default", _default),
)

_MOVING = {Reason.FORCED, Reason.FORCE_INVALID, Reason.OFF, Reason.REMOVED, Reason.FLAG, Reason.SHARE}
"""The reasons by which an operator moves a conversation; a draw, where its variant isn't registered any more."""


def _mover(reason: Reason, variant: str, kept: Assignment | None) -> Reason | None:
    """The reason, where by it an operator took the conversation from what it was assigned; else None."""
    return reason if reason in _MOVING and kept is not None and kept.variant != variant else None


def _moving(mover: Reason | None, kept: Assignment | None) -> str:
    if mover is None or kept is None:
        return ""
    return f"; that moves the conversation from {kept.variant!r}, which turn {kept.turn} was assigned"


def _decision(
    situation: Situation, variant_name: str, reason: Reason, mover: Reason | None, steps: tuple[Step, ...]
) -> Decision:
    answer, kept = situation.answer, situation.recalled.assignment
    variant = situation.policies.variants[variant_name]
    key = share = None
    if reason in {Reason.SHARE, Reason.STICKY_UNAVAILABLE}:
        key, share = answer.assignment_key, answer.share
    elif reason is Reason.STICKY and kept is not None:
        key, share = kept.key, kept.share
    return Decision(
        variant=variant,
        reason=reason if mover is None else Reason.STICKY_OVERRIDDEN,
        caps=tightened(variant, situation.limits),
        flag=situation.policies.flag,
        flag_version=answer.version,
        flag_source=answer.source,
        flag_age_s=answer.age_s,
        flag_stale=answer.stale,
        assignment_key=key,
        assignment_share=share,
        moved_by=mover,
        steps=steps,
    )
