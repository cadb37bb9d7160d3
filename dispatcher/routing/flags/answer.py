"""What is asked of a flag, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ALWAYS_SENT = ("tenantId", "conversationId")
CONTEXT_FIELDS = (*ALWAYS_SENT, "projectId")
"""The fields of the context by the names that a flag document uses; a draw can stick to any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagContext:
    """Whom a flag is asked for. A conversation is the action's, or the dispatch itself where there is none."""

    tenant: str
    conversation: str
    project: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The context as the engine takes it; what is missing is absent, since the engine reads None as text."""
        given = {"tenantId": self.tenant, "conversationId": self.conversation}
        return given if self.project is None else {**given, "projectId": self.project}


class FlagState(StrEnum):
    """What kind of answer a flag gave."""

    VARIANT = "variant"
    """A rule names a variant, or a draw among its variants was made."""
    LOST = "lost"
    """A rule's constraints pass, but the draw of its rollout was lost and no later rule applies."""
    NO_RULE = "no_rule"
    """No rule reaches the context."""
    OFF = "off"
    """The flag is switched off, by itself or by its prerequisite."""
    UNKNOWN_FLAG = "unknown_flag"
    """The document doesn't hold the flag."""
    STALE = "stale"
    """The document could not be confirmed for too long."""
    ERROR = "error"
    """There is no document, or the engine failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagAnswer:
    """One evaluation: what the flag says, from which state of the document, and why.

    `version` is a hash of the document, `source` says where it comes from and `age_s` how many seconds ago it was
    confirmed to be the newest; `problem` says why it may be out of date, None where nothing speaks for that.
    `drawn` is whether chance had a part in it; then `assignment_key` is what the draw hashed and `share` is the
    probability, in [0, 1], of what was drawn. `rule` names the rule that applied; `detail` says what the state alone
    doesn't.
    """

    state: FlagState
    version: str | None
    source: str | None = None
    age_s: float | None = None
    problem: str | None = None
    variant: str | None = None
    rule: str | None = None
    drawn: bool = False
    share: float | None = None
    assignment_key: str | None = None
    detail: str = ""

    @property
    def stale(self) -> bool:
        """Whether the document may be out of date."""
        return self.problem is not None
