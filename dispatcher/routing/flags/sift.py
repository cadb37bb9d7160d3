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
from dispatcher.routing.flags.json_object import NoDocumentError, first_repeated, json_object

TWICE = "\0twice"
"""Stands in an object of which a key stood there twice, with that key as its value."""
_LONGEST_NUMBER = 400
_REFUSED = 3


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
    document = json_object(content, object_pairs_hook=_marked, parse_int=_bounded)
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


def _marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        found[TWICE] = first_repeated(pairs)
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
