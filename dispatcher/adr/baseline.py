"""The measured value that a criterion's limit refers to, and how it was come by."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from dispatcher.document.notation import Contradictions, Date, Name, Positive, Strict, as_tuple

_FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}\.csv$"


class Source(StrEnum):
    """Where the value that a limit refers to was measured."""

    PRODUCTION_TELEMETRY = "production-telemetry"
    SPIKE = "spike"
    THEORETICAL = "theoretical"
    CONCURRENT_CONTROL = "concurrent-control"
    """Rows of the control in the same weeks; there is no number to state beforehand."""
    OWN_TARGET = "own-target"
    """A number that the record's authors chose."""


_SHOWN_ON_DATA_SETS = frozenset({Source.SPIKE, Source.OWN_TARGET})
_OF_A_DATA_SET = ("dataset", "prompts", "runs")


class Where(Strict):
    """The rows that the baseline was measured on; what isn't named was not filtered."""

    feature: Name
    status: Name | None = None
    tenant: Name | None = None


class Ranks(Strict):
    """The order statistics that a pin wrote beside the record: a file name, and the SHA-256 of its content.

    The hash makes them part of the record: a changed file is a changed record.
    """

    file: Annotated[str, Field(pattern=_FILE_NAME)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Baseline(Strict):
    """The measured value that a criterion refers to, and how it was come by.

    `window` is [from, to], two days, the second one not included; `n` counts the rows; `value` is in the measure's
    unit. `published` marks a quoted figure: its rows aren't here, so it is a contract and is never run again.
    `treat_as: contract` means that the number itself is the limit's base, whatever its own uncertainty; `sample` that
    this uncertainty is carried, for which the order statistics must be there.

    `from` names a source of `policies/sources.yml`, from which `adr pin` measures `value`, `n` and `ranks`; until then
    they are missing. `dataset`, with its `prompts` and the `runs` of each, names what a target was tried on where there
    are no production rows.
    """

    source: Annotated[Source, Field(strict=False)]
    published: bool = False
    from_: Annotated[Name | None, Field(alias="from")] = None
    where: Where | None = None
    window: Annotated[tuple[Date, Date], BeforeValidator(as_tuple)] | None = None
    n: Annotated[int, Field(gt=0)] | None = None
    value: Positive | None = None
    treat_as: Literal["contract", "sample"] | None = None
    ranks: Ranks | None = None
    dataset: Name | None = None
    prompts: Annotated[int, Field(gt=0)] | None = None
    runs: Annotated[int, Field(gt=0)] | None = None

    @property
    def awaits_pin(self) -> bool:
        """Whether a source is named and hasn't been measured yet."""
        return self.from_ is not None and self.ranks is None

    @model_validator(mode="after")
    def _consistent(self) -> Baseline:
        problems = [*self._problems(), *self._pin_problems(), *self._data_set_problems()]
        if problems:
            raise Contradictions(problems)
        return self

    def _problems(self) -> Iterator[str]:
        if self.window is not None and self.window[0] >= self.window[1]:
            yield f"window ends on {self.window[1]}, which is not after its start {self.window[0]}"
        if self.treat_as == "contract" and self.value is None and not self.awaits_pin:
            yield "treat_as: contract makes the number itself the limit's base, so state value"
        if self.source in {Source.CONCURRENT_CONTROL, Source.OWN_TARGET}:
            stated = self.model_fields_set - {"source", "dataset", "prompts", "runs"}
            if stated:
                names = ", ".join(sorted(name.rstrip("_") for name in stated))
                yield f"source {self.source} has no rows of the past, so it takes no {names}"
        elif self.value is None and not self.awaits_pin:
            yield f"source {self.source} needs the value that was found"
        if self.source is Source.PRODUCTION_TELEMETRY:
            needed = ("where", "window") if self.awaits_pin else ("where", "window", "n")
            missing = [name for name in needed if getattr(self, name) is None]
            if missing:
                yield f"production telemetry is a figure from a query, so state its {', '.join(missing)}"

    def _pin_problems(self) -> Iterator[str]:
        if self.treat_as == "sample" and (self.from_ is None or self.published):
            yield (
                "treat_as: sample carries the uncertainty of rows, which a figure alone doesn't have: name a source "
                "of policies/sources.yml in from, and run `adr pin`; or state treat_as: contract"
            )
        if self.from_ is None:
            if self.ranks is not None:
                yield "ranks are what a pin found in a source: name it in from"
            return
        if self.source is not Source.PRODUCTION_TELEMETRY:
            yield f"from names a source of production rows, and the baseline's source is {self.source}"
        if self.published:
            yield "a published figure's rows aren't ours, so it is never run again: it takes no from"
        if self.awaits_pin and (self.value is None) != (self.n is None):
            yield "a pin writes value and n together: state both or neither"

    def _data_set_problems(self) -> Iterator[str]:
        stated = [name for name in _OF_A_DATA_SET if getattr(self, name) is not None]
        if not stated:
            return
        if self.source not in _SHOWN_ON_DATA_SETS:
            yield f"source {self.source} wasn't tried on a data set, so it takes no {', '.join(stated)}"
        if len(stated) < len(_OF_A_DATA_SET):
            yield "a data set is named with how it was run: state dataset, prompts and runs (of each prompt)"
        if self.n is not None and self.prompts is not None and self.runs is not None:
            made = self.prompts * self.runs
            if self.n != made:
                yield f"{self.prompts} prompts with {self.runs} runs of each are {made} runs, and n is {self.n}"
