"""What an A/B found, and the table that its record shows. Pure."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, sqrt
from typing import Any

from scipy.stats import binomtest

CONFIDENCE = 0.95
_NANO = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of one conversation, asked through one arm.

    `run` counts the repetitions of the question set. `cited` are the files that the report cites; `citations` is how
    many findings it has and `existing` how many of them cite an existing line that holds the quoted text. Unknown
    figures are None. `first_call_input` is the uncached input tokens of the turn's first model request, and
    `first_call_written` those that it wrote to a cache: together, all that no cache held.
    """

    conversation: int
    run: int
    turn: int
    valid: bool
    cited: frozenset[str]
    citations: int
    existing: int
    first_call_input: int | None
    first_call_written: int | None
    cost_nanousd: int | None
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Share:
    """`k` of `n`, with its Wilson interval."""

    k: int
    n: int

    @property
    def value(self) -> float:
        return self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        found = binomtest(self.k, self.n).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)


def newcombe(before: Share, after: Share) -> tuple[float, float]:
    """The interval of the difference after − before, from both Wilson intervals (Newcombe 1998, method 10)."""
    (low_b, high_b), (low_a, high_a) = before.interval, after.interval
    difference = after.value - before.value
    below = sqrt((after.value - low_a) ** 2 + (high_b - before.value) ** 2)
    above = sqrt((high_a - after.value) ** 2 + (before.value - low_b) ** 2)
    return difference - below, difference + above


def nearest_rank(values: Sequence[int], percent: int) -> int:
    """The percentile by nearest rank."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1]


def overlap(one: frozenset[str], other: frozenset[str]) -> float | None:
    """The Jaccard index of two sets of cited files; None where neither cites any."""
    return len(one & other) / len(one | other) if one | other else None


def overlaps_between(before: Sequence[Turn], after: Sequence[Turn]) -> list[float]:
    """The overlap of every pair of answers to the same turn, one of each arm."""
    answers = _by_question(before), _by_question(after)
    pairs = [
        (one.cited, other.cited)
        for question in answers[0].keys() & answers[1].keys()
        for one in answers[0][question]
        for other in answers[1][question]
    ]
    return _overlaps(pairs)


def overlaps_within(turns: Sequence[Turn]) -> list[float]:
    """The overlap of every pair of answers of one arm to the same turn: what chance alone gives."""
    pairs = [
        (one.cited, other.cited) for asked in _by_question(turns).values() for one, other in combinations(asked, 2)
    ]
    return _overlaps(pairs)


def _by_question(turns: Sequence[Turn]) -> dict[tuple[int, int], list[Turn]]:
    found: dict[tuple[int, int], list[Turn]] = defaultdict(list)
    for turn in turns:
        if turn.valid:
            found[turn.conversation, turn.turn].append(turn)
    return found


def _overlaps(pairs: Sequence[tuple[frozenset[str], frozenset[str]]]) -> list[float]:
    return [found for one, other in pairs if (found := overlap(one, other)) is not None]


def answered(turns: Sequence[Turn], turns_of: Mapping[int, int]) -> Share:
    """Conversations whose every turn was answered validly; one that broke off isn't."""
    valid: dict[tuple[int, int], int] = defaultdict(int)
    for turn in turns:
        valid[turn.conversation, turn.run] += turn.valid
    return Share(sum(n == turns_of[conversation] for (conversation, _), n in valid.items()), len(valid))


def soundly_cited(turns: Sequence[Turn]) -> Share:
    """Valid reports of which every finding cites an existing line that holds the quoted text."""
    reports = [turn for turn in turns if turn.valid]
    return Share(sum(turn.existing == turn.citations for turn in reports), len(reports))


