"""What the tools answer, the same at a commit and in a plain folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from paths_world import SLOW_PATTERN, git, make_repository, slow_text, write_files

from dispatcher.action.request import Repository
from dispatcher.paths.repository.checkout import Checkout, resolve
from dispatcher.paths.repository.inventory import MAX_FILE_BYTES
from dispatcher.paths.repository.matches import MAX_MATCHES
from dispatcher.paths.repository.tool_text import MAX_PATHS, MAX_TEXT_BYTES
from dispatcher.paths.repository.tools import RepositoryTools, ToolResult

MakeTools = Callable[..., RepositoryTools]
FILES: Mapping[str, str | bytes] = {
    "retry.py": "LIMIT = 3\n\n\ndef retry():\n    return LIMIT\n",
    "docs/we:ird name.md": "# The LIMIT\n",
    "src/app/main.py": "x = 1\r\nLIMIT\x0cnot a line end\u2028nor this\r\n",
    "no_line_end": "LIMIT",
    "empty": "",
    "binary": b"LIMIT\n\0\n",
    "latin1.txt": "LIMIT \xe9\n".encode("latin-1"),
    "generated.js": "LIMIT " + "x" * 5000 + "\n",
    "huge.txt": b"LIMIT\n" * (MAX_FILE_BYTES // 6 + 1),
    ".hidden/secret.md": "LIMIT\n",
    "forged\nretry.py:1": "LIMIT\n",
}


KINDS = ["commit", "folder"]


def make_checkout(kind: str, root: Path, files: Mapping[str, str | bytes]) -> Checkout:
    if kind == "commit":
        make_repository(root, files)
    else:
        write_files(root, files)
    return resolve(Repository(path=root))


@pytest.fixture(params=KINDS)
def make_tools(request: pytest.FixtureRequest, tmp_path: Path) -> MakeTools:
    def make(files: Mapping[str, str | bytes], **options: float) -> RepositoryTools:
        return RepositoryTools(make_checkout(request.param, tmp_path / "root", files), **options)

    return make


@pytest.fixture(scope="module", params=KINDS)
def of_all_kinds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return make_checkout(request.param, tmp_path_factory.mktemp("tools") / "root", FILES)


@pytest.fixture
def tools(of_all_kinds: Checkout) -> RepositoryTools:
    return RepositoryTools(of_all_kinds)


async def test_a_search_answers_path_line_and_text(tools: RepositoryTools) -> None:
    found = await tools.call("search_code", {"pattern": "LIMIT"})
    lines = found.text.split("\n")

    assert not found.is_error
    assert sorted(line[:60] for line in lines) == [
        ".hidden/secret.md:1: LIMIT",
        "docs/we:ird name.md:1: # The LIMIT",
        ("generated.js:1: LIMIT " + "x" * 60)[:60],
        "latin1.txt:1: LIMIT \ufffd",
        "no_line_end:1: LIMIT",
        "retry.py:1: LIMIT = 3",
        "retry.py:5:     return LIMIT",
        "src/app/main.py:2: LIMIT\x0cnot a line end\u2028nor this",
    ]
    assert max(map(len, lines)) < 400


@pytest.mark.parametrize(
    ("pattern", "glob", "expected"),
    [
        ("^def [a-z]+\\(", None, "retry.py:4: def retry():"),
        ("limit", None, "(no line matches)"),
        ("LIMIT", "*.md", ".hidden/secret.md:1: LIMIT\ndocs/we:ird name.md:1: # The LIMIT"),
        ("LIMIT", "docs", "docs/we:ird name.md:1: # The LIMIT"),
        ("LIMIT", "none/**", "(no line matches)"),
        ("-e|--help", None, "(no line matches)"),
        ("^x = 1$|^x = 1.$", None, "src/app/main.py:1: x = 1"),
    ],
)
async def test_a_search_takes_expressions_and_globs(
    tools: RepositoryTools, pattern: str, glob: str | None, expected: str
) -> None:
    tool_input = {"pattern": pattern} if glob is None else {"pattern": pattern, "path_glob": glob}

    assert await tools.call("search_code", tool_input) == ToolResult(expected)


@pytest.mark.parametrize("pattern", ["(", "[", "a{2,1}"])
async def test_a_broken_pattern_is_an_error_that_says_so(tools: RepositoryTools, pattern: str) -> None:
    result = await tools.call("search_code", {"pattern": pattern})

    assert result.is_error
    assert result.text.startswith("the pattern can't be used: ")


async def test_reading_numbers_the_lines_as_git_counts_them(tools: RepositoryTools) -> None:
    whole = await tools.call("read_file", {"path": "./src//app/main.py"})
    part = await tools.call("read_file", {"path": "retry.py", "start_line": 4, "end_line": 99})

    assert whole == ToolResult("1\tx = 1\n2\tLIMIT\x0cnot a line end\u2028nor this")
    assert part == ToolResult("4\tdef retry():\n5\t    return LIMIT")
    assert await tools.call("read_file", {"path": "no_line_end"}) == ToolResult("1\tLIMIT")
    assert await tools.call("read_file", {"path": "empty"}) == ToolResult("(the file is empty)")


@pytest.mark.parametrize(
    ("tool_input", "reason"),
    [
        ({"path": "binary"}, "is a binary file"),
        ({"path": "latin1.txt"}, "is not UTF-8 text"),
        ({"path": "huge.txt"}, "is larger than"),
        ({"path": "none.py"}, "there is no file"),
        ({"path": "src/app"}, "is a directory"),
        ({"path": "retry.py/x"}, "there is no file"),
        ({"path": "../outside"}, "leads out of the repository"),
        ({"path": "src/../../outside"}, "leads out of the repository"),
        ({"path": "/etc/passwd"}, "leads out of the repository"),
        ({"path": ".git/config"}, "there is no file"),
        ({"path": "."}, "there is no file"),
        ({"path": "forged\nretry.py:1"}, "printable characters"),
        ({"path": "retry.py", "start_line": 6}, "has 5 lines"),
        ({"path": "retry.py", "start_line": 3, "end_line": 2}, "lies before start_line"),
    ],
)
async def test_what_cannot_be_read_is_an_error_with_its_reason(
    tools: RepositoryTools, tool_input: dict[str, object], reason: str
) -> None:
    result = await tools.call("read_file", tool_input)

    assert result.is_error
    assert reason in result.text


async def test_a_listing_holds_what_can_be_read_in_order(tools: RepositoryTools) -> None:
    listed = await tools.call("list_files", {})

    assert listed.text.split("\n") == sorted(FILES.keys() - {"huge.txt", "forged\nretry.py:1"})
    assert await tools.call("list_files", {"path_glob": "*.zig"}) == ToolResult("(no file fits)")


async def test_a_search_shows_so_many_matches_and_says_that_there_are_more(make_tools: MakeTools) -> None:
    tools = make_tools({"a": "hit\n" * (MAX_MATCHES + 1), "b": "hut\n" * MAX_MATCHES})

    many = await tools.call("search_code", {"pattern": "hit"})
    exactly = await tools.call("search_code", {"pattern": "hut"})
    assert many.text.count(": hit\n") == MAX_MATCHES
    assert many.text.endswith(f"(only {MAX_MATCHES} of the matches are shown; narrow the pattern or path_glob)")
    assert exactly.text.count("\n") == MAX_MATCHES - 1


async def test_no_answer_is_larger_than_its_bound_and_a_cut_is_said(make_tools: MakeTools) -> None:
    wide = {f"{'d' * 200}/{'e' * 200}/{n:04}": "wide é" * 300 + "\n" for n in range(MAX_PATHS + 5)}
    tools = make_tools({"long": "é" * 100 + "\n" * 1 + ("line é" * 30 + "\n") * 2000, **wide})
    calls: list[tuple[str, dict[str, object]]] = [
        ("search_code", {"pattern": "wide"}),
        ("list_files", {}),
        ("read_file", {"path": "long"}),
        ("read_file", {"path": "long", "start_line": 1500}),
    ]
    for name, tool_input in calls:
        text = (await tools.call(name, tool_input)).text
        assert len(text.encode()) < MAX_TEXT_BYTES + 500
        assert text.endswith(")")


async def test_a_cut_file_says_where_to_go_on(make_tools: MakeTools) -> None:
    tools = make_tools({"long": "".join(f"line {n} {'x' * 90}\n" for n in range(1, 2001))})
    seen, start = [], 1
    while start:
        *lines, last = (await tools.call("read_file", {"path": "long", "start_line": start})).text.split("\n")
        start = int(last.rpartition("start_line ")[2].rstrip(")")) if "cut here" in last else 0
        seen += lines if start else [*lines, last]

    assert [int(line.partition("\t")[0]) for line in seen] == list(range(1, 2001))


async def test_a_search_that_takes_too_long_is_stopped(make_tools: MakeTools) -> None:
    tools = make_tools({"a": slow_text()}, seconds=0.5)
    began = time.monotonic()
    result = await tools.call("search_code", {"pattern": SLOW_PATTERN})

    assert result == ToolResult(
        "nothing was found within 0.5 s; simplify the pattern or narrow path_glob", is_error=True
    )
    assert time.monotonic() - began < 3


async def test_files_that_cost_too_much_to_search_are_left_out(make_tools: MakeTools) -> None:
    large = b"x" * (MAX_FILE_BYTES + 1)
    tools = make_tools({"small": "needle\n", "large.bin": large, ":(top)large": large})

    assert await tools.call("search_code", {"pattern": "needle|x"}) == ToolResult("small:1: needle")


async def test_names_that_cannot_be_shown_hide_nothing_else_however_many_they_are(make_tools: MakeTools) -> None:
    names = {f"bad/{n}\nsmall/a:{n}:1": "needle\n" for n in range(600)}
    tools = make_tools({"small/a": "needle\n", **names, os.fsdecode(b"\xff"): "needle\n", "\u202e": "needle\n"})

    assert await tools.call("search_code", {"pattern": "needle"}) == ToolResult("small/a:1: needle")
    assert await tools.call("list_files", {}) == ToolResult("small/a")


async def test_where_too_many_large_files_must_be_left_out_of_a_commit_the_glob_must_be_narrower(
    tmp_path: Path,
) -> None:
    make_repository(tmp_path, {"small/a": "needle\n", "large": b"x" * (MAX_FILE_BYTES + 1)})
    blob = git(tmp_path, "rev-parse", "HEAD:large")
    entries = [word for n in range(500) for word in ("--cacheinfo", f"100644,{blob},large{n}")]
    git(tmp_path, "update-index", "--add", *entries)
    git(tmp_path, "commit", "--quiet", "--message=large")
    tools = RepositoryTools(resolve(Repository(path=tmp_path)))
    wide = await tools.call("search_code", {"pattern": "needle|x"})
    narrow = await tools.call("search_code", {"pattern": "needle|x", "path_glob": "small/"})

    assert wide == ToolResult("501 files here are too large to be searched; narrow path_glob", is_error=True)
    assert narrow == ToolResult("small/a:1: needle")


async def test_large_files_of_a_commit_that_cost_a_search_its_time_are_passed_over(tmp_path: Path) -> None:
    make_repository(tmp_path, {"large": slow_text() * 2, "small": "aab\n"})
    tools = RepositoryTools(resolve(Repository(path=tmp_path)), seconds=8)
    began = time.monotonic()
    found = await tools.call("search_code", {"pattern": SLOW_PATTERN})

    assert found == ToolResult("(no line matches)")
    assert time.monotonic() - began < 7
