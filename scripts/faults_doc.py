"""Write docs/faults.md from a run of the fault matrix."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "faults"))

from faults_ground import TOKEN, TOKEN_VARIABLE  # noqa: E402 - the tests' own modules
from matrix import Cell  # noqa: E402
from matrix_doc import DOCUMENT, SCENARIOS, document  # noqa: E402
from matrix_run import Stage  # noqa: E402


def main() -> int:
    os.environ[TOKEN_VARIABLE] = TOKEN
    with tempfile.TemporaryDirectory() as room, Stage(Path(room)) as stage:
        told = {
            (scenario, column): stage.told(scenario, column)
            for scenario in SCENARIOS
            for column, cell in scenario.cells.items()
            if isinstance(cell, Cell)
        }
    DOCUMENT.write_text(document(told))
    print(f"{len(told)} dispatches; see {DOCUMENT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
