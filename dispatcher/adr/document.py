"""A decision record: its lifecycle, its text, and the acceptance block that a verdict is computed from."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from dispatcher.adr.criterion import Criterion
from dispatcher.document.notation import Contradictions, Duration, Name, Number, Positive, Strict, as_tuple, plain

_WEIGHTS_TOLERANCE = Decimal("1e-9")


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

    `alpha` is the chance of a wrong SHIP over all looks; `max_weeks` the horizon; `settle` how long after its window a
    cluster is waited for, so that slow dispatches aren't counted after fast ones.
    """

    cadence: Literal["weekly"]
    method: Literal["anytime"]
    alpha: Annotated[Number, Field(gt=0, lt=Decimal("0.5"))]
    max_weeks: Annotated[int, Field(ge=1, le=520)]
    settle: Duration


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
        for field in ("by", "share"):
            given = getattr(self, field) is not None
            if drawn and not given:
                problems.append(f"sticky_share is a draw, so state {field}")
            if given and not drawn:
                problems.append(f"tenant_flag draws nothing, so it takes no {field}")
        if problems:
            raise Contradictions(problems)
        return self


class Acceptance(Strict):
    """The `yaml acceptance` block of a record.

    `tenants` maps the population's tenants to their weights, which sum to 1. `max_unknown_share` bounds the rows
    without a known cost, per criterion, in the worse arm.
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
    max_unknown_share: Annotated[Number, Field(ge=0, lt=1)]
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


@dataclass(frozen=True, kw_only=True)
class Record:
    """A decision record as it was read.

    `sections` maps each second-level heading to its text, in the order of the document. `acceptance` is None for a
    record that says `acceptance: none`: it decides something that no telemetry judges.
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

    @property
    def block_hash(self) -> str | None:
        """The hash of the acceptance block; the layout of the document doesn't change it."""
        return None if self.acceptance is None else self.acceptance.hash
