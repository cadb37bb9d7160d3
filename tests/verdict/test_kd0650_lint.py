"""What the command line says of KD-0650 with the criterion that its source document had."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dispatcher.cli import run

PROJECT = Path(__file__).parents[2]
ORIGINAL = "p95 wall time stays ≤ 1.5× current ResearchAction"
SAYS = "p95 wall time stays at or below 1.5 × current production, 28036 ms over 36 calls, that is 42054 ms"
SPIKE = "    baseline: {source: spike, n: 1, value: 483000, treat_as: contract}\n"
Linted = Callable[[str], tuple[int, str]]


@pytest.fixture
def linted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Linted:
    """`linted(baseline)`: exit code and words of `adr lint` on AC-7 as it was first written, with this baseline."""
    for folder in ("adrs", "policies"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    [record] = (tmp_path / "adrs").glob("KD-0650-*.md")
    text = record.read_text().replace(SAYS, f"'{ORIGINAL}'")
    head, _, rest = text.partition("- **AC-7** p95")
    prose, _, rest = rest.partition("- **AC-V**")
    text = f"{head}- **AC-7** {ORIGINAL}.\n- **AC-V**{rest}"
    head, _, rest = text.partition("    baseline:\n      source: production-telemetry\n")
    _, _, rest = rest.partition("  - id: AC-V")
    assert prose
    assert rest

    def lint(baseline: str) -> tuple[int, str]:
        record.write_text(f"{head}{baseline}  - id: AC-V{rest}")
        code = run(["adr", "lint", "KD-0650"])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return lint


def test_the_first_wording_is_refused_since_it_names_no_measurement(linted: Linted) -> None:
    code, said = linted("")

    assert code == 2
    assert "times_baseline is a multiple of something measured" in said


def test_pinned_against_the_spike_of_483_s_it_is_refused_as_vacuous(linted: Linted) -> None:
    """Of the candidate that the record has today, which is given 180 s: nothing can break 724 500 ms."""
    code, said = linted(SPIKE)

    assert code == 2
    assert "AC-7: is vacuous: no success can take 724500 ms" in said
    assert "AC-7: a latency criterion on a single datapoint" in said
    assert "AC-7: says speaks of a multiple of 'current', and its baseline is a spike" in said
