"""One pattern finds the same lines at a commit (git), in a plain folder (ripgrep), and by a third engine's reading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths_world import make_repository, write_files

from dispatcher.action.request import Repository
from dispatcher.paths.repository.checkout import Checkout, resolve
from dispatcher.paths.repository.pattern import parse_pattern
from dispatcher.paths.repository.tools import RepositoryTools, ToolResult

LINES = [
    "def get_user(self, user_id: int) -> User:",
    "    return self.users[user_id]",
    "class UserStore(dict[str, list[User]]):",
    "MAX_RETRIES = 3",
    "max_retries = 10",
    "retry",
    "retries: 007",
    "",
    " ",
    "\tindented with a tab",
    "a.b.c a+b (x|y) [z] {n} ^ $ \\ / - _ ~ & #",
    "if (a && b || !c) { return a ? b : c; }",
    "func handle(m map[string]interface{}) error {",
    "https://example.org/path?query=1&other=%20",
    "2026-11-21T10:57:00Z 192.168.0.1",
    "größe Straße naïve café ÆØÅ",
    "ПРИВЕТ привет 你好 😀!",
    "caf\u00e9s cafes cafés",
    "aaa aaaa aaaaa",
    "ab abab ababab",
    "foo  bar",
    "foo\tbar",
    "foo\r",
    'print("it\'s")  # TODO: fix',
    "x=1;y=22;z=333",
    "end.",
    "UPPER lower Mixed miXed",
    "snake_case kebab-case camelCase",
    "\u2028 line separator \u00a0 no-break space",
]
SAME_IN_PYTHON = [
    "retry",
    "user_id",
    "^retr",
    "^retry$",
    "^$",
    "^ +$",
    "^\\s*$",
    "^(foo)?$",
    "\\.$",
    "self|class",
    "^(def|class) ",
    "(?:ab){2}( |$)",
    "\\b(ab){2,3}\\b",
    "a{4}",
    "\\ba{3,4}\\b",
    "a{5,}",
    "(b|a+)b",
    "x?=1",
    "fo+ +b",
    "[A-Z][a-z]+[A-Z]",
    "[A-Z_]{5,}",
    "[^a-z ]$",
    "^[^ ]+$",
    "[]\\[]",
    "[\\]}]",
    "[-+]b",
    "[+*/-]",
    "[\\^$]",
    "[a\\-z]-",
    "[\\\\/]",
    "[.]b",
    "[&~#]{1}",
    "[\\w.-]+@|\\w+\\.org",
    "\\(x\\|y\\)",
    "\\{n\\}",
    "interface{}",
    "{ return",
    "a \\? b",
    "\\$ \\\\ /",
    "\\bretr",
    "retr\\b",
    "retry\\b",
    "\\Betr",
    "\\Bcase\\b",
    "user\\B",
    "\\d{4}-\\d{2}",
    "\\d+(\\.\\d+){3}",
    "[\\d.]{7,}",
    "\\D\\d\\D",
    "^\\S+$",
    "foo\\sbar",
    "foo\\s{2}bar",
    "\\w+\\(\\w+, ",
    "\\W{3}",
    "\\bcafé\\b",
    "caf.s",
    "caf[éè]s",
    "[à-ü]",
    "[а-я]+ ",  # noqa: RUF001 - Cyrillic it is
    "\\bПР\\w+",  # noqa: RUF001
    "stra.e|Stra.e",
    "Gr[öo]|gr[öo]ße",
    "^.{5}$",
    "😀.",
    "你",
    "miXed|MAX",
    "[Mm][Aa][Xx]",
    ".*?user.*?:",
    "a+?b",
    "(a|b)*c a",
    "x*",
    "(x|y|z)=[0-9]+;?",
    "foo\\r$",
    "\\t",
    "# ?TODO",
    "it's|\"it",
    "^. line separator",
]
OTHER_IN_PYTHON = {
    "[[:upper:]]{4}": "[A-Z]{4}",
    "^[[:space:]]+$": "^[ \t\r\f\v]+$",
    "[^[:alnum:] ]{2}": "[^A-Za-z0-9 ]{2}",
    "[[:punct:]]{2}": r"[!-/:-@\[-`{-~]{2}",
    "[[:digit:][:upper:]]{2}": "[0-9A-Z]{2}",
    "\\<retr": "\\bretr",
    "ries\\>": "ries\\b",
    "b{,1}=": "b{0,1}=",
}
ORACLE = {**{pattern: pattern for pattern in SAME_IN_PYTHON}, **OTHER_IN_PYTHON}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[Checkout]:
    root: Path = tmp_path_factory.mktemp("patterns")
    files: dict[str, str | bytes] = {"lines": "".join(f"{line}\n" for line in LINES), "no_end": "retry"}
    files["bytes"] = "caf\xe9s retry \xff\n".encode("latin-1") + b"\xc3\x28 ab\n"
    make_repository(root / "commit", files)
    write_files(root / "folder", files)
    return [resolve(Repository(path=root / name)) for name in ("commit", "folder")]


async def answers(both: list[Checkout], pattern: str, glob: str = "**") -> list[ToolResult]:
    tool_input = {"pattern": pattern, "path_glob": glob}
    return [await RepositoryTools(checkout).call("search_code", tool_input) for checkout in both]


@pytest.mark.parametrize("pattern", ORACLE)
async def test_a_pattern_finds_the_same_lines_everywhere(both: list[Checkout], pattern: str) -> None:
    oracle = re.compile(ORACLE[pattern].replace("\\s", "[ \t\r\f\v]"))
    expected = [number for number, line in enumerate(LINES, 1) if oracle.search(line)]
    at_commit, in_folder = await answers(both, pattern)

    assert [int(n) for n in re.findall(r"^lines:(\d+): ", at_commit.text, re.MULTILINE)] == expected
    assert in_folder == at_commit


PIECES = r"""
a b e é _ . ( ) (?: | * + ? {2} {1,3} {,2} {2,} ^ $
[ab] [^ab] [a-c] [é-ü] []-] [\w-] \b \B \w \W \d \s \S \. [_\s]
""".split()  # noqa: SIM905 - a list of strings would be four times as long
pieces = st.lists(st.sampled_from(PIECES), min_size=1, max_size=7)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces)
async def test_whatever_is_accepted_means_the_same_to_both_programs(both: list[Checkout], parts: list[str]) -> None:
    pattern = "".join(parts)
    try:
        parse_pattern(pattern)
    except ValueError:
        return
    # Word boundaries beside bytes that aren't UTF-8 are where the programs are known to differ.
    at_commit, in_folder = await answers(both, pattern, "*n*")

    assert not at_commit.is_error
    assert in_folder == at_commit
