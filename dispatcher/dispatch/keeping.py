"""What of a dispatch's content is kept, where the policy says so, and how a kept result is read back. Pure."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dispatcher.action.observation import Status
from dispatcher.action.policy import Conduct
from dispatcher.action.request import ResearchAction
from dispatcher.action.result import ResearchResult
from dispatcher.action.transcript import Transcript
from dispatcher.audit.record import Kept
from dispatcher.dispatch.redaction import redacted_result, redactor

logger = logging.getLogger(__name__)


def kept_of(action: ResearchAction, result: ResearchResult, conduct: Conduct, now: dt.datetime) -> Kept | None:
    """What is kept of an answered dispatch, redacted; None where nothing is. A result beyond its bound isn't kept."""
    turn = text = None
    conversations, results = conduct.conversations, conduct.results
    if result.status is not Status.SUCCESS or (conversations is None and results is None):
        return None
    result = redacted_result(replace(result, work=()), redactor(conduct.redact))
    if conversations is not None and action.conversation_id is not None:
        turn = Transcript(result.transcript.turns[-1:]).to_json()
    if results is not None and action.idempotency_key is not None:
        text = _adapter().dump_json(result).decode()
        if len(text.encode()) > results.max_bytes:
            logger.warning("the result of row %s is larger than the policy keeps", result.log_id)
            text = None
    if turn is None and text is None:
        return None
    return Kept(
        turn=turn,
        turn_expires_at=now + conversations.ttl if turn is not None and conversations is not None else None,
        max_conversation_bytes=0 if conversations is None else conversations.max_bytes,
        result=text,
        result_expires_at=now + results.ttl if text is not None and results is not None else None,
    )


def read_result(text: str) -> ResearchResult | None:
    """A kept result, marked as repeated; None where it was written in a form that is no longer read."""
    try:
        kept: ResearchResult = _adapter().validate_json(text)
    except ValidationError:
        return None
    return replace(kept, repeated=True)


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(ResearchResult)
