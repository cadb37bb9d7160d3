"""Importing a whole file, as the command line does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dispatcher.telemetry.import_map import ImportMap
from dispatcher.telemetry.importer import ImportReport, import_lines, open_lines


def import_file(engine: sa.Engine, column_map: ImportMap, path: Path, **more: Any) -> ImportReport:
    with open_lines(path, column_map.needed) as lines:
        return import_lines(engine, column_map, lines, str(path), **more)
