"""What the flag engine is given: the routed flags with their prerequisites, annotated so that one evaluation says why.

The engine answers with a variant and never with the rule it came from. So each routed flag is handed to it rewritten:
every variant carries, as its payload, the number of an arm in our own table, and behind the rules stand further ones
that catch whom a rollout left out and, last, whom no rule reaches. The draws are the engine's own and stay as they are,
since they hash the groupId and not the flag's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dispatcher.action.decision import DEFAULT_VARIANT
from dispatcher.routing.flags.answer import ALWAYS_SENT, FlagState
from dispatcher.routing.flags.document import (
    EVERYBODY,
    Dependency,
    Feature,
    FlagDocument,
    Segment,
    Strategy,
    VariantWeight,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One answer that a routed flag can give; `key_field` is the field of the context that a draw hashes."""

    state: FlagState
    rule: str | None = None
    variant: str | None = None
    drawn: bool = False
    share: float | None = None
    key_field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedFlag:
    """A routed flag as the engine holds it, under a name that no document can have.

    `why_off` says why it isn't enabled, empty where it is.
    """

    engine_name: str
    enabled: bool
    why_off: str
    dependencies: tuple[Dependency, ...]
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """The text for the engine, and what is needed to read its answers.

    `fingerprints` holds, for each routed flag, absent ones too, a hash of what decides it, by which its own changes are
    told from those of other flags; `revision` grows with each edit of the document, as its source counts. `probes` are
    scratch flags, each with the one whose rules it has: on for everybody, unless the engine can't read those rules.
    """

    version: str
    revision: int
    text: str
    flags: Mapping[str, RoutedFlag]
    fingerprints: Mapping[str, str]
    probes: Mapping[str, str]


_LONGEST_TITLE = 200


def compile_state(document: FlagDocument, routed: Collection[str], *, revision: int = 0) -> EngineState:
    """Rewrite a document for the engine, with those of the routed flags that it holds."""
    flags: dict[str, RoutedFlag] = {}
    features: dict[str, dict[str, Any]] = {}
    deciding: set[str] = set()
    for name in sorted(set(routed) & document.features.keys()):
        feature = document.features[name]
        flag, strategies = _routed(feature, document.off.get(name, "" if feature.enabled else _switched_off(name)))
        flags[name] = flag
        features[flag.engine_name] = _feature(flag.engine_name, feature, strategies)
        parents = _parents(feature, document)
        if flag.enabled:
            deciding |= {flag.engine_name, *(parent.name for parent in parents)}
        for parent in parents:
            features[parent.name] = _feature(parent.name, parent, [_plain(rule) for rule in parent.rules])
    probes = {f"{name} (probe)": name for name in sorted(deciding)}
    held = [*features.values(), *(_probe(probe, features[name]) for probe, name in probes.items())]
    text = json.dumps({"version": 2, "features": held, "segments": _segments(document.segments)})
    return EngineState(
        version=document.version,
        revision=revision,
        text=text,
        flags=flags,
        fingerprints={name: _fingerprint(name, document) for name in sorted(set(routed))},
        probes=probes,
    )


def _switched_off(name: str) -> str:
    return f"{name!r} is switched off"


def _routed(feature: Feature, why_off: str) -> tuple[RoutedFlag, list[dict[str, Any]]]:
    arms, strategies = _annotated(feature)
    flag = RoutedFlag(
        engine_name=f"{feature.name} (routed)",
        enabled=not why_off,
        why_off=why_off,
        dependencies=tuple(feature.dependencies),
        arms=tuple(arms),
    )
    return flag, strategies


def _parents(feature: Feature, document: FlagDocument) -> list[Feature]:
    named = (dependency.feature for dependency in feature.dependencies)
    # Absent only where the flag is off for another reason.
    return [document.features[name] for name in named if name in document.features]


def _segments(segments: Mapping[int, Segment]) -> list[dict[str, Any]]:
    return [segment.model_dump(by_alias=True, exclude_none=True) for segment in segments.values()]


def _fingerprint(name: str, document: FlagDocument) -> str:
    """The first 16 hex digits of the SHA-256 of the flag, its parents and their segments; notes are left out."""
    deciding: list[Any] = []
    feature = document.features.get(name)
    if feature is not None:
        deciding = [one.model_dump(by_alias=True, exclude=_NOTES) for one in (feature, *_parents(feature, document))]
        used = {n for one in (feature, *_parents(feature, document)) for rule in one.rules for n in rule.segments}
        segments = {number: document.segments[number] for number in sorted(used) if number in document.segments}
        deciding += [segment.model_dump(by_alias=True, include={"id", "constraints"}) for segment in segments.values()]
        deciding.append(document.off.get(name))
    canonical = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


