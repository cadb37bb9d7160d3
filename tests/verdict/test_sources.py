"""`policies/sources.yml` says where baselines are measured, or is refused with everything that is wrong with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dispatcher.errors import InvalidPolicy
from dispatcher.verdict.pinning.sources import read_sources

POLICIES = Path(__file__).parents[2] / "policies"
GOOD = """schema: 1
sources:
  tracker:
    url: TRACKER_URL
    table: ai_outbound_logs
    tenant: script
    authorised_by: J. Doe
    success: [success]
    columns:
      created_at: created_at
      feature: feature
      status: status
      response_time_ms: {column: response_time_ms, unit: ms}
"""


def problems(directory: Path, text: str) -> list[str]:
    (directory / "sources.yml").write_text(text)
    with pytest.raises(InvalidPolicy) as caught:
        read_sources(directory)
    return list(caught.value.problems)


def test_the_sources_of_this_checkout_can_be_read(tmp_path: Path) -> None:
    shutil.copy(POLICIES / "sources.yml", tmp_path)

    assert read_sources(tmp_path)["own-log"].columns.cost is not None


def test_without_a_file_there_are_no_sources(tmp_path: Path) -> None:
    assert read_sources(tmp_path) == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("url: TRACKER_URL", "url: mysql+pymysql://root:secret@host/db", "name the environment variable that holds it"),
        ("    tenant: script\n", "", "state whose rows these are: either tenant, or the column tenant"),
        ("      feature: feature\n", "", "state which feature's rows these are"),
        ("unit: ms", "unit: usd", "the unit of response_time_ms is one of ms, s, us, not usd"),
        (", unit: ms", "", "the unit of response_time_ms is one of ms, s, us, not none"),
        ("unit: ms}", "unit: ms, zero_is_unknown: true}", "zero_is_unknown goes with money"),
        ("      response_time_ms: {column: response_time_ms, unit: ms}\n", "", "columns maps no measure"),
        ("    authorised_by: J. Doe\n", "", "authorised_by: is missing"),
        ("table: ai_outbound_logs", "table: logs; DROP TABLE logs", "is not of the form"),
        ("success: [success]", "success: []", "is empty"),
        ("tenant: script", "tenant: script\n    zone: Mars/Base", "is not a time zone"),
        ("      status: status", "      status: status\n      latency: x", "is not a known key"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new))

    assert any(said in problem for problem in found), found
    assert not any("secret" in problem for problem in found)


def test_everything_comes_at_once_with_its_line(tmp_path: Path) -> None:
    text = GOOD.replace("    authorised_by: J. Doe\n", "").replace("schema: 1", "schema: 2").replace("table:", "tabel:")

    assert [problem.partition(":")[0] for problem in problems(tmp_path, text)] == [
        "line 1",
        "line 3",
        "line 3",
        "line 5",
    ]
