"""The tools' globs: the same language for listing and, through git, for searching."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths_world import git, write_files

from dispatcher.paths.repository.globs import parse_glob
from dispatcher.paths.repository.ripgrep import ripgrep_command

PATHS = [
    "a",
    "a.py",
    "b.txt",
    "src/a.py",
    "src/a/a.py",
    "src/a/b/c.py",
    "src/[id]/page.tsx",
    "src/.hidden/x",
    "back\\slash",
    "lib/a.py/a",
]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.py", ["a.py", "src/a.py", "src/a/a.py", "src/a/b/c.py"]),
        ("a.py", ["a.py", "src/a.py", "src/a/a.py", "lib/a.py/a"]),
        ("src", [path for path in PATHS if path.startswith("src/")]),
        ("src/", [path for path in PATHS if path.startswith("src/")]),
        ("src/*.py", ["src/a.py"]),
        ("src/**/*.py", ["src/a.py", "src/a/a.py", "src/a/b/c.py"]),
        ("./src/a/", ["src/a/a.py", "src/a/b/c.py"]),
        ("src/a", ["src/a/a.py", "src/a/b/c.py"]),
        ("**/a", ["a", "src/a/a.py", "src/a/b/c.py", "lib/a.py/a"]),
        ("?.py", ["a.py", "src/a.py", "src/a/a.py", "src/a/b/c.py"]),
        ("src/[id]/*", ["src/[id]/page.tsx"]),
        ("**", PATHS),
        (".", PATHS),
        ("nothing", []),
    ],
)
def test_a_glob_means_what_a_reader_expects(glob: str, expected: list[str]) -> None:
    """A pattern with a wildcard fits files only; a plain name fits a directory as well."""
    parsed = parse_glob(glob)

    assert [path for path in PATHS if parsed.matches(path)] == expected


@pytest.mark.parametrize("glob", ["", "/etc/passwd", "../x", "src/../../x", "a\0b", "a\nb", "x" * 501])
def test_a_glob_that_leads_out_or_cannot_be_shown_is_refused(glob: str) -> None:
    with pytest.raises(ValueError, match="path_glob"):
        parse_glob(glob)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("globs")
    git(root, "init", "--quiet")
    write_files(
        root,
        dict.fromkeys(["a/a", "ab/ba", "a/b/a", "b/a/b/a", "b.a", "a[a]/b", "aa", "!a", "#b", "a b/ ", "{a,b}"], "x"),
    )
    git(root, "add", "--all")
    return root


pieces = st.lists(
    st.sampled_from(["a", "b", "*", "?", "/", "**", ".", "[", "]", "/**/", "é", "!", "#", " ", "{a,b}", "\\"]),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces)
def test_no_program_is_told_less_than_the_glob_matches(repository: Path, parts: list[str]) -> None:
    try:
        glob = parse_glob("".join(parts))
    except ValueError:
        return
    files = git(repository, "ls-files", "-z").split("\0")[:-1]
    meant = {path for path in files if glob.matches(path)}
    by_git = git(repository, "ls-files", "-z", "--", *glob.pathspecs()).split("\0")[:-1]
    command = ripgrep_command("", glob.ripgrep_globs(), without_large=False)
    by_ripgrep = subprocess.run(command, cwd=repository, capture_output=True, check=False)

    assert meant <= set(by_git)
    assert meant <= {os.fsdecode(line).partition("\0")[0][2:] for line in by_ripgrep.stdout.split(b"\n")}


def test_a_glob_of_many_stars_takes_no_exponential_time() -> None:
    glob = parse_glob("/".join(["**"] * 40 + ["*a" * 60 + "b"]))
    began = time.perf_counter()

    assert not glob.matches("/".join(["a" * 120] * 60))
    assert time.perf_counter() - began < 2


def test_git_understands_the_pathspecs(repository: Path) -> None:
    assert git(repository, "ls-files", "--", *parse_glob("a[a]/?").pathspecs()) == "a[a]/b"
