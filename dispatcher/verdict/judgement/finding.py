"""One criterion judged: the values, complete at birth."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.measured import Arm


class State(StrEnum):
    """What was found of a criterion."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"


class Reason(StrEnum):
    """Why a finding isn't a pass or a fail, or a verdict not SHIP or ROLLBACK; closed, in the order of reports."""

    NOT_REGISTERED = "not_registered"
    NO_DATA = "no_data"
    NEEDS_TIME = "needs_time"
    THIN_DATA = "thin_data"
    NEAR_MARGIN = "near_margin"
    GUARD_ALARM = "guard_alarm"
    TENANT_ALARM = "tenant_alarm"
    UNKNOWN_SHARE = "unknown_share"
    LEFT_OUT_SHARE = "left_out_share"
    TIME_SCALED = "time_scaled"
    ASSIGNMENT_NOT_COMPARABLE = "assignment_not_comparable"
    CONTROL_CHANGED = "control_changed"
    UNDECIDABLE_AT_TRAFFIC = "undecidable_at_traffic"
    UNDECIDED_AT_HORIZON = "undecided_at_horizon"
    LATE_ALARM = "late_alarm"
    NO_GATES = "no_gates"
    RECORD_CHANGED = "record_changed"
    BASELINE_NOT_REPRODUCIBLE = "baseline_not_reproducible"
    HISTORY_CHANGED = "history_changed"
    LOG_GAP = "log_gap"
    NOT_JUDGEABLE = "not_judgeable"
    VARIANT_NOT_AS_ROUTED = "variant_not_as_routed"
    SAMPLE_RATIO_MISMATCH = "sample_ratio_mismatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The part of alpha that each claim may spend: a pass all of the epoch's, a fail its share among those that could
    fail as well, an alarm of one tenant its share among the tenants.
    """

    to_pass: float
    to_fail: float
    per_tenant: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The evidence at one look: of a share as two e-processes, of a mean as a difference and its two half-widths.

    `k` counts the dispatches above the limit as the pass side sees them; of a percentile against another, above the
    multiple of what that one is found to be so far. Logarithms are natural. A difference without half-widths is one of
    costs that don't vary. `log_detector` watches what came after a pass.
    """

    at: dt.datetime
    n: int
    k: int | None
    clusters: int
    log_e_pass: float | None = None
    log_e_fail: float | None = None
    log_detector: float | None = None
    difference: float | None = None
    half_width_pass: float | None = None
    half_width_fail: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One arm in numbers. `figure` is in the measure's unit, None where there is none; `figure_successes` is the same
    over successes only, as a query that reads no failures would have it. A mean is weighted by the strata that the
    judgement compares, or, while there are none, by tenant.
    """

    n: int
    clusters: int
    k: int | None
    failed: int
    unknown: int
    figure: Fraction | None
    figure_successes: Fraction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What would decide: so many more clusters of the candidate (of either arm, for a mean), none above the limit.

    Where `alike` is set they are like those so far instead, in both arms. `weeks` is how long they take at the record's
    own traffic, or, where they are alike, at the traffic so far; `earliest` the look that could then decide, None where
    the record isn't registered or its horizon comes first.
    """

    more: int
    weeks: int
    earliest: dt.datetime | None
    alike: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What the weeks alone did to a tenant that stayed with the control: its percentile before, and since the start.

    In the measure's unit, by its bucket; None where it is a failure or there is none. The logarithms are natural, of
    the evidence that it has become slower, at the last look, or faster, the most that any look had.
    """

    tenant: str
    n_before: int
    before: int | None
    n_since: int
    since: int | None
    log_e_slower: float
    log_e_faster: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One criterion judged. `entered` is what the looks took in, `preview` everything up to the moment of the verdict.

    `limit` is in the measure's unit. `failed_once` says that the fail side reached its threshold at some look, whatever
    came later. `tenants` are those with an alarm of their own. `forecast` is None of a guard, which needn't be decided.
    `drift` is what is known of tenants that stayed with the control.
    """

    criterion: Criterion
    state: State
    reasons: tuple[Reason, ...]
    limit: Fraction | None
    levels: Levels
    failed_once: bool = False
    entered: Mapping[Arm, Figures]
    preview: Mapping[Arm, Figures]
    looks: tuple[Look, ...] = ()
    tenants: tuple[str, ...] = ()
    forecast: Forecast | None = None
    drift: tuple[Drift, ...] = ()
