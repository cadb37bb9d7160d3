"""What an attempt is told of its conversation: the turns so far, and the session that may go on. Pure."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass

from dispatcher.action.decision import PathName, Variant
from dispatcher.action.request import ResearchAction
from dispatcher.action.transcript import NO_TURNS, Transcript, TranscriptForm
from dispatcher.audit.record import ConversationSoFar, LoggedSession
from dispatcher.errors import ConversationBusy, ConversationContinues
from dispatcher.paths.path import Fresh, PastSession, Replay, Resume, Seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What came before this turn; `turn` is this one's ordinal, None outside a conversation.

    `logged` is whether the log has earlier turns of the conversation, however they ended. `sections` are the
    fingerprints of the stable prompt sections of the turn before, on the path `path`.
    """

    turn: int | None = None
    logged: bool = False
    transcript: Transcript = NO_TURNS
    session: LoggedSession | None = None
    path: str | None = None
    sections: Mapping[str, str] | None = None


def past_of(action: ResearchAction, so_far: ConversationSoFar) -> Past:
    """What came before the action's turn. Raises ConversationBusy or ConversationContinues."""
    if so_far.running:
        raise ConversationBusy(
            f"conversation {action.conversation_id!r} of tenant {action.tenant!r}: turn {so_far.turn} still runs; "
            "ask again when it has ended"
        )
    transcript = _transcript(action, so_far)
    return Past(
        turn=max(so_far.turn, len(transcript.turns)) + 1,
        logged=so_far.turn > 0,
        transcript=transcript,
        session=so_far.session,
        path=so_far.path,
        sections=None if so_far.section_fingerprints is None else json.loads(so_far.section_fingerprints),
    )


def seed_for(past: Past, variant: Variant, *, session_ttl: dt.timedelta, now: dt.datetime) -> Seed:
    """How the variant's path learns of the turns before: from the session that still holds them, else by being told."""
    if not past.transcript.turns:
        return Fresh()
    session = past.session
    if variant.path is not PathName.MANAGED or session is None or now - session.finished_at > session_ttl:
        return Replay(past.transcript)
    return Resume(_past_session(session), past.transcript)


def form_of(seed: Seed, variant: Variant) -> TranscriptForm:
    """The form that the turns before are meant to reach the model in; the path says if it came otherwise."""
    if isinstance(seed, Resume):
        return TranscriptForm.SESSION
    if isinstance(seed, Fresh):
        return TranscriptForm.NATIVE
    native = variant.path is PathName.MESSAGES and seed.transcript.can_be_replayed(variant.model)
    return TranscriptForm.NATIVE if native else TranscriptForm.FLATTENED


def _transcript(action: ResearchAction, so_far: ConversationSoFar) -> Transcript:
    if action.history is not None:
        return action.history
    if tuple(ordinal for ordinal, _ in so_far.kept) == so_far.answered:
        return Transcript(tuple(turn for _, text in so_far.kept for turn in Transcript.from_json(text).turns))
    raise ConversationContinues(
        f"conversation {action.conversation_id!r} of tenant {action.tenant!r} has {len(so_far.answered)} answered "
        f"turns, and the transcripts of {len(so_far.kept)} of them are kept; pass history=result.transcript of its "
        "latest answer (--transcript FILE on the command line), let the policy keep conversations "
        "(conduct.keep.conversations), or begin another conversation"
    )


def _past_session(session: LoggedSession) -> PastSession:
    return PastSession(
        session_id=session.session_id,
        agent_id=session.agent_id,
        agent_version=session.agent_version,
        model=session.model,
        repository=session.repository,
        commit_sha=session.commit_sha,
        project=session.project,
        prefix_fingerprint=session.prefix_fingerprint,
    )
