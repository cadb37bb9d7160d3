"""What the documents say must be so: links resolve, the command line's help is current, the words stay clean."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#)([^)#\s]+)")
HELP = re.compile(r"<!-- help: (?P<command>[a-z -]+) -->\n```text\n(?P<text>.*?)```", re.DOTALL)
# A path of somebody's machine says nothing to a reader elsewhere.
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/\w")


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=ROOT,
                             check=True, capture_output=True, text=True)  # fmt: skip
    return [ROOT / name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]


def broken_links(page: Path, text: str) -> list[str]:
    return [
        f"{page.relative_to(ROOT)}: link to {target}, which isn't there"
        for target in LINK.findall(text)
        if not (page.parent / target).exists()
    ]


def stale_help(page: Path, text: str) -> list[str]:
    problems = []
    for match in HELP.finditer(text):
        command = match["command"].split()
        shown = subprocess.run([sys.executable, "-m", *command, "--help"], cwd=ROOT, check=True, capture_output=True,
                               text=True, env={"COLUMNS": "80", "PATH": "/usr/bin:/bin"}).stdout  # fmt: skip
        if shown.strip() != match["text"].strip():
            problems.append(f"{page.relative_to(ROOT)}: the help of `{match['command']}` is not what it prints now")
    return problems


def main() -> int:
    problems = []
    for page in tracked("*.md"):
        text = page.read_text()
        problems += broken_links(page, text) + stale_help(page, text)
    for path in tracked():
        if (
            path.suffix in {".py", ".md", ".yml", ".toml", ".json", ".lock", ".mjs", ""}
            and path.name != "check_docs.py"
        ):
            found = MACHINE_PATHS.search(path.read_text(errors="replace"))
            if found:
                problems.append(f"{path.relative_to(ROOT)}: path of a machine: {found[0]}…")
    print("\n".join(problems) or "documents: nothing to say")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
