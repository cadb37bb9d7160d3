"""Reading a server's document: strictly where it decides our flags, and never at the price of a brake.

Only the routed flags, their parents and the segments that they use are looked at. A flag that says it is off is off,
whatever else is wrong with it. A key that nobody knows, as a newer server may send, switches off the flag that has it:
neither may it open the flag, nor may the document be refused for it, which would freeze an older state. Everything else
that is refused in a file is refused here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.document import Envelope, Feature, FlagDocument, Segment
from dispatcher.routing.flags.meaning import meaning_problems
from dispatcher.routing.flags.problems import repeated, told
from dispatcher.routing.flags.sift import TWICE

_NEWEST_VERSION = 2
_MOST_REVISIONS = 2**63
_LONGEST_WHY = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDocument:
    """What a server's document says of the routed flags; `revision` is the server's own count of its edits, or 0.

    `unknown` holds the flags that are off for a key or a version that nobody knows, each with what it is.
    """

    document: FlagDocument
    revision: int
    unknown: Mapping[str, str]


def read_server_document(sifted: bytes, version: str, subject: str, routed: Collection[str]) -> ServerDocument:
    """Read what `sift` left of a document; `version` is the hash of the whole.

    Raises InvalidFlags, on `subject`, with everything that is wrong with the routed flags, and with nothing else.
    """
    raw: dict[str, Any] = json.loads(sifted)
    judged = {name: _judge(name, raw) for name in sorted(set(routed)) if _entries(name, raw)}
    problems = [problem for one in judged.values() for problem in one.problems]
    if problems:
        raise InvalidFlags(subject, list(dict.fromkeys(problems)))
    document = FlagDocument(
        version=version,
        features={name: feature for one in judged.values() for name, feature in one.features.items()},
        segments={number: segment for one in judged.values() for number, segment in one.segments.items()},
        off={name: one.off for name, one in judged.items() if one.off},
    )
    meta = raw.get("meta")
    revision = meta.get("revisionId") if isinstance(meta, dict) else None
    return ServerDocument(
        document=document,
        # Another number can't be kept, and would stand before all that come after it.
        revision=revision if isinstance(revision, int) and 0 < revision < _MOST_REVISIONS else 0,
        unknown={name: one.unknown for name, one in judged.items() if one.unknown},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What of a routed flag can be used, why it is off, which key nobody knows, what the document is refused for."""

    features: Mapping[str, Feature]
    segments: Mapping[int, Segment]
    off: str = ""
    unknown: str = ""
    problems: tuple[str, ...] = ()


def _judge(name: str, raw: dict[str, Any]) -> _Judged:
    read = _read(name, raw)
    if not read.problems and not read.unknown:
        return _Judged(features=read.features, segments=read.segments)
    # What would be if the flag weren't off can't be said.
    nothing = {name: _off(name)}
    braked = _braked(name, raw)
    if braked:
        return _Judged(features=nothing, segments={}, off=braked)
    if read.unknown:
        why = read.unknown[0][:_LONGEST_WHY]  # every decision tells it
        return _Judged(features=nothing, segments={}, off=why, unknown=why)
    if _parent_presses(name, raw):
        why = f"a prerequisite switches it off, and for whom can't be read: {read.problems[0][:_LONGEST_WHY]}"
        return _Judged(features=nothing, segments={}, off=why)
    return _Judged(features={}, segments={}, problems=tuple(read.problems))


def _off(name: str) -> Feature:
    return Feature(name=name, enabled=False, strategies=[])


def _entries(name: str, raw: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in raw["features"] if entry["name"] == name]


def _plainly_off(name: str, raw: dict[str, Any]) -> bool:
    return any(entry.get("enabled") is False for entry in _entries(name, raw))


