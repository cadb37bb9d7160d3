"""A decision record: its lifecycle, its text, and the acceptance block that a verdict is computed from."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.passages import Passage, passages
from dispatcher.document.notation import Contradictions, Duration, Name, Number, Positive, Strict, as_tuple, plain

_WEIGHTS_TOLERANCE = Decimal("1e-9")
_MOST_ALPHA = Decimal("0.1")
"""One wrong SHIP in ten is the most that anybody calls evidence; above it a gate is a coin that is tossed often."""
_MOST_UNKNOWN = Decimal("0.2")
"""With more than a fifth of an arm's values unknown, what is known of the rest is no figure of the arm."""


class Status(StrEnum):
    """Where a record is in its life; the set of MADR, closed."""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    DEPRECATED = "deprecated"

    @property
    def is_open(self) -> bool:
        """Whether the record still waits for a verdict or stands by one."""
        return self in {Status.PROPOSED, Status.ACCEPTED}


class Arm(Strict):
    """One side of the comparison: a variant by its registered name."""

    variant: Name


class Traffic(Strict):
    """The traffic that the authors expect of the registered tenants, both arms together."""

    dispatches_per_month: Positive
    dispatches_per_conversation: Annotated[Number, Field(ge=1)]


class Looks(Strict):
    """How often the evidence is looked at, and what all looks together may cost.

    `alpha` is the chance of a wrong SHIP over all looks, at most 0.1; `max_weeks` the horizon; `settle` how long after
    its window a cluster is waited for, so that slow dispatches aren't counted after fast ones. `t_star` is the number
    of clusters at which the interval of a mean is tightest; where it isn't stated, those expected at half of
    `max_weeks`.
    """

    cadence: Literal["weekly"]
    method: Literal["anytime"]
    alpha: Annotated[Number, Field(gt=0, le=_MOST_ALPHA)]
    max_weeks: Annotated[int, Field(ge=1, le=520)]
    settle: Duration
    t_star: Annotated[int | None, Field(ge=1, le=10**9)] = None


class Unit(Strict):
    """What is independent, and how long one lasts from its first dispatch (`0d`: single calls)."""

    by: Literal["conversation"]
    window: Duration


class Assignment(Strict):
    """How tenants came to their variant: drawn by a sticky share, or set tenant by tenant (observational).

    `share` is the candidate's, strictly between 0 and 1.
    """

    kind: Literal["sticky_share", "tenant_flag"]
    by: Literal["conversation"] | None = None
    share: Annotated[Number, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Assignment:
        drawn = self.kind == "sticky_share"
        problems = []
        for name in ("by", "share"):
            given = getattr(self, name) is not None
            if drawn and not given:
                problems.append(f"sticky_share is a draw, so state {name}")
            if given and not drawn:
                problems.append(f"tenant_flag draws nothing, so it takes no {name}")
        if problems:
            raise Contradictions(problems)
        return self


class Acceptance(Strict):
    """The `yaml acceptance` block of a record.

    `tenants` maps the population's tenants to their weights, which sum to 1. `max_unknown_share` bounds the rows
    without a known cost, per criterion, in the worse arm, and is at most 0.2.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")]
    feature: Name
    candidate: Arm
    control: Arm
    tenants: Annotated[dict[Name, Positive], Field(min_length=1)]
    traffic: Traffic
    looks: Looks
    unit: Unit
    assignment: Assignment
    max_unknown_share: Annotated[Number, Field(ge=0, le=_MOST_UNKNOWN)]
    on_rollback: Literal["report", "flip_off"]
    criteria: Annotated[tuple[Criterion, ...], BeforeValidator(as_tuple), Field(min_length=1)]

    @field_validator("control")
    @classmethod
    def _two_arms(cls, control: Arm, info: ValidationInfo) -> Arm:
        if info.data.get("candidate") == control:
            raise ValueError(f"candidate and control are both {control.variant}: there is nothing to compare")
        return control

    @field_validator("tenants")
    @classmethod
    def _weights_sum_to_one(cls, tenants: dict[str, Decimal]) -> dict[str, Decimal]:
        total = sum(tenants.values(), Decimal(0))
        if abs(total - 1) > _WEIGHTS_TOLERANCE:
            raise ValueError(f"the weights sum to {plain(total)}, not to 1")
        return tenants

    @field_validator("criteria")
    @classmethod
    def _ids_are_unique(cls, criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        repeated = sorted(name for name, count in Counter(item.id for item in criteria).items() if count > 1)
        if repeated:
            raise ValueError(f"two criteria have the id {', '.join(repeated)}")
        return criteria

    @cached_property
    def canonical(self) -> str:
        """The block as canonical JSON: sorted keys, no blanks, numbers and durations in one spelling each.

        Two blocks that mean the same, however they are laid out, are the same text. What is left to its default is
        left out, so that a key added later doesn't change the records written before it.
        """
        stated = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return json.dumps(stated, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical block, in hexadecimal."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Places:
    """The lines of a record's file: of the keys of its front matter, and of every path in its acceptance block."""

    front: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)
    block: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)

    def of(self, *path: str | int) -> int:
        """The line of a path of the block, or of the nearest value around it; 1 where there is none."""
        while path not in self.block and path:
            path = path[:-1]
        return self.block.get(path, 1)

    def of_key(self, name: str) -> int:
        """The line of a key of the front matter; 1 where it isn't stated."""
        return self.front.get((name,), 1)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A decision record as it was read.

    `sections` maps each second-level heading to its text, in the order of the document. `acceptance` is None for a
    record that says `acceptance: none`: it decides something that no telemetry judges. `corrects` maps the records that
    this one corrects to the hash of the text it found there. `text` is the whole file.
    """

    id: str
    title: str
    status: Status
    date: dt.date
    deciders: tuple[str, ...]
    supersedes: tuple[str, ...]
    superseded_by: str | None
    sections: dict[str, str]
    acceptance: Acceptance | None
    path: Path
    corrects: Mapping[str, str] = field(default_factory=dict)
    corrected_by: tuple[str, ...] = ()
    text: str = ""
    places: Places = field(default_factory=Places)

    @cached_property
    def passages(self) -> tuple[Passage, ...]:
        """The body, taken apart."""
        return passages(self.text)

    def criterion_line(self, criterion_id: str) -> int:
        """The line on which a criterion of the block starts."""
        criteria = () if self.acceptance is None else self.acceptance.criteria
        for index, criterion in enumerate(criteria):
            if criterion.id == criterion_id:
                return self.places.of("criteria", index)
        return 1

    @property
    def block_hash(self) -> str | None:
        """The hash of the acceptance block; the layout of the document doesn't change it."""
        return None if self.acceptance is None else self.acceptance.hash
