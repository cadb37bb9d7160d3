"""The form of a flag document: Unleash's client format, read more strictly than the flag engine reads it.

The engine drops a whole document without a word for one number where it wants text, and takes a misspelt key for an
absent one, which can open a flag to everybody. So nothing reaches it that this module doesn't understand in full. The
form is the body of Unleash's GET /api/client/features; each model's fields are the keys that it may have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from dispatcher.routing.flags.constraint import Constraint, NonEmpty, Strict, Text, refuse

EVERYBODY = 100
"""The rollout, in percent, at which nothing is drawn."""
STRATEGIES = ("flexibleRollout", "default")
_PERCENT = re.compile(r"\d{1,2}|100", re.ASCII)


def _stickiness(field: str) -> str:
    if field in {"default", "random"}:
        raise PydanticCustomError(
            "stickiness",
            "is '{field}', which draws anew on every call: name the field to stick to, such as tenantId",
            {"field": field},
        )
    return field


SegmentId = Annotated[int, Field(ge=-(2**31), lt=2**31)]
"""The engine drops a whole document for a larger one."""
Stickiness = Annotated[NonEmpty, AfterValidator(_stickiness)]


class Payload(Strict):
    """What a variant may carry; it is never used, because policies define what a variant is."""

    type: NonEmpty
    value: Text


class VariantWeight(Strict):
    """One arm of a strategy: the name of a registered variant, and its weight."""

    name: NonEmpty
    weight: int = Field(ge=0, le=1000)
    weight_type: Literal["fix", "variable"] = "variable"
    stickiness: Stickiness | None = None
    payload: Payload | None = None
    overrides: list[Any] = Field(default_factory=list, max_length=0)


class Parameters(Strict):
    """How a flexibleRollout draws: the share in percent, the field it sticks to, and the seed of the draw."""

    rollout: Text
    stickiness: Stickiness
    group_id: NonEmpty

    @model_validator(mode="after")
    def _is_a_percentage(self) -> Parameters:
        if _PERCENT.fullmatch(self.rollout) is None:
            refuse([f"rollout is {self.rollout!r}, so the flag would be off: write a whole percentage, '0' to '100'"])
        return self


def _known_strategy(name: str) -> str:
    if name not in STRATEGIES:
        why = "strategy '{name}' is unknown, so the flag would be off; known are {known}"
        raise PydanticCustomError("strategy", why, {"name": name, "known": ", ".join(STRATEGIES)})
    return name


class Strategy(Strict):
    """One rule of a flag: whom it reaches, how it draws, and among which variants.

    `constraints` is None where the document doesn't say; the engine then reaches everybody.
    """

    name: Annotated[Text, AfterValidator(_known_strategy)]
    title: Text | None = None
    constraints: list[Constraint] | None = None
    segments: list[SegmentId] = Field(default_factory=list)
    parameters: Parameters | None = None
    variants: list[VariantWeight] = Field(default_factory=list)
    disabled: bool = False
    sort_order: int | None = None
    id: Text | None = None
    feature_name: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_has_no_parameters(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("name") == "default" and raw.get("parameters") == {}:
            return {key: value for key, value in raw.items() if key != "parameters"}
        return raw

    @field_validator("variants")
    @classmethod
    def _in_the_servers_order(cls, variants: list[VariantWeight]) -> list[VariantWeight]:
        # A draw goes through the variants in their order, and a server keeps them by name: so a file's do the same.
        return sorted(variants, key=lambda variant: variant.name)

    @model_validator(mode="after")
    def _draws_soundly(self) -> Strategy:
        problems = []
        if self.name == "flexibleRollout" and self.parameters is None:
            problems.append("parameters are missing, so the flag would be off: write rollout, stickiness and groupId")
        if self.name == "default" and self.parameters is not None:
            problems.append("default takes no parameters: it reaches everybody; flexibleRollout draws a share")
        if self.name == "default" and self.draws_among_variants:
            problems.append("default draws among variants without a groupId of its own: use flexibleRollout")
        names = [arm.name for arm in self.variants]
        problems += [f"variant {name!r} stands here twice" for name in sorted({n for n in names if names.count(n) > 1})]
        if self.variants and not any(arm.weight for arm in self.variants):
            problems.append("all weights are 0, which makes the engine panic: give one variant a weight")
        refuse(problems + self._stickiness_problems())
        return self

    def _stickiness_problems(self) -> list[str]:
        if not self.draws_among_variants:
            return []
        fields = {arm.stickiness for arm in self.variants}
        if None in fields:
            return ["a variant's stickiness is missing, and the engine would draw anew on every call: write it"]
        if self.parameters is not None and fields != {self.parameters.stickiness}:
            return [f"the rollout sticks to {self.parameters.stickiness}, the variants don't: one draw has one key"]
        return []

    @property
    def draws_among_variants(self) -> bool:
        """Whether there is more than one variant, be the weight of all but one 0."""
        return len(self.variants) > 1

    @property
    def percent(self) -> int:
        """The share of those whom the constraints let in, in percent."""
        return int(self.parameters.rollout) if self.parameters else EVERYBODY


class Dependency(Strict):
    """A prerequisite: the parent flag must be on (or off), or give one of some variants."""

    feature: NonEmpty
    enabled: bool = True
    variants: list[NonEmpty] = Field(default_factory=list)

    @model_validator(mode="after")
    def _off_gives_no_variant(self) -> Dependency:
        # Of a parent that must be off, Unleash's clients ask for no variant; the engine would, and for one that it
        # doesn't give.
        return self.model_copy(update={"variants": []}) if self.variants and not self.enabled else self


class Feature(Strict):
    """One flag."""

    name: str = Field(pattern=r"^[A-Za-z0-9._~-]{1,100}$")
    enabled: bool
    strategies: list[Strategy]
    dependencies: list[Dependency] = Field(default_factory=list)
    variants: list[VariantWeight] = Field(default_factory=list)
    type: Text | None = None
    project: Text | None = None
    description: Text | None = None
    stale: bool = False
    impression_data: bool | None = None

    @property
    def rules(self) -> list[Strategy]:
        """The strategies in force; the engine itself doesn't know `disabled`."""
        return [strategy for strategy in self.strategies if not strategy.disabled]

    @model_validator(mode="after")
    def _reaches_somebody_named(self) -> Feature:
        problems = []
        if self.enabled and not self.rules:
            problems.append("is enabled without a strategy in force, which switches it on for everybody")
        orders = [strategy.sort_order for strategy in self.strategies if strategy.sort_order is not None]
        if orders != sorted(orders):
            problems.append("sortOrder contradicts the order of the strategies; the engine goes by their order")
        refuse(problems)
        return self


class Segment(Strict):
    """Constraints shared by strategies."""

    id: SegmentId
    name: Text | None = None
    description: Text | None = None
    constraints: list[Constraint] = Field(min_length=1)


class Envelope(Strict):
    """The document around its flags. `query` and `meta` are what a server tells about its answer."""

    version: Literal[1, 2]
    features: list[Any]
    segments: list[Any] = Field(default_factory=list)
    query: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagDocument:
    """A flag document understood in full. `version` is a hash of its bytes.

    `off` holds the routed flags that are off whatever their rules say, each with why.
    """

    version: str
    features: Mapping[str, Feature]
    segments: Mapping[int, Segment]
    off: Mapping[str, str]