def table(before: Sequence[Turn], after: Sequence[Turn], turns_of: Mapping[int, int]) -> str:
    """The comparison as a Markdown table; `turns_of` says how many turns each conversation has."""
    arms = (before, after)
    rows = [("", "before", "after", "after − before")]
    rows.append(_share_row("conversations answered validly", [answered(arm, turns_of) for arm in arms]))
    rows.append(_share_row("reports whose every citation exists", [soundly_cited(arm) for arm in arms]))
    rows.append(("citations that exist", *(_citations(arm) for arm in arms), ""))
    within = [_mean(overlaps_within(arm)) for arm in arms]
    rows.append(("overlap of cited files, between the arms", "", "", _mean(overlaps_between(before, after))))
    rows.append(("overlap of cited files, within the arm", *within, ""))
    for number in sorted({turn.turn for turn in (*before, *after)}):
        asked = [[turn for turn in arm if turn.turn == number] for arm in arms]
        for what, tokens in (
            ("uncached input", [[turn.first_call_input for turn in arm] for arm in asked]),
            ("input that no cache held (uncached and written)", [[_new_input(turn) for turn in arm] for arm in asked]),
        ):
            name = f"{what} of the first request, turn {number}, median tokens"
            rows.append(_figure_row(name, tokens, lambda known: round(statistics.median(known)), "{:,}"))
    dollars = [[turn.cost_nanousd for turn in arm] for arm in arms]
    rows.append(
        _figure_row("cost of a turn, mean US dollars", dollars, lambda known: statistics.mean(known) / _NANO, "{:.5f}")
    )
    for percent in (50, 95):
        walls = [[turn.wall_ms for turn in arm] for arm in arms]
        name = f"wall time of a turn, p{percent}, ms"
        rows.append(_figure_row(name, walls, lambda known, percent=percent: nearest_rank(known, percent), "{:,}"))
    rows.append(("turns asked (n)", *(str(len(arm)) for arm in arms), ""))
    return _markdown(rows)


def _new_input(turn: Turn) -> int | None:
    if turn.first_call_input is None or turn.first_call_written is None:
        return None
    return turn.first_call_input + turn.first_call_written


def _share_row(name: str, shares: Sequence[Share]) -> tuple[str, ...]:
    if not all(share.n for share in shares):
        return name, *(f"{share.k}/{share.n}" for share in shares), "no data"
    cells = [f"{share.k}/{share.n} = {share.value:.1%} [{_interval(share.interval)}]" for share in shares]
    difference = f"{shares[1].value - shares[0].value:+.1%} [{_interval(newcombe(*shares), sign='+')}]"
    return name, *cells, difference


def _interval(ends: tuple[float, float], sign: str = "") -> str:
    return f"{ends[0]:{sign}.1%}, {ends[1]:{sign}.1%}"


def _citations(turns: Sequence[Turn]) -> str:
    return f"{sum(turn.existing for turn in turns)}/{sum(turn.citations for turn in turns)}"


def _figure_row(
    name: str, values: Sequence[Sequence[int | None]], figure: Callable[[list[int]], float], form: str
) -> tuple[str, ...]:
    """A figure of both arms and their ratio; values that aren't known are counted and in no figure."""
    known = [[value for value in arm if value is not None] for arm in values]
    figures = [figure(arm) if arm else None for arm in known]
    cells = []
    for arm, of_known, found in zip(values, known, figures, strict=True):
        unknown = f" ({len(arm) - len(of_known)} unknown)" if len(of_known) < len(arm) else ""
        cells.append(f"{'no data' if found is None else form.format(found)}{unknown}")
    before, after = figures
    ratio = f"× {after / before:.2f}" if before and after is not None else ""
    return name, *cells, ratio


def _mean(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.2f} (n {len(values)})" if values else "no data"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "|---|" + "--:|" * (len(rows[0]) - 1), *body])


def figures_from(asked: Mapping[str, Any], said: Mapping[str, Any], lines: Callable[[str], Sequence[str]]) -> Turn:
    """A turn's figures from what was asked and what the arm said; `lines` gives the lines of a cited file, if any."""
    findings = said["findings"]
    return Turn(
        conversation=asked["number"],
        run=asked["run"],
        turn=asked["turn"],
        valid=said["status"] == "success" and bool(said["output_valid"]),
        cited=frozenset(finding["file"] for finding in findings),
        citations=len(findings),
        existing=sum(_exists(finding, lines(finding["file"])) for finding in findings),
        first_call_input=said["first_call_input_tokens"],
        first_call_written=said["first_call_cache_creation_input_tokens"],
        cost_nanousd=said["cost_nanousd"],
        wall_ms=said["wall_ms"],
    )


def _exists(finding: Mapping[str, Any], lines: Sequence[str]) -> bool:
    number = finding["line"]
    return 1 <= number <= len(lines) and finding["evidence"].strip() in lines[number - 1]
