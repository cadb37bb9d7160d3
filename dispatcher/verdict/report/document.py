"""A verdict as JSON: canonical, so that the same rows and the same moment give the same bytes."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from dispatcher.adr.criterion import Baseline
from dispatcher.adr.reader import block_text
from dispatcher.audit.record import Origin
from dispatcher.verdict.judgement.finding import Figures, Finding, Look
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.measured import Arm, Measurement

PERCENTILES = "nearest-rank"
"""The definition of every percentile here: the smallest value that at least that share of the values don't exceed."""

_DIGITS = 9
"""Decimals of a logarithm, and of a difference in US dollars; beyond them the arithmetic of two machines may differ."""


def as_json(verdicts: Sequence[Verdict]) -> str:
    """One object for one verdict, a list for several; sorted keys, no blanks but line breaks and indentation."""
    documents = [as_document(verdict) for verdict in verdicts]
    return json.dumps(
        documents[0] if len(documents) == 1 else documents,
        sort_keys=True,
        indent=2,
        ensure_ascii=False,
        allow_nan=False,
    )


def as_document(verdict: Verdict) -> dict[str, Any]:
    """A verdict as nested dicts, lists, strings and numbers; numbers are integers where they are whole."""
    epoch, looks = verdict.epoch, verdict.looks
    return {
        "record": verdict.record.id,
        "title": title_of(verdict),
        "origin": verdict.origin.value,
        "as_of": _moment(verdict.as_of),
        "start": None if epoch is None else _moment(epoch.start),
        "epoch": None if epoch is None else epoch.number,
        "verdict": verdict.outcome.value,
        "reasons": [reason.value for reason in verdict.reasons],
        "excluded": verdict.measurement.excluded,
        "findings": [_finding(finding, verdict) for finding in verdict.findings],
        "next_look": None if epoch is None else _moment(looks.at(looks.done + 1)),
        "percentiles": PERCENTILES,
        "hashes": _hashes(verdict),
        "assignment": {
            "kind": verdict.block.assignment.kind,
            "log_balance": _rounded(verdict.log_balance),
            "observational": is_observational(verdict),
        },
        "record_title": verdict.record.title,
        "criteria": block_text(verdict.record),
        "pinned": {ranks.sha256: ranks.text for _, ranks in sorted(verdict.pinned.items())},
        "arms": {arm.value: name for arm, name in verdict.names.items()},
    }


def _hashes(verdict: Verdict) -> dict[str, str]:
    """SHA-256 of the record's canonical block, of the statements, and of all that they returned."""
    statements = "\n".join(sql for _, sql in statements_of(verdict.measurement))
    return {
        "record": verdict.block.hash,
        "sql": hashlib.sha256(statements.encode()).hexdigest(),
        "rows": verdict.measurement.rows_hash,
    }


def statements_of(measurement: Measurement) -> Iterator[tuple[str, str]]:
    """Every statement that was run for a figure, with what it is of."""
    yield "counts and sums", measurement.sql
    if measurement.repriced_sql is not None:
        yield "adjusted costs", measurement.repriced_sql
    if measurement.distribution_sql is not None:
        yield "distributions", measurement.distribution_sql
    for criterion, sql in sorted(measurement.grid_sql.items()):
        yield f"thresholds of {criterion}", sql
    for criterion, sql in sorted(measurement.drift_sql.items()):
        yield f"tenants that stayed, of {criterion}", sql


def title_of(verdict: Verdict) -> str:
    """The record's title with the verdict; one without a draw, and rows that aren't production's, say so."""
    return f"{verdict.record.id} {verdict.record.title}: {verdict.outcome.value}{qualification_of(verdict)}"


def qualification_of(verdict: Verdict) -> str:
    """What has to be said with the verdict wherever it is named; empty for a draw among production's rows."""
    observational = ", observational" if is_observational(verdict) else ""
    rows = "" if verdict.origin is Origin.PRODUCTION else f", on {verdict.origin.value.upper()} rows"
    return observational + rows


