"""Taking from a server's document what concerns the routed flags, away from the interpreter that evaluates them.

A large document is parsed by a short-lived child process; what comes back is a document in the same form that holds the
routed flags, their parents and the segments that they use.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from typing import Any

from dispatcher.routing.flags.child import LARGE, in_child

TWICE = "\0twice"
"""Stands in an object of which a key stood there twice, with that key as its value."""
_LONGEST_NUMBER = 400
_REFUSED = 3


class NoDocumentError(Exception):
    """The bytes hold no list of flags."""


def sift(content: bytes, routed: Collection[str]) -> bytes:
    """What concerns the routed flags, sifted in a child process where the document is large.

    Other flags may be as odd as they like. Raises NoDocumentError where there is no list of flags at all.
    """
    if len(content) >= LARGE:
        sifted = _sift_in_child(content, routed)
        if sifted is not None:
            return sifted
    return sift_here(content, routed)


def sift_here(content: bytes, routed: Collection[str]) -> bytes:
    """As `sift`, in this process."""
    document = _load(content)
    features = document.get("features")
    if not isinstance(features, list):
        missing = "is missing" if "features" not in document else f"holds a {type(features).__name__}, not a list"
        raise NoDocumentError(f"features {missing}; it lists the flags")
    own = _named(features, set(routed))
    parents = [one.get("feature") for flag in own for one in _objects(flag.get("dependencies"))]
    kept = [*own, *_named(features, {name for name in parents if isinstance(name, str)} - set(routed))]
    rules = [rule for flag in kept for rule in _objects(flag.get("strategies"))]
    lists = [rule.get("segments") for rule in rules]
    used = {number for one in lists if isinstance(one, list) for number in one if isinstance(number, int)}
    segments = document.get("segments", [])
    if isinstance(segments, list):
        segments = [one for one in _objects(segments) if isinstance(one.get("id"), int) and one["id"] in used]
    sifted = {key: document[key] for key in ("version", TWICE) if key in document}
    meta = document.get("meta")
    if isinstance(meta, dict):
        sifted["meta"] = {"revisionId": meta.get("revisionId")}
    return json.dumps({**sifted, "features": kept, "segments": segments}).encode()


def _objects(found: Any) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _named(features: list[Any], names: set[str]) -> list[dict[str, Any]]:
    return [one for one in _objects(features) if isinstance(one.get("name"), str) and one["name"] in names]


def _load(content: bytes) -> dict[str, Any]:
    if not content.strip():
        raise NoDocumentError("is empty")
    try:
        document = json.loads(content.decode(), object_pairs_hook=_marked, parse_int=_bounded)
    except UnicodeDecodeError as error:
        raise NoDocumentError(f"is not UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise NoDocumentError(f"is not JSON, or only the beginning of it: {error.msg} in {place}") from None
    except RecursionError:
        raise NoDocumentError("is not usable JSON: it is nested too deeply") from None
    if not isinstance(document, dict):
        raise NoDocumentError(f"holds a {type(document).__name__}, not an object with 'version' and 'features'")
    return document


def _marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        found[TWICE] = next(key for key in keys if keys.count(key) > 1)
    return found


def _bounded(digits: str) -> int | float:
    # Python refuses to read a longer one, and with it the whole document.
    return int(digits) if len(digits) <= _LONGEST_NUMBER else float("inf")


def _sift_in_child(content: bytes, routed: Collection[str]) -> bytes | None:
    """What the child found; None where no child could be started or it came to nothing."""
    ran = in_child("dispatcher.routing.flags.sift", routed, content)
    if ran is None:
        return None
    status, told = ran
    if status == _REFUSED:
        raise NoDocumentError(told.decode())
    return told[:-1] if told.endswith(b"\n") else None


def main() -> int:
    """The child: the document on standard input, what concerns the flags named as arguments on standard output."""
    os.nice(5)
    try:
        sifted = sift_here(sys.stdin.buffer.read(), sys.argv[1:])
    except NoDocumentError as error:
        sys.stdout.write(str(error))
        return _REFUSED
    # The line end says that this is all of it.
    sys.stdout.buffer.write(sifted + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
