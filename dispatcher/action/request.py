"""What application code asks for: an action over a repository, with limits."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from dispatcher.action.transcript import Transcript
from dispatcher.errors import InvalidAction

FEATURE = "agent_research"
"""The feature every row of both paths carries, so that one query yields both distributions."""

QUESTION_MAX_CHARS = 20_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,119}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_GITHUB_URL = re.compile(r"https://github\.com/[A-Za-z0-9-]+/(?!\.{1,2}$)[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository to research: a local checkout, its address on GitHub, or both.

    `path` is read by the messages path; `github_url` is what the managed path mounts. `commit` is a full or
    abbreviated SHA; without one, HEAD is resolved once. A plain folder has no commit and is read as it is.
    Raises InvalidAction.
    """

    path: Path | str | None = None
    github_url: str | None = None
    commit: str | None = None

    def __post_init__(self) -> None:
        problems = []
        if not isinstance(self.path, str | Path) or not str(self.path):
            problems.append("path is missing: name the local checkout that the tools read")
        elif "\0" in str(self.path):
            problems.append("path holds a NUL, which no file system takes")
        if self.github_url is not None and not _fits(_GITHUB_URL, self.github_url):
            problems.append(f"github_url {self.github_url!r} is not of the form https://github.com/OWNER/NAME")
        if self.commit is not None and not _fits(_COMMIT, self.commit):
            problems.append(f"commit {self.commit!r} is not a SHA (7 to 64 lower-case hexadecimal digits)")
        if problems:
            raise InvalidAction("repository", problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one dispatch; None means the policy's ceiling, never "no limit", and a value can only tighten it.

    `iterations` counts model requests, `tool_calls` tool calls, `tokens` the tokens of all classes over all requests;
    `cost_usd` is US dollars, `deadline_s` seconds of the caller's wall time. Raises InvalidAction.
    """

    iterations: int | None = None
    tool_calls: int | None = None
    tokens: int | None = None
    cost_usd: Decimal | float | None = None
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {_shown(value)}; it counts {what} and is a whole number from {least} to 2**63 - 1"
            for name, what, least in _COUNTED
            if (value := getattr(self, name)) is not None and not _is_count(value, least)
        ]
        if self.cost_usd is not None and not (_is_positive(self.cost_usd) and nanousd(self.cost_usd) > 0):
            problems.append(f"cost_usd is {_shown(self.cost_usd)}; it is a number of US dollars, 0.000000001 or more")
        if self.deadline_s is not None and not _is_positive(self.deadline_s):
            problems.append(f"deadline_s is {_shown(self.deadline_s)}; it is a positive number of seconds")
        if problems:
            raise InvalidAction("limits", problems)

    @property
    def cost_nanousd(self) -> int | None:
        """The cost limit in 10⁻⁹ US dollars, rounded down."""
        return None if self.cost_usd is None else nanousd(self.cost_usd)


_COUNTED = (("iterations", "model requests", 1), ("tool_calls", "tool calls", 0), ("tokens", "tokens", 1))


def nanousd(usd: Decimal | float) -> int:
    """US dollars in 10⁻⁹ dollars, rounded down; a float counts as the shortest decimal that reads back as it."""
    # Of whole numbers: a product of decimals is rounded to the precision of the thread that asks.
    numerator, denominator = Decimal(str(usd)).as_integer_ratio()
    return numerator * 10**9 // denominator


@dataclass(frozen=True, slots=True, kw_only=True)
class ResearchAction:
    """One research question of one tenant about one repository.

    `variant` pins a registered variant by name; the kill switch, a flag that is off, and a repository that can't be
    mounted win over it. `conversation_id` is the unit that a drawn assignment sticks to, and what a later turn goes on
    with; `history` is the transcript of its earlier turns, `ResearchResult.transcript` of the latest one, for features
    whose policy doesn't keep it. Of the actions of a tenant with one `idempotency_key`, one is carried out. `actor` is
    who asked, for the log. Raises InvalidAction with every problem at once.
    """

    question: str
    tenant: str
    repository: Repository
    project: str | None = None
    conversation_id: str | None = None
    actor: str | None = None
    limits: Limits = Limits()
    variant: str | None = None
    history: Transcript | None = field(default=None, repr=False)
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        problems = _question_problems(self.question)
        problems += _name_problems("tenant", self.tenant)
        for name in ("project", "conversation_id", "actor", "variant", "idempotency_key"):
            if getattr(self, name) is not None:
                problems += _name_problems(name, getattr(self, name))
        problems += _type_problems(self.repository, Repository, "repository is missing: pass Repository(path=…)")
        problems += _type_problems(self.limits, Limits, "limits must be a Limits value")
        said: list[str] = []
        if self.history is not None:
            problems += _type_problems(self.history, Transcript, "history must be a Transcript value")
            problems += [] if self.conversation_id else ["history belongs to a conversation: give its conversation_id"]
            said = self.history.problems() if isinstance(self.history, Transcript) else []
        if problems:
            raise InvalidAction("action", [*problems, *(f"history: {problem}" for problem in said)])
        if said:
            raise InvalidAction("history", said)

    @property
    def request_hash(self) -> str:
        """The first 32 hexadecimal digits of the SHA-256 of what is asked for, whoever asks.

        Two actions under one idempotency key are the same request where this is the same: as numbers `1` and `1.0`
        are one limit, and the order of the keys of what was said earlier says nothing. A path means the folder that it
        leads to now.
        """
        limits, repository = self.limits, self.repository
        asked = {
            **{name: getattr(self, name) for name in ("question", "project", "conversation_id", "variant")},
            "path": _folder(repository.path or ""),
            "github_url": repository.github_url,
            "commit": repository.commit,
            **{name: getattr(limits, name) for name in ("iterations", "tool_calls", "tokens", "cost_nanousd")},
            "deadline_s": None if limits.deadline_s is None else float(limits.deadline_s),
            "history": None if self.history is None else self.history.document(),
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]


def _folder(path: Path | str) -> str:
    try:
        return os.path.realpath(path)
    except OSError:  # the working directory is gone, and nothing relative leads anywhere
        return str(Path(path))


def _type_problems(value: object, expected: type, problem: str) -> list[str]:
    return [] if isinstance(value, expected) else [problem]


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


def _is_positive(value: object) -> bool:
    """Whether it is a number that a float can hold, above 0; one that is no number or without end is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return False
    try:
        return 0 < float(value) < float("inf")
    except (OverflowError, ValueError):  # an integer without end, and a decimal that signals
        return False


def _shown(value: object) -> str:
    try:
        return repr(value)[:40]
    except ValueError:  # Python doesn't write out integers of thousands of digits
        return "an absurd number"


def _question_problems(question: object) -> list[str]:
    if not isinstance(question, str) or not question.strip():
        return ["question is empty"]
    if len(question) > QUESTION_MAX_CHARS:
        return [f"question has {len(question)} characters; at most {QUESTION_MAX_CHARS} are taken"]
    # Half of a surrogate pair is a character to Python, and no request could carry it.
    if any("\ud800" <= character <= "\udfff" for character in question):
        return ["question holds a broken character (an unpaired surrogate)"]
    return []


def _name_problems(field: str, value: object) -> list[str]:
    if not isinstance(value, str) or not value:
        return [f"{field} is empty"]
    if not _NAME.fullmatch(value):
        return [
            f"{field} {value[:40]!r} may hold 1 to 120 letters, digits and . _ : @ / -, the first a letter or digit"
        ]
    # The flag engine turns None into the text "None", so a tenant of that name would match what a missing one matches.
    if value in {"None", "null", "undefined"}:
        return [f"{field} {value!r} looks like a missing value"]
    return []
