"""What application code asks for: an action over a repository, with limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import UnionType

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
        if self.github_url is not None and not _fits(_GITHUB_URL, self.github_url):
            problems.append(f"github_url {self.github_url!r} is not of the form https://github.com/OWNER/NAME")
        if self.commit is not None and not _fits(_COMMIT, self.commit):
            problems.append(f"commit {self.commit!r} is not a SHA (7 to 64 lower-case hexadecimal digits)")
        if problems:
            raise InvalidAction("repository", problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one dispatch; None means the policy's ceiling, never "no limit", and a value can only tighten it.

    `iterations` counts model requests, `deadline_s` is seconds of the caller's wall time. Raises InvalidAction.
    """

    iterations: int | None = None
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.iterations is not None and not (_is_number(self.iterations, int) and self.iterations >= 1):
            problems.append(f"iterations is {self.iterations!r}; it counts model requests and is at least 1")
        if self.deadline_s is not None and not (
            _is_number(self.deadline_s, int | float) and 0 < self.deadline_s < float("inf")
        ):
            problems.append(f"deadline_s is {self.deadline_s!r}; it is a positive number of seconds")
        if problems:
            raise InvalidAction("limits", problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResearchAction:
    """One research question of one tenant about one repository.

    `variant` pins a registered variant by name; the kill switch, a flag that is off, and a repository that can't be
    mounted win over it. `conversation_id` is the unit that a drawn assignment sticks to. `actor` is who asked, for
    the log. Raises InvalidAction with every problem at once.
    """

    question: str
    tenant: str
    repository: Repository
    project: str | None = None
    conversation_id: str | None = None
    actor: str | None = None
    limits: Limits = Limits()
    variant: str | None = None

    def __post_init__(self) -> None:
        problems = _question_problems(self.question)
        problems += _name_problems("tenant", self.tenant)
        for field in ("project", "conversation_id", "actor", "variant"):
            if getattr(self, field) is not None:
                problems += _name_problems(field, getattr(self, field))
        problems += _type_problems(self.repository, Repository, "repository is missing: pass Repository(path=…)")
        problems += _type_problems(self.limits, Limits, "limits must be a Limits value")
        if problems:
            raise InvalidAction("action", problems)


def _type_problems(value: object, expected: type, problem: str) -> list[str]:
    return [] if isinstance(value, expected) else [problem]


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_number(value: object, kind: type | UnionType) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


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
