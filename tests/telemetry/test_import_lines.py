"""A CSV file is read as it stands, and what can't be read is named by its line."""

import gzip

import pytest

from dispatcher.errors import InvalidImport
from dispatcher.telemetry.importer import open_lines


def _lines(path, needed=("id", "tokens")):
    with open_lines(path, needed) as lines:
        return [tuple(line) for line in lines]


def _refusal(path, needed=("id", "tokens")):
    with pytest.raises(InvalidImport) as refused:
        _lines(path, needed)
    return str(refused.value)


@pytest.fixture
def write(tmp_path):
    def file(content: bytes, name: str = "file.csv"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return file


def test_cells_come_in_the_order_that_was_asked_for(write):
    assert _lines(write(b"tokens,x,id\n7,-,a\n")) == [(2, ("a", "7"), None)]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_cells(write):
    assert _lines(write(b"\xef\xbb\xbfid,tokens\r\na,7\r\nb,8\r\n")) == [(2, ("a", "7"), None), (3, ("b", "8"), None)]


def test_a_quoted_newline_is_part_of_its_cell_and_the_line_number_is_where_the_record_begins(write):
    found = _lines(write(b'id,tokens\n"a\nb",7\n"c,""d""",8\n'))

    assert found == [(2, ("a\nb", "7"), None), (4, ('c,"d"', "8"), None)]


def test_blank_lines_are_no_lines_and_keep_the_count(write):
    assert _lines(write(b"id,tokens\n\na,7\n\n")) == [(3, ("a", "7"), None)]


def test_a_last_line_without_its_line_end_is_a_line(write):
    assert _lines(write(b"id,tokens\na,7")) == [(2, ("a", "7"), None)]


def test_a_header_without_lines_is_a_file_without_lines(write):
    assert _lines(write(b"id,tokens\n")) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"a", "has 1 fields, the header 2"),
        (b"a,7,8", "has 3 fields, the header 2"),
        (b"a\x00,7", "holds a NUL byte"),
        (b"\xff,7", "is not UTF-8"),
    ],
)
def test_a_bad_line_is_named_and_the_reading_goes_on(write, line, problem):
    found = _lines(write(b"id,tokens\n" + line + b"\nb,8\n"))

    assert [(2, problem), (3, None)] == [(number, why) for number, _, why in found]


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        (b'"a,7\nb,8\n', "unexpected end of data; nothing from here on was read"),
        (b'"a"b,7\nc,8\n', "',' expected after '\"'; nothing from here on was read"),
        (b"a" * 200_000 + b",7\n", "field larger than field limit (131072); nothing from here on was read"),
        (b"a," * 600_000 + b"7\n", "is longer than 1000000 characters; nothing from here on was read"),
    ],
)
def test_where_lines_can_not_be_told_apart_the_reading_stops_and_says_so(write, rest, problem):
    assert _lines(write(b"id,tokens\n" + rest)) == [(2, (), problem)]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "has no header: the first line names the columns"),
        (b"\n", "has no header"),
        (b"id,tokens,id\n", "the header names the column 'id' 2 times"),
        (b"id,token\n", "has no column 'tokens'; is it 'token'?"),
        (b"a,b\n", "the columns it has are 'a', 'b'"),
        (b"id,\x00\n", "the header holds a NUL byte"),
        (b"id,\xff\n", "the header is not UTF-8"),
        (b'"id\n', "the header can't be read: unexpected end of data"),
    ],
)
def test_a_header_that_can_not_be_used_is_one_clear_error(write, content, problem):
    assert problem in _refusal(write(content))


def test_all_missing_columns_are_named_at_once(write):
    text = _refusal(write(b"a,b\n"))

    assert "'id'" in text
    assert "'tokens'" in text


def test_columns_that_are_not_needed_may_be_nameless(write):
    assert _lines(write(b"id,,tokens,\na,1,7,2\n")) == [(2, ("a", "7"), None)]


def test_a_compressed_file_is_read_like_a_plain_one(write):
    assert _lines(write(gzip.compress(b"id,tokens\na,7\n"), "file.csv.gz")) == [(2, ("a", "7"), None)]


def test_a_file_that_only_calls_itself_gzip_is_refused(write):
    assert "is not gzip, although its name ends in .gz" in _refusal(write(b"id,tokens\na,7\n", "file.csv.gz"))


def test_an_empty_compressed_file_has_no_header(write):
    assert "has no header" in _refusal(write(b"", "file.csv.gz"))


def test_a_truncated_compressed_file_is_a_bad_line_and_not_a_short_file(write):
    whole = gzip.compress(b"id,tokens\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(20_000)))
    *_, (number, _, problem) = _lines(write(whole[: len(whole) // 2], "file.csv.gz"))

    assert number > 2
    assert "nothing from here on was read" in problem


def test_a_damaged_compressed_file_is_a_bad_line(write):
    whole = bytearray(gzip.compress(b"id,tokens\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(20_000))))
    whole[-8] ^= 0xFF  # the checksum
    *_, (_, _, problem) = _lines(write(bytes(whole), "file.csv.gz"))

    assert "CRC check failed" in problem


@pytest.mark.parametrize("name", ["file.xlsx", "file.csv.bz2", "file"])
def test_other_kinds_of_file_are_refused_by_name(write, name):
    assert "is neither .csv, .csv.gz nor .parquet" in _refusal(write(b"id,tokens\n", name))


def test_a_missing_file_and_a_directory_are_one_clear_error(tmp_path):
    (tmp_path / "folder.csv").mkdir()

    assert "can't be read: No such file or directory" in _refusal(tmp_path / "missing.csv")
    assert "can't be read: Is a directory" in _refusal(tmp_path / "folder.csv")


def test_what_is_done_grows_to_one(write):
    path = write(b"id,tokens\n" + b"a,7\n" * 50_000)

    with open_lines(path, ["id"]) as lines:
        seen = [lines.done() for _ in lines]

    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] == 1.0
