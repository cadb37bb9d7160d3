"""Start-up cost in milliseconds beyond the bare interpreter: the median of interleaved runs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

COMMANDS = {
    "bare interpreter": ["-c", "pass"],
    "import click": ["-c", "import click"],
    "import dispatcher": ["-c", "import dispatcher"],
    "dispatcher --help": ["-m", "dispatcher", "--help"],
    "dispatcher verdict --help": ["-m", "dispatcher", "verdict", "--help"],
    "import anthropic": ["-c", "import anthropic"],
}
LIMITS_MS = {"import dispatcher": 100, "dispatcher --help": 250}


def elapsed_ms(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    series: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):
        for name, arguments in COMMANDS.items():
            series[name].append(elapsed_ms(arguments))
    # The first round warms the page cache and writes byte code.
    medians = {name: statistics.median(times[1:]) for name, times in series.items()}
    bare = medians["bare interpreter"]
    table = Table("what", "median ms", "beyond bare ms", "limit ms", title=f"Start-up, {runs} interleaved runs")
    for name, median in medians.items():
        table.add_row(name, f"{median:.0f}", f"{median - bare:.0f}", str(LIMITS_MS.get(name, "")))
    Console().print(table)
    late = [name for name, limit in LIMITS_MS.items() if medians[name] - bare > limit]
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