def is_observational(verdict: Verdict) -> bool:
    """Whether the arms were set by tenant, without a draw."""
    return verdict.block.assignment.kind == "tenant_flag"


def number(value: Fraction | None) -> int | float | None:
    """A figure as JSON has it: whole numbers as integers."""
    if value is None:
        return None
    return value.numerator if value.denominator == 1 else float(value)


def _finding(finding: Finding, verdict: Verdict) -> dict[str, Any]:
    criterion, measurement = finding.criterion, verdict.measurement
    return {
        "id": criterion.id,
        "says": criterion.says,
        "severity": criterion.severity.value,
        "measure": criterion.measure.value,
        "aggregate": criterion.aggregate,
        "unit": criterion.measure.unit,
        "finding": finding.state.value,
        "reasons": [reason.value for reason in finding.reasons],
        "limit": number(finding.limit),
        "baseline": _baseline(criterion.baseline),
        **_figures(finding.entered[Arm.CANDIDATE]),
        "control": _figures(finding.entered[Arm.CONTROL]),
        "preview": {arm.value: _figures(figures) for arm, figures in finding.preview.items()},
        "alpha": finding.levels.to_pass,
        "alpha_fail": finding.levels.to_fail,
        "alpha_tenant": finding.levels.per_tenant,
        "looks": [_look(look) for look in finding.looks],
        "tenant_alarms": list(finding.tenants),
        "forecast": _forecast(finding),
        "drift": _drift(finding),
        "sql": measurement.sql,
        "distribution_sql": measurement.distribution_sql if criterion.quantile is not None else None,
        "grid_sql": measurement.grid_sql.get(criterion.id),
        "repriced_sql": measurement.repriced_sql if criterion.measure.is_money else None,
        "drift_sql": measurement.drift_sql.get(criterion.id),
    }


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "n": figures.n,
        "k": figures.k,
        "clusters": figures.clusters,
        "failed": figures.failed,
        "unknown": figures.unknown,
        "figure": number(figures.figure),
        "figure_successes": number(figures.figure_successes),
    }


def _drift(finding: Finding) -> dict[str, Any]:
    """What the weeks alone did to tenants that stayed with the control; logarithms are natural."""
    tenants = {
        each.tenant: {
            "n_before": each.n_before,
            "before": each.before,
            "n_since": each.n_since,
            "since": each.since,
            "log_e_slower": _rounded(each.log_e_slower),
            "log_e_faster": _rounded(each.log_e_faster),
        }
        for each in finding.drift
    }
    return {"tenants": tenants, "alpha": finding.levels.to_pass / len(tenants) if tenants else None}


def _look(look: Look) -> dict[str, Any]:
    document: dict[str, Any] = {"at": _moment(look.at), "n": look.n, "k": look.k, "clusters": look.clusters}
    names: tuple[str, ...] = ("log_e_pass", "log_e_fail", "log_detector")
    if look.k is None:
        names += ("difference", "half_width_pass", "half_width_fail")
    return document | {name: _rounded(getattr(look, name)) for name in names}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _baseline(baseline: Baseline | None) -> dict[str, Any] | None:
    if baseline is None:
        return None
    return {
        "source": baseline.source.value,
        "published": baseline.published,
        "n": baseline.n,
        "value": number(None if baseline.value is None else Fraction(baseline.value)),
        "window": None if baseline.window is None else [day.isoformat() for day in baseline.window],
        "treat_as": baseline.treat_as,
    }


def _forecast(finding: Finding) -> dict[str, Any] | None:
    if finding.forecast is None:
        return None
    forecast = finding.forecast
    earliest = None if forecast.earliest is None else _moment(forecast.earliest)
    return {"more_clusters": forecast.more, "weeks": forecast.weeks, "earliest": earliest}


def _moment(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat()