def _dependencies(name: str, raw: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """The parents that can be made out, each with whether it must be on."""
    for entry in _entries(name, raw):
        given = entry.get("dependencies")
        for one in given if isinstance(given, list) else []:
            if isinstance(one, dict) and isinstance(one.get("feature"), str):
                yield one["feature"], one.get("enabled") is not False


def _braked(name: str, raw: dict[str, Any]) -> str:
    """Why the flag is off for everybody, whatever else the document holds; empty where it isn't."""
    if _plainly_off(name, raw):
        return f"{name!r} is switched off"
    for parent, must_be_on in _dependencies(name, raw):
        if not _entries(parent, raw):
            return f"its prerequisite isn't met: {parent!r} isn't in the document"
        if must_be_on and _plainly_off(parent, raw):
            return f"its prerequisite isn't met: {parent!r} would have to be on"
    return ""


def _parent_presses(name: str, raw: dict[str, Any]) -> bool:
    """Whether a parent that must be off is on, be it for some only."""
    parents = (parent for parent, must_be_on in _dependencies(name, raw) if not must_be_on)
    return any(entry.get("enabled") is True for parent in parents for entry in _entries(parent, raw))


@dataclass(slots=True)
class _Reading:
    """What has been read of a flag and what it stands on, and what was found wrong so far."""

    features: dict[str, Feature] = field(default_factory=dict)
    segments: dict[int, Segment] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def _read(name: str, raw: dict[str, Any]) -> _Reading:
    reading = _Reading()
    _read_envelope(raw, reading)
    for parent in {parent: None for parent, _ in _dependencies(name, raw) if parent != name}:
        entries = _entries(parent, raw)
        if entries and all(entry.get("enabled") is False for entry in entries):
            reading.features[parent] = _off(parent)  # whatever else it holds
        else:
            _read_features(entries, reading)
    _read_features(_entries(name, raw), reading)
    _read_segments(raw, reading)
    if not reading.problems and not reading.unknown:
        document = FlagDocument(version="", features=reading.features, segments=reading.segments, off={})
        reading.problems += meaning_problems(document, [name], complete=True)
    return reading


def _read_envelope(raw: dict[str, Any], reading: _Reading) -> None:
    version = raw.get("version")
    around = {key: raw[key] for key in ("version", "segments", TWICE) if key in raw}
    if isinstance(version, int) and version > _NEWEST_VERSION:
        reading.unknown.append(f"the document is of version {version}, which nobody knows here")
        around["version"] = _NEWEST_VERSION
    _form(Envelope, {**around, "features": []}, (), reading)


def _read_features(entries: list[dict[str, Any]], reading: _Reading) -> None:
    for index in range(len(entries)):
        feature = _form(Feature, {"features": entries}, ("features", index), reading)
        if feature is not None:
            reading.features[feature.name] = feature
    reading.problems += repeated("flag", [entry["name"] for entry in entries])


def _read_segments(raw: dict[str, Any], reading: _Reading) -> None:
    rules = [rule for feature in reading.features.values() for rule in feature.strategies]
    used = {number for rule in rules for number in rule.segments}
    given = raw["segments"] if isinstance(raw["segments"], list) else []
    entries = [entry for entry in given if entry["id"] in used]
    for index in range(len(entries)):
        segment = _form(Segment, {"segments": entries}, ("segments", index), reading)
        if segment is not None:
            reading.segments[segment.id] = segment
    reading.problems += repeated("segment", [entry["id"] for entry in entries])


_Model = TypeVar("_Model", bound=BaseModel)


def _form(model: type[_Model], raw: Any, prefix: tuple[str | int, ...], reading: _Reading) -> _Model | None:
    """The part of `raw` at `prefix`, if it is well formed; else what is wrong with it goes into `reading`."""
    part = raw
    for key in prefix:
        part = part[key]
    try:
        return model.model_validate(part)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            if problem["loc"][-1:] == (TWICE,):
                reading.problems.append(f"key {problem['input']!r} stands twice in one object; the last would win")
            elif problem["type"] == "extra_forbidden":
                reading.unknown += told(problem, raw, prefix)
            else:
                reading.problems += told(problem, raw, prefix)
        return None
