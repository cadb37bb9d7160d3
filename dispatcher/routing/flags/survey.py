"""Asking an engine's state about everybody: which rules reach whom, and with what probability each variant comes out.

The engine answers for one conversation, so it can't say how likely a draw is. What it is asked here is whom the rules'
constraints let in, by scratch flags whose rules draw nothing; the probabilities follow from the rollouts and weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import Any

from dispatcher.action.decision import DEFAULT_VARIANT
from dispatcher.routing.flags.answer import FlagContext, FlagState
from dispatcher.routing.flags.document import EVERYBODY
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.named import Key, first_by_project, named_by, unnamed, with_projects
from dispatcher.routing.flags.state import Arm, RoutedFlag

_FIELDS = {"tenantId": "tenant", "conversationId": "conversation", "projectId": "project"}


_MOST_WITH_PROJECTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What a flag says for one key; the shares add up to 1, and `off` says why the flag is off for it.

    `looked_at` is the number, from 0, of the rule that left nothing to draw; how many there are where none did.
    """

    off: str | None
    shares: tuple[tuple[str, Fraction], ...]
    drawn_by: frozenset[str]
    rule: str | None
    looked_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    title: str | None
    percent: int
    seed: tuple[str, str] | None
    """The groupId and the field of the context that the rollout hashes."""
    weights: tuple[tuple[str, int], ...]
    conditions: dict[str, Any]


def survey(engine: FlagEngine, flag: str) -> dict[Key, Surveyed] | None:
    """What the flag says for every tenant that its rules name and for whom none names, and for projects of them.

    A project is asked about where it can make a difference, at most _MOST_WITH_PROJECTS times: each is some 0.1 ms of
    whoever asks, and rules that name 250 projects and 7000 tenants would be a million. None where the state doesn't
    hold the flag.
    """
    known = engine.state.flags.get(flag)
    if known is None:
        return None
    document = json.loads(engine.state.text)
    features = {feature["name"]: feature for feature in document["features"]}
    strategies = features.get(known.engine_name, {}).get("strategies", [])
    rules = list(_rules(strategies, known.arms))
    segments = document.get("segments", [])
    of_rules = [named_by(strategy, segments) for strategy in strategies[: len(rules)]]
    parents = [features[d.feature]["strategies"] for d in known.dependencies if d.feature in features]
    of_parents = [named_by(strategy, segments) for parent in parents for strategy in parent]
    named = [*of_rules, *of_parents]
    everybody = set().union(*(one.tenants for one in named))
    asking = _Asking(engine, flag, known, rules, segments, unnamed(everybody.union(*(one.projects for one in named))))
    found: dict[Key, Surveyed] = {(tenant, None): asking.ask((tenant, None)) for tenant in (None, *everybody)}
    # Before the first rule that looks at projects, none makes a difference.
    first = 0 if any(one.projects for one in of_parents) else first_by_project(of_rules)
    undecided = {tenant for (tenant, _), place in found.items() if place.looked_at >= first}
    for key in islice(with_projects(named, undecided), _MOST_WITH_PROJECTS):
        found[key] = asking.ask(key)
    return found


def _rules(strategies: list[dict[str, Any]], arms: tuple[Arm, ...]) -> Iterator[_Rule]:
    for strategy in strategies:
        arm = arms[int(strategy["variants"][0]["payload"]["value"])]
        if arm.state is not FlagState.VARIANT:
            return  # what follows catches whom the rules leave out
        parameters = strategy["parameters"]
        yield _Rule(
            title=arm.rule,
            percent=int(parameters.get("rollout", EVERYBODY)),
            seed=(parameters["groupId"], parameters["stickiness"]) if parameters else None,
            weights=tuple((variant["name"], variant["weight"]) for variant in strategy["variants"]),
            conditions={"constraints": strategy["constraints"], "segments": strategy["segments"]},
        )


