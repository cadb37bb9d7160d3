"""Reading a flag document: bytes in, a document that can be trusted out, or every problem at once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.document import Envelope, Feature, FlagDocument, Segment
from dispatcher.routing.flags.json_object import NoDocumentError, first_repeated, json_object
from dispatcher.routing.flags.meaning import meaning_problems
from dispatcher.routing.flags.problems import form_problems, repeated


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
        raise InvalidFlags(subject, list(form_problems(error, raw, ()))) from None
    except NoDocumentError as error:
        raise InvalidFlags(subject, [str(error)]) from None
    problems: list[str] = []
    features = _each(Feature, "features", envelope.features, problems)
    segments = _each(Segment, "segments", envelope.segments, problems)
    problems += repeated("flag", [raw.get("name") for raw in envelope.features if isinstance(raw, dict)])
    problems += repeated("segment", [raw.get("id") for raw in envelope.segments if isinstance(raw, dict)])
    document = FlagDocument(
        version=document_version(content),
        features={feature.name: feature for feature in features},
        segments={segment.id: segment for segment in segments},
        off={},
    )
    complete = len(document.features) == len(envelope.features) and len(document.segments) == len(envelope.segments)
    problems += meaning_problems(document, routed, complete=complete)
    if problems:
        raise InvalidFlags(subject, problems)
    return document


def _load(content: bytes) -> dict[str, Any]:
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise NoDocumentError("begins with a byte order mark: save it as UTF-8 without one")
    return json_object(content, object_pairs_hook=_unique, parse_constant=_no_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = first_repeated(pairs)
        raise NoDocumentError(f"key {twice!r} stands twice in one object; the last would win without a word")
    return found


def _no_constant(name: str) -> Any:
    raise NoDocumentError(f"is not JSON: it holds {name}")


_Model = TypeVar("_Model", bound=BaseModel)


def _each(model: type[_Model], kind: str, raws: list[Any], problems: list[str]) -> list[_Model]:
    """What is well formed, with the problems of the rest."""
    formed = []
    for index, raw in enumerate(raws):
        try:
            formed.append(model.model_validate(raw))
        except ValidationError as error:
            problems += form_problems(error, {kind: raws}, (kind, index))
    return formed
