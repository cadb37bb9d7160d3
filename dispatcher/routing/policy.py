"""What `policies/` says: the registered variants, and which repositories a tenant may have researched."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, model_validator

from dispatcher.action.decision import DEFAULT_VARIANT, CapMode, PathName, Variant
from dispatcher.action.policy import SHORTEST_KEEPING, Conduct
from dispatcher.action.request import nanousd
from dispatcher.document.notation import Contradictions, Duration, Positive, Strict
from dispatcher.document.reading import read_document
from dispatcher.errors import InvalidPolicy
from dispatcher.routing.conduct import ConductDefinition, Dollars

FEATURE_FILE = "agent_research.yml"
REPOSITORIES_FILE = "repositories.yml"

_ADDRESS = re.compile(r"https://github\.com/[A-Za-z0-9-]+/[A-Za-z0-9._-]+")


def _variable(name: str) -> str:
    # A token pasted in place of the variable's name must not come back in the message.
    if not (name.isascii() and name.isidentifier() and name.isupper()):
        raise ValueError("is not the name of an environment variable; a token never stands here")
    return name


def _address(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ValueError(
            "is not an address of the form https://github.com/<owner>/<repository>, without user and token"
        )
    return address


class _VariantDefinition(Strict):
    path: PathName = Field(strict=False)  # strict, it would take no text
    model: str = Field(min_length=1)
    iteration_cap: int = Field(ge=1, le=10_000)
    tool_call_cap: int = Field(ge=0)
    token_cap: int = Field(ge=1)
    cost_cap_usd: Dollars
    deadline_s: Annotated[Positive, Field(le=86_400)]
    max_tokens: int | None = Field(default=None, ge=1)
    prompt_caching: bool = False
    cap_mode: CapMode | None = Field(default=None, strict=False)  # strict, it would take no text
    fallback: str | None = None

    @model_validator(mode="after")
    def _what_the_path_takes(self) -> _VariantDefinition:
        problems: list[tuple[tuple[str], str]] = []
        if self.path is PathName.MESSAGES and self.max_tokens is None:
            problems.append((("max_tokens",), "is missing: every request on the messages path states it"))
        if self.path is PathName.MANAGED and self.max_tokens is not None:
            problems.append((("max_tokens",), "is of the messages path only; the platform has no such setting"))
        if self.path is PathName.MANAGED and self.prompt_caching:
            problems.append((("prompt_caching",), "is of the messages path only; the platform caches itself"))
        if self.path is PathName.MESSAGES and self.cap_mode is not None:
            problems.append((("cap_mode",), "is of the managed path only; our own loop simply ends"))
        if problems:
            raise Contradictions([], problems)
        return self

    def variant(self, name: str) -> Variant:
        defined = {**dict(self), "deadline_s": float(self.deadline_s)}
        cost_cap_nanousd = nanousd(defined.pop("cost_cap_usd"))
        if self.path is PathName.MANAGED and self.cap_mode is None:
            defined["cap_mode"] = CapMode.CONFIRM
        return Variant(name=name, cost_cap_nanousd=cost_cap_nanousd, **defined)


def _long_enough(span: dt.timedelta) -> dt.timedelta:
    if span < SHORTEST_KEEPING:
        raise ValueError(
            f"is too short: a month's budget is the sum over its rows, so {SHORTEST_KEEPING.days}d at least"
        )
    return span


class _Log(Strict):
    unavailable: Literal["fail_closed", "fail_open"] = "fail_closed"
    keep_rows: Annotated[Duration, AfterValidator(_long_enough)] | None = None


class _FeaturePolicy(Strict):
    schema_: Literal[1] = Field(alias="schema")
    feature: Literal["agent_research"]
    flag: str = Field(pattern=r"^[A-Za-z0-9._~-]{1,100}$")
    variants: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")], _VariantDefinition]
    conduct: ConductDefinition = ConductDefinition()
    log: _Log = _Log()

    @model_validator(mode="after")
    def _names_are_registered(self) -> _FeaturePolicy:
        problems: list[tuple[tuple[str, ...], str]] = []
        default = self.variants.get(DEFAULT_VARIANT)
        if default is None or default.path is not PathName.MESSAGES:
            sentence = "must be registered, on the messages path: every brake leads to it"
            problems.append((("variants", DEFAULT_VARIANT), sentence))
        for name, variant in self.variants.items():
            fallback = variant.fallback
            if fallback is not None and (fallback not in self.variants or fallback == name):
                sentence = f"{fallback!r} is not another registered variant"
                problems.append((("variants", name, "fallback"), sentence))
        if problems:
            raise Contradictions([], problems)
        return self


_Address = Annotated[str, AfterValidator(_address)]


class _RepositoriesPolicy(Strict):
    schema_: Literal[1] = Field(alias="schema")
    tenants: dict[Annotated[str, Field(min_length=1)], dict[_Address, Annotated[str, AfterValidator(_variable)] | None]]


@dataclass(frozen=True, kw_only=True)
class Policies:
    """The policies in force; read once.

    `variants` are the registered variants by name, `flag` is the flag that chooses among them, `conduct` is how actions
    are carried out, and `repositories` maps a tenant to its repositories' addresses on GitHub, each with the name of
    the environment variable that holds its read-only token, or None for a public repository. With `fail_open` actions
    are carried out although the log can take no row, and a verdict over the gap is INVALID. `keep_rows` is how long the
    log's rows are kept, None for good.
    """

    feature: str
    flag: str
    variants: Mapping[str, Variant]
    conduct: Conduct
    repositories: Mapping[str, Mapping[str, str | None]]
    fail_open: bool = False
    keep_rows: dt.timedelta | None = None

    @classmethod
    def load(cls, directory: Path) -> Policies:
        """Read a policies directory. Raises InvalidPolicy with every problem of every file at once."""
        problems: list[str] = []
        feature = _read(directory / FEATURE_FILE, _FeaturePolicy, problems)
        repositories = _read(directory / REPOSITORIES_FILE, _RepositoriesPolicy, problems)
        if feature is None or repositories is None:
            raise InvalidPolicy(str(directory), problems)
        variants = {name: definition.variant(name) for name, definition in feature.variants.items()}
        return cls(
            feature=feature.feature,
            flag=feature.flag,
            variants=variants,
            conduct=feature.conduct.conduct(),
            repositories=repositories.tenants,
            fail_open=feature.log.unavailable == "fail_open",
            keep_rows=feature.log.keep_rows,
        )

    @property
    def default(self) -> Variant:
        """The variant `legacy`."""
        return self.variants[DEFAULT_VARIANT]

    def repository_allowed(self, tenant: str, github_url: str) -> bool:
        """Whether the tenant may have this repository researched."""
        return github_url in self.repositories.get(tenant, {})

    def token_variable(self, tenant: str, github_url: str) -> str | None:
        """The environment variable with an allowed repository's read-only token; None where it is public."""
        return self.repositories[tenant][github_url]


_Model = TypeVar("_Model", bound=BaseModel)


def _read(path: Path, model: type[_Model], problems: list[str]) -> _Model | None:
    """The validated file, or None after adding what is wrong with it to `problems`."""
    try:
        missing = not path.exists()
    except OSError:
        missing = False  # reading it says why it can't be looked at
    if missing:
        problems.append(f"{path.name}: no such file; set DISPATCHER_POLICIES_DIR to the directory that holds it")
        return None
    try:
        return read_document(path, model, InvalidPolicy, typed=True)
    except InvalidPolicy as error:
        problems += [f"{path.name}: {problem}" for problem in error.problems]
        return None
