"""What git's listing says there is to read, whatever the names in it look like and however its bytes arrive."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.repository.inventory import MAX_FILE_BYTES, MAX_FILES, LargeFiles, TooManyFiles, paths_of_tree

KINDS = ["100644 blob", "100755 blob", "120000 blob", "160000 commit"]
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12) | (
    st.sampled_from(["x\n100644 blob a 9999999\ty", "100644 blob a       5\tz", " ", "\t", "é", "a/b"])
)
records = st.tuples(st.sampled_from(KINDS), st.sampled_from([0, 5, MAX_FILE_BYTES, MAX_FILE_BYTES + 1, 10**10]), names)


def listing(entries: list[tuple[str, int, str]]) -> bytes:
    sized = [(kind, "-" if "commit" in kind else str(size), name) for kind, size, name in entries]
    return b"".join(f"{kind} {'a' * 40} {size:>7}\t{name}\0".encode() for kind, size, name in sized)


@given(st.lists(records, max_size=8))
def test_the_files_are_the_regular_ones_that_are_small_and_can_be_shown(entries: list[tuple[str, int, str]]) -> None:
    expected = [
        name for kind, size, name in entries if kind.startswith("100") and size <= MAX_FILE_BYTES and name.isprintable()
    ]

    assert paths_of_tree(listing(entries)) == sorted(expected)


@given(st.lists(records, max_size=8), st.lists(st.integers(0, 600), max_size=6))
def test_large_files_are_found_however_the_listing_is_cut(entries: list[tuple[str, int, str]], cuts: list[int]) -> None:
    output, large = listing(entries), LargeFiles()
    ends = sorted({min(cut, len(output)) for cut in cuts} | {len(output)})
    for start, end in zip([0, *ends], ends, strict=False):
        assert large.feed(output[start:end])

    assert large.paths == [n for kind, size, n in entries if "blob" in kind and size > MAX_FILE_BYTES]


def test_a_missing_content_is_an_error() -> None:
    output = f"100644 blob {'a' * 40}     BAD\tx\0".encode()
    with pytest.raises(RepositoryUnusable, match="missing"):
        paths_of_tree(output)
    with pytest.raises(RepositoryUnusable, match="missing"):
        LargeFiles().feed(output)


def test_there_is_an_end_to_what_is_listed() -> None:
    one = b"100644 blob " + b"a" * 40 + b"       5\t" + os.fsencode("x") + b"\0"
    with pytest.raises(TooManyFiles):
        paths_of_tree(one * (MAX_FILES + 1))
