"""What a flag document would do other than it says, where that is seen only across its parts."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dispatcher.routing.flags.answer import CONTEXT_FIELDS
from dispatcher.routing.flags.constraint import Constraint
from dispatcher.routing.flags.document import Feature, FlagDocument, Strategy


def meaning_problems(document: FlagDocument, routed: Collection[str], *, complete: bool) -> Iterator[str]:
    """What can only be seen across the document; what is absent is judged only where everything is well formed."""
    for feature in document.features.values():
        place = f"flag {feature.name!r}"
        yield from (f"{place}: {problem}" for problem in _prerequisite_problems(feature, document, complete=complete))
        for place_, strategy in _rules(feature):
            missing = [number for number in strategy.segments if number not in document.segments]
            if complete:
                yield from (f"{place_}: segment {n} is unknown, so the flag would be off" for n in missing)
    for name in sorted(set(routed) & document.features.keys()):
        yield from _routed_problems(document.features[name])
        for deciding in (name, *(parent.feature for parent in document.features[name].dependencies)):
            if deciding in document.features:
                yield from _context_problems(document.features[deciding], document)


def _rules(feature: Feature) -> Iterator[tuple[str, Strategy]]:
    for number, strategy in enumerate(feature.strategies, 1):
        title = f" ({strategy.title!r})" if strategy.title else ""
        yield f"flag {feature.name!r}, strategy {number}{title}", strategy


def _prerequisite_problems(feature: Feature, document: FlagDocument, *, complete: bool) -> Iterator[str]:
    for dependency in feature.dependencies:
        parent = document.features.get(dependency.feature)
        if dependency.feature == feature.name:
            yield "depends on itself"
        elif parent is None and complete:
            yield f"depends on {dependency.feature!r}, which isn't here, so the flag would be off"
        elif parent is not None and parent.dependencies:
            cyclic = any(grandparent.feature == feature.name for grandparent in parent.dependencies)
            why = "they depend on each other" if cyclic else "that flag has a prerequisite of its own"
            yield f"depends on {dependency.feature!r}, but {why}, and the engine then never switches a flag on"


def _routed_problems(feature: Feature) -> Iterator[str]:
    """What a flag that chooses variants must say beyond the form."""
    if feature.variants:
        yield f"flag {feature.name!r}: has variants of its own: write them on its strategies"
    for place, strategy in _rules(feature):
        if not strategy.variants:
            yield f"{place}: has no variants, so it would switch the flag on without choosing a variant"
        if strategy.constraints is None and not strategy.segments:
            yield f'{place}: constraints are missing; write "constraints": [] where it shall reach every tenant'


def _context_problems(feature: Feature, document: FlagDocument) -> Iterator[str]:
    """A field that the context never has matches nobody, or with NOT_IN everybody."""
    known = (*CONTEXT_FIELDS, "currentTime")
    for place, strategy in _rules(feature):
        if strategy.parameters and strategy.parameters.stickiness not in CONTEXT_FIELDS:
            yield f"{place}: sticks to {strategy.parameters.stickiness!r}; only {', '.join(CONTEXT_FIELDS)} are sent"
        for constraint in _constraints(strategy, document):
            if constraint.context_name not in known:
                yield f"{place}: is constrained by {constraint.context_name!r}; only {', '.join(known)} are sent"


def _constraints(strategy: Strategy, document: FlagDocument) -> Iterator[Constraint]:
    yield from strategy.constraints or []
    for number in strategy.segments:
        if number in document.segments:
            yield from document.segments[number].constraints
