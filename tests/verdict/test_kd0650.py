"""KD-0650 end to end on real parts: 36 dispatches a month, two thirds drawn to the candidate, judged by the record.

The same over six months, with the simulator's own waits, is `scripts/kd0650`. Here it answers at once, in real time, so
what is judged are the counts, the limit and the words, and not how fast anybody is.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from dispatcher.cli import run
from dispatcher.settings import Settings
from dispatcher.simulator.profiles import BUILT_IN
from dispatcher.simulator.server import Simulator

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from kd0650 import A_MONTH, made, managed_variants, simulated

START = dt.datetime(2026, 6, 1, 8, 0, tzinfo=dt.UTC)
SIX_WEEKS_LATER = START + dt.timedelta(weeks=6)
CANDIDATE, OTHER = managed_variants()
DISPATCHES = {CANDIDATE: A_MONTH, OTHER: A_MONTH // 4}
Shown = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def at_once(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A provider in real time whose models, tools and containers take no time, and whose models ask for little."""
    profiles = tmp_path_factory.mktemp("at-once") / "profiles.yml"
    quick = re.sub(r"\b(\w*ms|per_\w+_ms|per_output_token_ms): \d+", r"\1: 0", BUILT_IN.read_text())
    profiles.write_text(re.sub(r"(fewest|most)_requests: \d+", r"\1_requests: 3", quick))
    with Simulator(simulated(checkout, 1.0, profiles=profiles)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def month(at_once: Simulator, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Settings]:
    """`month(variant)`: settings of a log with dispatches drawn to a variant after the registration: the candidate's
    month, and of another variant a quarter of one.
    """
    logs: dict[str, Settings] = {}

    def of(variant: str) -> Settings:
        if variant not in logs:
            folder = tmp_path_factory.mktemp(variant)
            # Few at once, so that on a busy machine none is slow for want of a processor.
            logs[variant] = made(folder, variant, at_once, DISPATCHES[variant], checkout, START, concurrent=4)
        return logs[variant]

    return of


@pytest.fixture
def shown(
    month: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shown:
    """`shown(variant, *options)`: the verdict on that variant's month, six weeks after the clock was started."""

    def verdict(variant: str, *options: str) -> dict[str, Any]:
        settings = month(variant)
        monkeypatch.setenv("DISPATCHER_DATABASE_URL", settings.database_url.get_secret_value())
        monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(settings.adrs_dir))
        monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(settings.policies_dir))
        capsys.readouterr()
        with freeze_time(SIX_WEEKS_LATER):
            code = run(["verdict", "KD-0650", "--origin", "simulated", "--json", "--gate", *options])
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document | {"code": code}

    return verdict


def ac_7(document: dict[str, Any]) -> dict[str, Any]:
    [finding] = [each for each in document["findings"] if each["id"] == "AC-7"]
    return dict(finding)


def test_two_thirds_of_36_dispatches_a_month_are_drawn_to_the_candidate(shown: Shown) -> None:
    """By the conversation's id, so the very same ones every time."""
    document = shown(CANDIDATE)
    arms = ac_7(document)["preview"]

    assert (arms["candidate"]["n"], arms["control"]["n"]) == (25, 11)
    assert document["excluded"] == {}


def test_ac_7_is_held_against_the_published_baseline_of_36_calls(shown: Shown) -> None:
    finding = ac_7(shown(CANDIDATE))
    baseline = finding["baseline"]

    assert (finding["limit"], baseline["value"], baseline["n"]) == (42_054, 28_036, 36)
    assert (baseline["source"], baseline["published"]) == ("production-telemetry", True)


def test_a_month_without_a_slow_call_is_too_thin_and_says_how_many_more_decide(shown: Shown) -> None:
    """84 calls without one above the limit pass in the first epoch, and these are 25 of them: 59 more."""
    document = shown(CANDIDATE)
    finding = ac_7(document)

    assert (document["verdict"], document["code"]) == ("HOLD", 3)
    assert "SIMULATED" in document["title"]
    assert (finding["finding"], finding["n"], finding["k"]) == ("inconclusive", 25, 0)
    assert finding["forecast"]["more_clusters"] == 84 - 25


@pytest.mark.parametrize("variant", [CANDIDATE, OTHER])
def test_each_registered_managed_variant_is_shown_by_the_same_criteria(shown: Shown, variant: str) -> None:
    """Shown is not judged: whatever its figures are, nothing follows from them."""
    document = shown(variant, "--candidate", variant)
    finding = ac_7(document)

    assert (document["verdict"], document["code"]) == ("HOLD", 3)
    assert "not_registered" in document["reasons"]
    arms = finding["preview"]

    assert (finding["limit"], arms["candidate"]["n"] + arms["control"]["n"]) == (42_054, DISPATCHES[variant])
    assert finding["n"] == arms["candidate"]["n"] > arms["control"]["n"] > 0
    assert [each["id"] for each in document["findings"]] == ["AC-6", "AC-7", "AC-V"]


def test_what_was_drawn_to_another_variant_is_no_evidence_for_the_candidate(shown: Shown) -> None:
    document = shown(OTHER)
    drawn = ac_7(shown(OTHER, "--candidate", OTHER))["n"]

    assert document["verdict"] == "HOLD"
    assert ac_7(document)["preview"]["candidate"]["n"] == 0
    assert document["excluded"]["other"] == {"other_variant": drawn}
