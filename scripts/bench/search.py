"""The repository tools on 100,000 files, beside the programs that people search with: medians of interleaved runs."""

from __future__ import annotations

import asyncio
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dispatcher.action.request import Repository
from dispatcher.paths.repository.checkout import Checkout, resolve
from dispatcher.paths.repository.matches import MAX_MATCHES
from dispatcher.paths.repository.tools import RepositoryTools

FILES = 100_000
LIMIT = 1.2
PATTERNS = {
    "rare word": "RETRY_NEEDLE",
    "rare expression": r"\bRETRY_[A-Z]+ = [0-9]{2}\b",
    "frequent": r"getUser\(",
}
CUT = "frequent"
VERBS = ("get", "set", "load", "store", "parse", "build", "send", "open", "close", "read", "write", "merge", "find")
NOUNS = ("User", "Order", "Invoice", "Session", "Token", "Cache", "Queue", "Index", "Record", "Event", "Policy")
NEEDLE_EVERY = 20_011
ENDINGS = ("py", "ts", "go", "md", "json", "php")
LINES = (
    "def {one}(self, {two}):",
    "    return {one}({number})",
    "    if {one} is not None and {two} > {number}:",
    "# {one} is called by {two} when the queue is full",
    "",
    "    value = self.{one}.total",
)


def made_up_files() -> Iterator[tuple[str, bytes]]:
    """Paths and contents that look like source code: 10 to 80 lines each, in 2,000 directories."""
    draw = random.Random(7)  # noqa: S311 - the same files every time
    names = [verb + noun for verb in VERBS for noun in NOUNS]
    for n in range(FILES):
        lines = [
            draw.choice(LINES).format(one=draw.choice(names), two=draw.choice(names), number=draw.randint(0, 999))
            for _ in range(draw.randint(10, 80))
        ]
        if n % NEEDLE_EVERY == 0:
            lines.append("RETRY_NEEDLE = 42")
        path = (
            f"package{n % 40:02}/module{n // 40 % 50:02}/{draw.choice(names).lower()}_{n}.{ENDINGS[n % len(ENDINGS)]}"
        )
        yield path, "\n".join([*lines, ""]).encode()


def build(folder: Path, repository: Path) -> None:
    """The same files as a plain folder and as the one commit of a repository, packed as a clone would be."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(repository)], check=True)
    command = ["git", "-C", str(repository), "fast-import", "--quiet"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as importing:
        assert importing.stdin is not None
        importing.stdin.write(b"commit refs/heads/main\ncommitter a <a@example.org> 1767225600 +0000\ndata 0\n")
        for path, content in made_up_files():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            importing.stdin.write(b"M 100644 inline %b\ndata %d\n%b\n" % (path.encode(), len(content), content))
    subprocess.run(["git", "-C", str(repository), "repack", "-adfq"], check=True)


class Series:
    """Milliseconds by what was measured, for one checkout and its peer."""

    def __init__(self, checkout: Checkout, peer: list[str]) -> None:
        self.checkout = checkout
        self.peer = peer
        self.times: dict[tuple[str, str], list[float]] = defaultdict(list)

    async def round(self) -> None:
        """Measure everything once, ours and theirs by turns."""
        for name, pattern in PATTERNS.items():
            tools = RepositoryTools(self.checkout)
            await self._ours(name, "first", tools, "search_code", {"pattern": pattern})
            self._theirs(name, "peer", pattern)
            await self._ours(name, "later", tools, "search_code", {"pattern": pattern})
            if name == CUT:
                self._theirs(name, "peer cut", pattern, lines=MAX_MATCHES + 1)
        tools = RepositoryTools(self.checkout)
        listed = await self._ours("list_files", "first", tools, "list_files", {})
        await self._ours("list_files *.py", "later", tools, "list_files", {"path_glob": "*.py"})
        await self._ours("read_file", "first", tools, "read_file", {"path": listed.partition("\n")[0]})

    async def _ours(
        self, name: str, which: str, tools: RepositoryTools, tool: str, tool_input: dict[str, object]
    ) -> str:
        began = time.perf_counter()
        result = await tools.call(tool, tool_input)
        self.times[name, which].append((time.perf_counter() - began) * 1000)
        if result.is_error or result.text == "(no line matches)":
            raise RuntimeError(result.text)
        return result.text

    def _theirs(self, name: str, which: str, pattern: str, *, lines: int | None = None) -> None:
        command = [pattern if word == "PATTERN" else word for word in self.peer]
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=self.checkout.root, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            if lines is None:
                process.stdout.read()
            else:
                for _ in zip(range(lines), process.stdout, strict=False):
                    pass
                process.kill()
        self.times[name, which].append((time.perf_counter() - began) * 1000)


def median(times: list[float]) -> float:
    # The first round warms the page cache.
    return statistics.median(times[1:])


def show(title: str, series: Series) -> list[float]:
    """Print one table; the ratios to the peer's whole search, each the median over the rounds."""
    table = Table("what", "peer", "first", "ratio", "later", "ratio", "peer cut", title=f"{title}, milliseconds")
    ratios: list[float] = []
    for name in PATTERNS:
        peer = series.times[name, "peer"]
        row = [name, f"{median(peer):.0f}"]
        for which in ("first", "later"):
            ours = series.times[name, which]
            ratios.append(median([mine / theirs for mine, theirs in zip(ours, peer, strict=True)]))
            row += [f"{median(ours):.0f}", f"{ratios[-1]:.2f}"]
        table.add_row(*row, f"{median(series.times[name, 'peer cut']):.0f}" if name == CUT else "")
    for (name, which), times in series.times.items():
        if name not in PATTERNS:
            shown = f"{median(times):.0f}"
            table.add_row(name, "", shown if which == "first" else "", "", shown if which == "later" else "", "", "")
    Console().print(table)
    return ratios


async def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="bench-search-") as directory:
        folder, repository = Path(directory, "folder"), Path(directory, "repository")
        build(folder, repository)
        plain, commit = resolve(Repository(path=folder)), resolve(Repository(path=repository))
        rg = str(Path(sysconfig.get_path("scripts"), "rg"))
        series = {
            "folder beside rg --no-config --no-ignore": Series(
                plain, [rg, "--no-config", "--no-ignore", "--line-number", "-e", "PATTERN", "./"]
            ),
            "commit beside git grep": Series(
                commit, ["git", "grep", "--line-number", "-E", "-e", "PATTERN", str(commit.commit_sha)]
            ),
        }
        for _ in range(runs + 1):
            for one in series.values():
                await one.round()
    ratios = [ratio for title, one in series.items() for ratio in show(title, one)]
    print(
        f"{FILES:,} files, medians of {runs} interleaved runs; first: with tools just made, as an attempt makes them."
    )
    print(f"peer cut: the peer stopped at its line {MAX_MATCHES + 1}, where we stop.")
    print(f"Largest ratio to a peer's whole search: {max(ratios):.2f}; the limit is {LIMIT}.")
    return 1 if max(ratios) > LIMIT else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
