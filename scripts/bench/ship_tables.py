"""What the tables of `verdict_tables` share: their seed, how one is printed, ville's part, and what was found wrong."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ship_rules import cell, most_by_chance

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / ".venv-bench-verdict" / "bin" / "python"
SEED = 20261121
ALPHA = 0.05

OVER: list[str] = []


def at_limit(label: str, firsts: Sequence[int]) -> None:
    """Remember a path at its limit that was shipped more often than alpha allows."""
    shipped = int((np.asarray(firsts) > 0).sum())
    if shipped > most_by_chance(len(firsts), ALPHA):
        OVER.append(f"{label}: shipped in {shipped} of {len(firsts)} runs")


def ville(kind: str, streams: NDArray[Any], ends: Sequence[int], **more: object) -> str:
    """What ville makes of the same streams, as a cell."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        given: dict[str, Any] = {"kind": kind, "streams": streams, "ends": np.array(ends), **more}
        np.savez(source, **given)
        subprocess.run(
            [str(PEER), str(Path(__file__).with_name("verdict_peers.py")), str(source), str(target)], check=True
        )
        return cell(np.load(target)["firsts"])


def printed(title: str, runs: str, header: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    began = time.monotonic()
    print(f"## {title}\n\n{runs}\n")
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header), flush=True)
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print(flush=True)
    print(f"{title}: {time.monotonic() - began:.0f} s", file=sys.stderr)
