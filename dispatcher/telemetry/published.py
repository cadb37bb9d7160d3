"""The published figures beside a record: quoted single numbers, without rows behind them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from dispatcher.action.decision import PathName
from dispatcher.action.observation import Status
from dispatcher.document.notation import Contradictions, Date, Number, Strict, as_tuple
from dispatcher.document.reading import read_document
from dispatcher.errors import InvalidRecord
from dispatcher.telemetry.distribution import DistributionRow, Times

_Text = Annotated[str, Field(min_length=1)]
_Milliseconds = Annotated[int, Field(gt=0)]
_Count = Annotated[int, Field(ge=0)]
_Path = Annotated[PathName, Field(strict=False)]


class Figures(Strict):
    """A published distribution of wall times, in milliseconds."""

    min: _Milliseconds
    p50: _Milliseconds
    p90: _Milliseconds
    p95: _Milliseconds
    max: _Milliseconds
    avg: Annotated[Number, Field(gt=0)]

    @model_validator(mode="after")
    def _in_order(self) -> Figures:
        figures = (self.min, self.p50, self.p90, self.p95, self.max)
        if list(figures) != sorted(figures) or not self.min <= self.avg <= self.max:
            raise Contradictions(["a distribution's figures rise from min to max, and its avg lies between these two"])
        return self


class Production(Strict):
    """What production telemetry showed, and of which rows; `percentile_method` is None where the source is silent."""

    path: _Path
    feature: _Text
    status: Annotated[Status, Field(strict=False)]
    tenant: _Text
    window: Annotated[tuple[Date, Date], BeforeValidator(as_tuple)]
    n: Annotated[int, Field(gt=0)]
    percentile_method: _Text | None
    response_time_ms: Figures
    source: _Text


class Run(Strict):
    """One published run: a data point, not a distribution. What the source doesn't state is None."""

    label: _Text
    kind: Literal["spike", "smoke"]
    path: _Path
    model: _Text | None
    response_time_ms: _Milliseconds
    iterations: Annotated[int, Field(gt=0)] | None
    output_chars: _Count | None
    tool_calls: _Count | None
    input_tokens: _Count | None
    source: _Text


class Published(Strict):
    """The published figures of one record."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    record: _Text
    production: Production
    runs: Annotated[tuple[Run, ...], BeforeValidator(as_tuple), Field(min_length=1)]

    @field_validator("runs")
    @classmethod
    def _labels_are_unique(cls, runs: tuple[Run, ...]) -> tuple[Run, ...]:
        if len({run.label for run in runs}) < len(runs):
            raise ValueError("two runs have the same label")
        return runs


def read_published(directory: Path, record: str) -> Published:
    """The figures in `<record>-published.yml`. Raises InvalidRecord with every problem and its line."""
    path = directory / f"{record}-published.yml"
    published = read_document(path, Published, InvalidRecord, typed=True)
    if published.record != record:
        raise InvalidRecord(str(path), [f"holds the figures of {published.record}, not of {record}"])
    return published


def published_table(published: Published) -> tuple[DistributionRow, ...]:
    """The published figures in the columns of a measured distribution, to be shown beside one."""
    production, figures = published.production, published.production.response_time_ms
    return (
        DistributionRow(
            group=production.path.value,
            status=production.status.value,
            n=production.n,
            unmeasured=None,
            times=Times(
                min=figures.min,
                p50=figures.p50,
                p90=figures.p90,
                p95=figures.p95,
                max=figures.max,
                avg=Fraction(figures.avg),
            ),
            time_scales=(1.0,),
        ),
    )
