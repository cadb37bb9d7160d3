"""A hash of everything that was counted; it all comes in one order, whatever that of the rows was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, fields
from operator import attrgetter
from typing import Any

from dispatcher.verdict.evidence.grid import GridCounts
from dispatcher.verdict.measured import Cell, Measurement
from dispatcher.verdict.sums import Sums

_summed = attrgetter(*(each.name for each in fields(Sums)))


def hash_of(measured: Measurement) -> str:
    """Its SHA-256."""
    counted = {
        "cells": [_listed(cell) for cell in measured.cells],
        "excluded": measured.excluded,
        "distributions": [
            [*map(str, key), list(seen.successes.items()), seen.without] for key, seen in measured.distributions.items()
        ],
        "draws": sorted((each.tenant, each.version, each.arm.value, each.share) for each in measured.draws),
        "grids": {name: [astuple(row) for row in grid.rows] for name, grid in measured.grids.items()},
        "drift": {
            name: {tenant: [_sampled(grid), *map(astuple, grid.rows)] for tenant, grid in stayed.items()}
            for name, stayed in measured.drift.items()
        },
        "gaps": measured.gaps,
        "lost": sorted((arm.value, count) for arm, count in measured.lost_to_counting.items()),
        "otherwise": sorted((look, share, count) for (look, share), count in measured.otherwise_defined.items()),
    }
    text = json.dumps(counted, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _sampled(grid: GridCounts) -> list[Any]:
    return [] if grid.sample is None else [list(grid.sample.successes.items()), grid.sample.without]


def _listed(cell: Cell) -> list[Any]:
    keys = [cell.look, cell.tenant, cell.share, cell.arm]
    counts = [cell.clusters, cell.dispatches, cell.failed, cell.scaled, cell.astray]
    counted = {name: [list(each.clusters.items()), each.unknown] for name, each in cell.counted.items()}
    valued = {name: [*_summed(each.sums), each.unknown, *_summed(each.late)] for name, each in cell.valued.items()}
    return [*keys, *counts, counted, valued]
