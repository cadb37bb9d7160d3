"""What a simulator is started with."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dispatcher.errors import InvalidSimulation
from dispatcher.simulator.faults.rule import Faults
from dispatcher.simulator.profiles import BUILT_IN

_GITHUB_URL = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+", re.IGNORECASE)
DEFAULT_PRICES = Path("policies/prices.yml")


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """A simulator's configuration; raises InvalidSimulation with every problem at once.

    `repositories` maps a GitHub URL to the git checkout that stands behind it. `time_scale` is real seconds per
    simulated second: 1 is real time, 0.02 is fifty times faster, 0 never waits. `prices` is the price table, `profiles`
    the behaviour of models, containers and tools. `seed` moves every deterministic choice. `faults` are
    those in force from the start.
    """

    repositories: Mapping[str, Path] = field(default_factory=dict)
    time_scale: float = 1.0
    prices: Path = DEFAULT_PRICES
    seed: int = 0
    profiles: Path = BUILT_IN
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        problems = [*self._number_problems(), *self._repository_problems()]
        problems += [f"no such file: {path}" for path in (self.prices, self.profiles) if not Path(path).is_file()]
        if problems:
            raise InvalidSimulation("simulator", problems)
        known = {normal_url(url): Path(path) for url, path in self.repositories.items()}
        object.__setattr__(self, "repositories", known)

    def _number_problems(self) -> list[str]:
        if isinstance(self.time_scale, bool) or not isinstance(self.time_scale, int | float):
            return [f"time_scale is no number: {self.time_scale!r}"]
        if not math.isfinite(self.time_scale) or self.time_scale < 0:
            return [f"time_scale must be 0 or more: {self.time_scale!r}"]
        return []

    def _repository_problems(self) -> list[str]:
        problems = []
        for url, path in self.repositories.items():
            if not _GITHUB_URL.fullmatch(normal_url(url)):
                problems.append(f"not a GitHub URL: {url}")
            if not is_git_directory(Path(path)):
                problems.append(f"not a git checkout: {path}")
        return problems


def normal_url(url: str) -> str:
    """A repository's URL without what doesn't tell repositories apart."""
    return url.strip().lower().rstrip("/").removesuffix(".git")


def is_git_directory(path: Path) -> bool:
    """Whether a directory is the top of a git checkout, or a bare repository."""
    return (path / ".git").exists() or (path / "HEAD").is_file()
