"""Reading a flag document: bytes in, a document that can be trusted out, or every problem at once."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dispatcher.errors import InvalidFlags
from dispatcher.routing import flag_document
from dispatcher.routing.flag_answer import CONTEXT_FIELDS
from dispatcher.routing.flag_constraint import Constraint
from dispatcher.routing.flag_document import Envelope, Feature, Segment, Strategy

_DROPPED = "; without it the engine drops the whole document without a word"
_MISSING = {
    "version": _DROPPED,
    "features": "; it lists the flags",
    "enabled": _DROPPED,
    "weight": _DROPPED,
    "strategies": "; without them the engine's reader stumbles over the flag",
    "rollout": ", so the flag would be off",
    "stickiness": "; the engine would draw anew on every call",
    "groupId": "; it seeds the draw, which would change with the flag's name",
}
_SINGULAR = {
    "features": "flag",
    "strategies": "strategy",
    "constraints": "constraint",
    "variants": "variant",
    "segments": "segment",
    "dependencies": "dependency",
    "values": "value",
}
_MODELS = [model for model in vars(flag_document).values() if isinstance(model, type) and issubclass(model, BaseModel)]
_KEYS = sorted({field.alias or name for model in _MODELS for name, field in model.model_fields.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagDocument:
    """A flag document understood in full. `version` is a hash of its bytes."""

    version: str
    features: Mapping[str, Feature]
    segments: Mapping[int, Segment]


def document_version(content: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a document's bytes."""
    return hashlib.sha256(content).hexdigest()[:16]


def read_flag_document(content: bytes, subject: str, routed: Collection[str]) -> FlagDocument:
    """Read a document from which the flags named in `routed` choose variants.

    Raises InvalidFlags, on `subject`, with everything that the engine would misread or that wouldn't do what it says.
    """
    try:
        raw = _load(content)
        envelope = Envelope.model_validate(raw)
    except ValidationError as error:
        raise InvalidFlags(subject, list(_problems(error, raw, ()))) from None
    except _NotADocumentError as error:
        raise InvalidFlags(subject, [str(error)]) from None
    problems: list[str] = []
    features = _each(Feature, "features", envelope.features, problems)
    segments = _each(Segment, "segments", envelope.segments, problems)
    problems += _repeated("flag", [raw.get("name") for raw in envelope.features if isinstance(raw, dict)])
    problems += _repeated("segment", [raw.get("id") for raw in envelope.segments if isinstance(raw, dict)])
    document = FlagDocument(
        version=document_version(content),
        features={feature.name: feature for feature in features},
        segments={segment.id: segment for segment in segments},
    )
    complete = len(document.features) == len(envelope.features) and len(document.segments) == len(envelope.segments)
    problems += _meaning(document, routed, complete=complete)
    if problems:
        raise InvalidFlags(subject, problems)
    return document


class _NotADocumentError(Exception):
    """The bytes aren't a JSON object."""


def _load(content: bytes) -> dict[str, Any]:
    if not content.strip():
        raise _NotADocumentError("is empty")
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _NotADocumentError("begins with a byte order mark: save it as UTF-8 without one")
    try:
        raw = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise _NotADocumentError(f"is not UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _NotADocumentError(f"is not JSON, or only the beginning of it: {error.msg} in {place}") from None
    except (RecursionError, ValueError) as error:
        raise _NotADocumentError(f"is not usable JSON: {error}") from None
    if not isinstance(raw, dict):
        raise _NotADocumentError(f"holds a {type(raw).__name__}, not an object with 'version' and 'features'")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _NotADocumentError(f"key {twice!r} stands twice in one object; the last would win without a word")
    return found


def _no_constant(name: str) -> Any:
    raise _NotADocumentError(f"is not JSON: it holds {name}")


_Model = TypeVar("_Model", bound=BaseModel)


def _each(model: type[_Model], kind: str, raws: list[Any], problems: list[str]) -> list[_Model]:
    """What is well formed, with the problems of the rest."""
    formed = []
    for index, raw in enumerate(raws):
        try:
            formed.append(model.model_validate(raw))
        except ValidationError as error:
            problems += _problems(error, {kind: raws}, (kind, index))
    return formed


def _repeated(kind: str, names: list[Any]) -> list[str]:
    counted = Counter(name for name in names if isinstance(name, (str, int)))
    return [f"{kind} {name!r} stands here twice; the later would win" for name, count in counted.items() if count > 1]


def _problems(error: ValidationError, raw: Any, prefix: tuple[str | int, ...]) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        location = prefix + problem["loc"]
        if problem["type"] in {"missing", "extra_forbidden"}:
            key, location = str(location[-1]), location[:-1]
            sentence = f"{key} is missing{_MISSING.get(key, '')}" if problem["type"] == "missing" else _unknown(key)
        else:
            sentence = problem["msg"]
        place = _place(raw, location)
        for line in sentence.splitlines():
            yield f"{place}: {line}" if place else line


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key, _KEYS, n=1)
    guess = f"; is {near[0]!r} meant?" if near else ""
    why = "the engine would ignore it, and a misspelt constraint opens the flag to everybody"
    return f"key {key!r} is unknown; {why}{guess}"


def _place(raw: Any, location: tuple[str | int, ...]) -> str:
    """Where a problem is, in words: flag 'agent-research', strategy 2 ('pilot'), rollout."""
    parts: list[str] = []
    node = raw
    for key in location:
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            node = None
        if isinstance(key, str):
            parts.append(key)
            continue
        name = next(
            (node[k] for k in ("title", "name", "contextName", "feature") if isinstance(node, dict) and k in node), None
        )
        kind = _SINGULAR.get(parts.pop(), "entry")
        parts.append(
            f"{kind} {name!r}" if kind == "flag" and name else f"{kind} {key + 1}" + (f" ({name!r})" if name else "")
        )
    return ", ".join(parts)


def _meaning(document: FlagDocument, routed: Collection[str], *, complete: bool) -> Iterator[str]:
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
