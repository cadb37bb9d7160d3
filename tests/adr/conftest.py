from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

# A frozen clock replaces datetime.date, of which pydantic can't build a model: what has dates in it is imported before.
import dispatcher.prices  # noqa: F401
from dispatcher.adr.document import Record
from dispatcher.adr.reader import parse_record, read_records
from dispatcher.adr.surroundings import Surroundings
from dispatcher.errors import InvalidRecord

PROJECT = Path(__file__).parents[2]
ADRS = PROJECT / "adrs"
POLICIES = PROJECT / "policies"
SAMPLE = ADRS / "KD-0650-migrate-research-to-managed-agents.md"


@pytest.fixture(scope="session")
def adrs() -> Path:
    return ADRS


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the records and the policies, where the command line runs; there is no log yet."""
    for room in (ADRS, POLICIES):
        shutil.copytree(room, tmp_path / room.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def sample() -> str:
    """The text of KD-0650, which tests edit."""
    return SAMPLE.read_text()


@pytest.fixture(scope="session")
def edited(sample: str) -> Callable[..., str]:
    """`edited((old, new), …)`: the text of KD-0650 with these edits; every `old` must be there."""

    def edit(*edits: tuple[str, str]) -> str:
        text = sample
        for old, new in edits:
            assert old in text, f"{old!r} is not in the sample"
            text = text.replace(old, new)
        return text

    return edit


@pytest.fixture(scope="session")
def read() -> Callable[[str | bytes], Record]:
    """Reads a text as the record KD-0650."""

    def parse(text: str | bytes) -> Record:
        return parse_record(text.encode() if isinstance(text, str) else text, SAMPLE)

    return parse


@pytest.fixture(scope="session")
def problems_of(read: Callable[[str | bytes], Record]) -> Callable[[str | bytes], list[str]]:
    """What is wrong with a text; empty where it reads."""

    def problems(text: str | bytes) -> list[str]:
        try:
            read(text)
        except InvalidRecord as error:
            return list(error.problems)
        return []

    return problems


@pytest.fixture(scope="session")
def around() -> Surroundings:
    """The records of this checkout and its policies' deadlines; a log without rows."""
    return surroundings()


def surroundings() -> Surroundings:
    """What a record of this checkout is linted against."""
    records, _ = read_records(ADRS)
    return Surroundings(
        deadlines={
            "legacy": dt.timedelta(seconds=300),
            "managed-sonnet-4-6": dt.timedelta(seconds=300),
            "managed-haiku-4-5-cap8": dt.timedelta(seconds=180),
        },
        grace=dt.timedelta(seconds=60),
        records={record.id: record for record in records},
        log_was_read=True,
    )