class _Asking:
    """The flag's rules as scratch flags, one per rule that may have to be gone on from after a lost draw."""

    def __init__(
        self,
        engine: FlagEngine,
        flag: str,
        known: RoutedFlag,
        rules: list[_Rule],
        segments: list[dict[str, Any]],
        unnamed: str,
    ) -> None:
        self._engine, self._flag, self._known, self._rules, self._unnamed = engine, flag, known, rules, unnamed
        starts = [0, *(number for number, rule in enumerate(rules, 1) if rule.percent < EVERYBODY)]
        arms = (*(Arm(state=FlagState.VARIANT, rule=str(number)) for number in range(len(rules))), _NO_RULE)
        features = [_scratch(start, rules) for start in starts]
        self._scratch = FlagEngine(
            replace(
                engine.state,
                text=json.dumps({"version": 2, "features": features, "segments": segments}),
                flags={
                    feature["name"]: replace(
                        known, engine_name=feature["name"], enabled=True, dependencies=(), arms=arms
                    )
                    for feature in features
                },
                probes={},
            )
        )

    def ask(self, key: Key) -> Surveyed:
        """Walk the rules that reach the key until nothing is left to draw."""
        tenant, project = key
        context = FlagContext(
            tenant=tenant or self._unnamed, project=project or self._unnamed, conversation=self._unnamed
        )
        shares: dict[str, Fraction] = {}
        left = Fraction(1)
        floors: dict[tuple[str, str] | None, int] = {}
        reached = []
        looked_at = len(self._rules)
        number = self._next(0, context)
        while number is not None:
            rule = self._rules[number]
            reached.append(rule)
            left -= _take(rule, left, floors, shares)
            looked_at = len(self._rules) if left else number
            number = self._next(number + 1, context) if left else None
        if left:
            shares[DEFAULT_VARIANT] = shares.get(DEFAULT_VARIANT, Fraction(0)) + left
        return Surveyed(
            off=self._off(context),
            shares=tuple(sorted(filter(_possible, shares.items()), key=_default_last)),
            drawn_by=frozenset(_FIELDS[rule.seed[1]] for rule in reached if rule.seed and _draws(rule)),
            rule=reached[0].title if reached else None,
            looked_at=looked_at,
        )

    def _next(self, start: int, context: FlagContext) -> int | None:
        """The first rule from `start` on whose constraints let the context in."""
        answer = self._scratch.answer(str(start), context, None)
        return None if answer.rule is None else int(answer.rule)

    def _off(self, context: FlagContext) -> str | None:
        if self._known.enabled and not self._known.dependencies:
            return None
        answer = self._engine.answer(self._flag, context, None)
        return answer.detail if answer.state is FlagState.OFF else None


def _possible(share: tuple[str, Fraction]) -> bool:
    return share[1] > 0


def _default_last(share: tuple[str, Fraction]) -> tuple[bool, str]:
    return share[0] == DEFAULT_VARIANT, share[0]


_NO_RULE = Arm(state=FlagState.NO_RULE)


def _scratch(start: int, rules: list[_Rule]) -> dict[str, Any]:
    conditions = [(number, rules[number].conditions) for number in range(start, len(rules))]
    conditions.append((len(rules), {"constraints": [], "segments": []}))
    strategies = [
        {"name": "default", "parameters": {}, **condition, "variants": [_numbered(number)]}
        for number, condition in conditions
    ]
    return {"name": str(start), "enabled": True, "strategies": strategies}


def _numbered(number: int) -> dict[str, Any]:
    payload = {"type": "number", "value": str(number)}
    return {"name": "rule", "weight": 1, "stickiness": "tenantId", "payload": payload}


def _draws(rule: _Rule) -> bool:
    return rule.percent < EVERYBODY or len(rule.weights) > 1


def _take(
    rule: _Rule, left: Fraction, floors: dict[tuple[str, str] | None, int], shares: dict[str, Fraction]
) -> Fraction:
    """Give the rule its part of what earlier rules left over; rollouts that hash the same win and lose together."""
    floor = floors.get(rule.seed, 0)
    if rule.percent <= floor:
        return Fraction(0)
    taken = left * Fraction(rule.percent - floor, EVERYBODY - floor)
    floors[rule.seed] = rule.percent
    total = sum(weight for _, weight in rule.weights)
    for variant, weight in rule.weights:
        shares[variant] = shares.get(variant, Fraction(0)) + taken * Fraction(weight, total)
    return taken
