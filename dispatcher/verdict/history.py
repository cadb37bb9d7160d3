"""Verdicts of the past: stored with the hashes of what they were reached from, compared, and reached again.

A look that has been is not looked at anew: evidence only counts against peeking if what was seen once stays so. Every
verdict recomputes all looks from the log, so a past crossing that comes out differently means that the log's past was
changed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dispatcher.audit.verdicts import StoredVerdict, append_verdict, verdicts_of
from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.judgement.standing import FEWEST_CLUSTERS
from dispatcher.verdict.report.document import as_document, as_json

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dispatcher.verdict.judgement.judge import Verdict

_MOST_DIFFERENCES = 20


def store(engine: Engine, verdict: Verdict) -> bool:
    """Append a verdict to the table `verdicts`; False where the same one of that moment is there already.

    Raises SourceUnreachable.
    """
    return append_verdict(engine, stored_of(verdict))


def stored_of(verdict: Verdict) -> StoredVerdict:
    """A verdict as it is stored."""
    document, text = as_document(verdict), as_json([verdict])
    return StoredVerdict(
        record=verdict.record.id,
        origin=verdict.origin,
        as_of=verdict.as_of,
        epoch=None if verdict.epoch is None else verdict.epoch.number,
        verdict=verdict.outcome.value,
        document=text,
        record_hash=document["hashes"]["record"],
        sql_hash=document["hashes"]["sql"],
        rows_hash=document["hashes"]["rows"],
        result_hash=hashlib.sha256(text.encode()).hexdigest(),
    )


def history_of(engine: Engine, verdict: Verdict) -> list[StoredVerdict]:
    """What was stored of the same record, origin and epoch up to the verdict's moment. Raises SourceUnreachable.

    A verdict that itself contradicted what was stored before it is no history: it decided nothing, and where half a log
    was seen before a restore was finished, what is whole again would contradict it for good.
    """
    if verdict.epoch is None:
        return []
    return [
        each
        for each in verdicts_of(engine, verdict.record.id, verdict.origin)
        if each.as_of <= verdict.as_of
        and each.epoch == verdict.epoch.number
        and each.record_hash == verdict.epoch.record_hash
        and Reason.HISTORY_CHANGED not in (_held(each) or {"reasons": ()})["reasons"]
    ]


def changed_crossings(earlier: Sequence[StoredVerdict], verdict: Verdict) -> tuple[str, ...]:
    """Every look at which an earlier verdict had crossed a line, or hadn't, and this one says otherwise; in words.

    So is an earlier verdict that isn't what was stored any more.
    """
    now = _crossings(as_document(verdict))
    found: dict[str, None] = {}
    for stored in earlier:
        held = _held(stored)
        if held is None:
            found[f"the verdict stored as of {stored.as_of.isoformat()} isn't what was stored any more"] = None
            continue
        for (criterion, at), before in _crossings(held).items():
            after = now.get((criterion, at))
            if after != before:
                found[f"{criterion} at {at}: {_said(before)} then, {_said(after)} now"] = None
    return tuple(found)


def _held(stored: StoredVerdict) -> dict[str, Any] | None:
    """The document of a stored verdict; None where its hash says that it was changed."""
    if hashlib.sha256(stored.document.encode()).hexdigest() != stored.result_hash:
        return None
    held: dict[str, Any] = json.loads(stored.document)
    return held


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Where two documents of one verdict differ, each place with both values; at most the first twenty."""
    found = list(_differences("", before, after))
    more = len(found) - _MOST_DIFFERENCES
    return [*found[:_MOST_DIFFERENCES], f"and {more} more"] if more > 0 else found


def moment_of(document: Mapping[str, Any]) -> dt.datetime:
    """The moment that a stored verdict is of. Raises ValueError where it has none."""
    moment = dt.datetime.fromisoformat(document["as_of"])
    if moment.tzinfo is None:
        raise ValueError("as_of has no time zone")
    return moment


_Crossing = tuple[bool, bool]


def _crossings(document: Mapping[str, Any]) -> dict[tuple[str, str], _Crossing]:
    """Of each criterion and look: whether the pass line and the fail line were crossed."""
    return {
        (finding["id"], look["at"]): (_passed(finding, look), _failed(finding, look))
        for finding in document["findings"]
        for look in finding["looks"]
    }


def _passed(finding: Mapping[str, Any], look: Mapping[str, Any]) -> bool:
    if look.get("log_e_pass") is not None:
        return bool(look["log_e_pass"] >= -math.log(finding["alpha"]) and look["clusters"] >= FEWEST_CLUSTERS)
    if look.get("half_width_pass") is not None:
        return bool(look["difference"] + look["half_width_pass"] <= 0)
    return False


def _failed(finding: Mapping[str, Any], look: Mapping[str, Any]) -> bool:
    if look.get("log_e_fail") is not None:
        return bool(look["log_e_fail"] >= -math.log(finding["alpha_fail"]))
    if look.get("half_width_fail") is not None:
        return bool(look["difference"] - look["half_width_fail"] > 0)
    return False


def _said(crossing: _Crossing | None) -> str:
    if crossing is None:
        return "no such look"
    return {
        (False, False): "no line crossed",
        (True, False): "the pass line crossed",
        (False, True): "the fail line crossed",
        (True, True): "both lines crossed",
    }[crossing]


def _differences(place: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from _differences(f"{place}.{key}".lstrip("."), before.get(key, _NOTHING), after.get(key, _NOTHING))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            name = one.get("id", number) if isinstance(one, Mapping) else number
            yield from _differences(f"{place}[{name}]", one, other)
    elif _text(before) != _text(after):
        yield f"{place}: {_shown(before)} then, {_shown(after)} now"


_NOTHING = object()


def _text(value: Any) -> str:
    """As JSON has it: there 1, 1.0 and true are three things."""
    return "nothing" if value is _NOTHING else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _shown(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 - a line of a terminal