_NOTES: Any = {
    **dict.fromkeys(("type", "project", "description", "stale", "impression_data"), True),
    "strategies": {"__all__": {"id", "sort_order", "feature_name"}},
}
"""What a flag tells besides and what no decision depends on; a server and a file differ in it."""


def _feature(name: str, feature: Feature, strategies: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "enabled": feature.enabled,
        "strategies": strategies,
        "variants": [_variant(variant) for variant in feature.variants],
        "dependencies": [dependency.model_dump(by_alias=True) for dependency in feature.dependencies],
    }


def _probe(name: str, feature: dict[str, Any]) -> dict[str, Any]:
    strategies = [*feature["strategies"], _catch(0, [], [])]
    return {"name": name, "enabled": True, "strategies": strategies, "variants": [], "dependencies": []}


def _variant(variant: VariantWeight) -> dict[str, Any]:
    return variant.model_dump(by_alias=True, exclude_none=True, exclude={"payload", "overrides"})


def _annotated(feature: Feature) -> tuple[list[Arm], list[dict[str, Any]]]:
    arms: list[Arm] = []
    rules: list[dict[str, Any]] = []
    catching: list[dict[str, Any]] = []
    for number, rule in enumerate(feature.rules, 1):
        title = (rule.title or f"strategy {number}")[:_LONGEST_TITLE]  # every decision tells it
        strategy = _plain(rule)
        rule_arms, left_out = _with_common_share(_arms(title, rule), _left_out(title, rule))
        for variant, arm in zip(strategy["variants"], rule_arms, strict=True):
            variant["payload"] = _numbered(len(arms))
            arms.append(arm)
        rules.append(strategy)
        if left_out is not None:
            catching.append(_catch(len(arms), strategy["constraints"], strategy["segments"]))
            arms.append(left_out)
    catching.append(_catch(len(arms), [], []))
    arms.append(Arm(state=FlagState.NO_RULE))
    return arms, rules + catching


def _arms(title: str, rule: Strategy) -> list[Arm]:
    total = sum(variant.weight for variant in rule.variants)
    if rule.percent == EVERYBODY and not rule.draws_among_variants:
        return [Arm(state=FlagState.VARIANT, rule=title, variant=variant.name) for variant in rule.variants]
    return [
        Arm(
            state=FlagState.VARIANT,
            rule=title,
            variant=variant.name,
            drawn=True,
            share=variant.weight * rule.percent / (total * EVERYBODY),
            key_field=rule.parameters.stickiness if rule.parameters else None,
        )
        for variant in rule.variants
    ]


def _with_common_share(arms: list[Arm], left_out: Arm | None) -> tuple[list[Arm], Arm | None]:
    """Arms that end at the same variant have one share: a lost rollout ends at the default, as an arm of it does."""
    ends_alike = next((arm for arm in arms if arm.variant == DEFAULT_VARIANT), None)
    if left_out is None or ends_alike is None:
        return arms, left_out
    share = (ends_alike.share or 0) + (left_out.share or 0)
    shared = [replace(arm, share=share) if arm is ends_alike else arm for arm in arms]
    return shared, replace(left_out, share=share)


def _left_out(title: str, rule: Strategy) -> Arm | None:
    """Whom the constraints let in and the rollout leaves out: a lost draw, or no field to draw by."""
    if rule.parameters is None or (rule.percent == EVERYBODY and rule.parameters.stickiness in ALWAYS_SENT):
        return None
    share = (EVERYBODY - rule.percent) / EVERYBODY
    return Arm(state=FlagState.LOST, rule=title, drawn=True, share=share, key_field=rule.parameters.stickiness)


def _plain(rule: Strategy) -> dict[str, Any]:
    parameters = {} if rule.parameters is None else rule.parameters.model_dump(by_alias=True)
    constraints = [constraint.model_dump(by_alias=True, exclude_none=True) for constraint in rule.constraints or []]
    return {
        "name": rule.name,
        "parameters": parameters,
        "constraints": constraints,
        "segments": rule.segments,
        "variants": [_variant(variant) for variant in rule.variants],
    }


def _catch(arm: int, constraints: list[Any], segments: list[int]) -> dict[str, Any]:
    variant = {"name": "caught", "weight": 1, "stickiness": "tenantId", "payload": _numbered(arm)}
    return {
        "name": "default",
        "parameters": {},
        "constraints": constraints,
        "segments": segments,
        "variants": [variant],
    }


def _numbered(arm: int) -> dict[str, str]:
    return {"type": "number", "value": str(arm)}
