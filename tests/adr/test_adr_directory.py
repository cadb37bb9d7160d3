"""A directory of records is read whole: the readable ones, and each of the others with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.adr.reader import find_record, read_records
from dispatcher.errors import InvalidRecord


def test_records_are_sorted_and_the_unreadable_ones_stand_beside_them(tmp_path: Path, sample: str) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).write_text(text)

    write("KD-0650-a.md", sample)
    write("KD-0649-b.md", sample.replace("id: KD-0650", "id: KD-0649"))
    write("KD-0700-c.md", sample.replace("id: KD-0650", "id: KD-0700"))
    write("KD-0700-d.md", sample.replace("id: KD-0650", "id: KD-0700"))
    write("KD-0800-e.md", "no record")
    write("notes.txt", "not looked at")

    records, errors = read_records(tmp_path)

    assert [record.id for record in records] == ["KD-0649", "KD-0650"]
    assert [error.subject for error in errors] == ["KD-0800-e.md", "KD-0700-c.md", "KD-0700-d.md"]
    assert errors[1].problems == ("KD-0700-c.md, KD-0700-d.md all have the id KD-0700",)
    assert find_record(tmp_path, "KD-0649").id == "KD-0649"


@pytest.mark.parametrize(
    ("name", "said"),
    [("KD-0800", "front matter is missing"), ("KD-065", "the readable ones are: KD-0650"), ("../x", "no such record")],
)
def test_a_record_that_is_not_there_or_not_readable_is_one_clear_error(
    tmp_path: Path, sample: str, name: str, said: str
) -> None:
    (tmp_path / "KD-0650-a.md").write_text(sample)
    (tmp_path / "KD-0800-e.md").write_text("no record")

    with pytest.raises(InvalidRecord, match=said):
        find_record(tmp_path, name)


def test_a_missing_directory_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecord, match="DISPATCHER_ADRS_DIR"):
        read_records(tmp_path / "nowhere")


def test_a_file_that_cannot_be_opened_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "KD-0001-a.md").mkdir()

    records, errors = read_records(tmp_path)

    assert records == []
    assert [str(error) for error in errors] == ["KD-0001-a.md: can't be read: Is a directory"]
