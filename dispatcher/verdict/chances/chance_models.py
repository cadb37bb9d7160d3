"""Which way a criterion's chances are computed. Pure."""

from __future__ import annotations

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.document import Acceptance
from dispatcher.adr.ranks import PinnedRanks
from dispatcher.verdict.chances.chance_model import Model
from dispatcher.verdict.chances.comparison_chances import MeanModel, RatesModel, SampledModel
from dispatcher.verdict.chances.share_chances import ShareModel


def model_of(criterion: Criterion, block: Acceptance, ranks: PinnedRanks | None = None, *, times: float = 1.0) -> Model:
    """The model of a criterion's evidence, at the record's traffic or a multiple of it."""
    sampled = criterion.baseline is not None and criterion.baseline.treat_as == "sample"
    if criterion.aggregate == "mean":
        return MeanModel(criterion, block, ranks, times)
    if criterion.quantile is not None and (sampled or criterion.bound.times_control is not None):
        return SampledModel(criterion, block, ranks, times)
    if criterion.bound.times_control is not None:
        return RatesModel(criterion, block, ranks, times)
    return ShareModel(criterion, block, ranks, times)
