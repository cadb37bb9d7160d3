"""Pinned order statistics are read back as they were written, and never after a change."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adr.baseline import Ranks
from dispatcher.adr.ranks import PinnedRanks, read_ranks
from dispatcher.errors import InvalidRecord

TIMES = PinnedRanks(histogram={3451: 1, 18703: 2, 28036: 2, 32214: 1}, failures=1)


def written(directory: Path, ranks: PinnedRanks, text: str | None = None) -> Ranks:
    (directory / "x.ranks.csv").write_text(ranks.text if text is None else text)
    return Ranks(file="x.ranks.csv", sha256=ranks.sha256)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    assert read_ranks(tmp_path, written(tmp_path, TIMES)) == TIMES


@given(st.dictionaries(st.integers(0, 10**15), st.integers(1, 10**6)), st.integers(0, 100))
def test_any_histogram_survives(tmp_path_factory: pytest.TempPathFactory, counts: dict[int, int], failed: int) -> None:
    directory = tmp_path_factory.mktemp("ranks")
    ranks = PinnedRanks(histogram=counts, failures=failed)

    found = read_ranks(directory, written(directory, ranks))

    assert (found.histogram, found.failures, found.n) == (ranks.histogram, failed, ranks.n)


def test_failures_lie_above_every_value() -> None:
    assert [TIMES.at_rank(rank) for rank in (1, 2, 3, 4, 6, 7)] == [3451, 18703, 18703, 28036, 32214, None]
    assert [TIMES.above(limit) for limit in (0, 18703, 32213, 40000)] == [7, 4, 2, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TIMES.text + "40000,1\n", "it was changed"),
        (None, "can't be read: No such file or directory; `adr pin` writes it"),
    ],
)
def test_a_changed_or_missing_file_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    ranks = written(tmp_path, TIMES, text)
    if text is None:
        (tmp_path / ranks.file).unlink()

    with pytest.raises(InvalidRecord, match=said.split(":", maxsplit=1)[0]):
        read_ranks(tmp_path, ranks)


@pytest.mark.parametrize(
    "text",
    ["", "value\n1,1\n", "value,rows\n2,1\n1,1\n", "value,rows\n1,0\n", "value,rows\n1.5,1\n",
     "value,rows\n1,1\nfailed,1\n", "value,rows\n-1,1\n", "value,rows\n\u0661,1\n", "value,rows\n" + "9" * 40 + ",1\n"],
)  # fmt: skip
def test_what_is_no_histogram_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    import hashlib  # noqa: PLC0415 - one hash of a text that no pin would write

    (tmp_path / "x.ranks.csv").write_text(text)
    ranks = Ranks(file="x.ranks.csv", sha256=hashlib.sha256(text.encode()).hexdigest())

    with pytest.raises(InvalidRecord, match="line "):
        read_ranks(tmp_path, ranks)
