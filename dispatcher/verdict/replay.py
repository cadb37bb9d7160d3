"""A verdict of the past reached again, from what its own document holds and the log; the record's file isn't asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dispatcher.adr.baseline import Ranks
from dispatcher.adr.document import Acceptance, Record, Status
from dispatcher.adr.ranks import PinnedRanks, parse_ranks
from dispatcher.adr.reader import BLOCK_INFO, parse_block
from dispatcher.audit.record import Origin
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.history import moment_of
from dispatcher.verdict.reach import Samples, reach_verdict, samples_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dispatcher.verdict.judgement.judge import Verdict


def reach_again(document: Mapping[str, Any], engine: Engine) -> Verdict:
    """Judge by the criteria and the pinned baselines that a document holds, as of its moment.

    Raises InvalidRecord where its criteria aren't those whose hash it states, KeyError and TypeError where it is no
    verdict, and SourceUnreachable.
    """
    name = document["record"]
    block = parse_block(document["criteria"], name)
    if block.hash != document["hashes"]["record"]:
        stated = document["hashes"]["record"]
        raise InvalidRecord(name, [f"the verdict holds criteria with the hash {block.hash} and states {stated}"])
    moment, pinned = moment_of(document), document["pinned"]
    return reach_verdict(
        _record(document, block, moment.date()), Origin(document["origin"]), moment, engine, _samples(block, pinned)
    )


def _record(document: Mapping[str, Any], block: Acceptance, date: dt.date) -> Record:
    """As much of a record as a verdict is reached from."""
    text = f"```{BLOCK_INFO}\n{document['criteria']}\n```\n"
    return Record(
        id=document["record"],
        title=document["record_title"],
        status=Status.ACCEPTED,
        date=date,
        deciders=(),
        supersedes=(),
        superseded_by=None,
        sections={},
        acceptance=block,
        path=Path(f"{document['record']}.md"),
        text=text,
    )


def _samples(block: Acceptance, pinned: Mapping[str, str]) -> Samples:
    def held(ranks: Ranks) -> PinnedRanks:
        return parse_ranks(pinned.get(ranks.sha256, "").encode(), ranks)

    return samples_of(block, held)
