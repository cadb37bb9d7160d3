"""The closed vocabulary of measures: what a criterion may be about. What each means in SQL, the verdict knows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_PERCENTILE = re.compile(r"p[1-9][0-9]?")


@dataclass(frozen=True, slots=True)
class _Meaning:
    """`aggregates` are those that mean something: `p` stands for every percentile p1 … p99."""

    unit: str
    aggregates: frozenset[str]
    lower_is_better: bool = True
    later_turns: bool = False


class Measure(StrEnum):
    """A named quantity that can be computed from the log, one value per dispatch; closed.

    In a percentile a failure is above every limit, so that no variant improves by failing, and what isn't known is
    judged against the claim. The timings are those of the first attempt.
    """

    RESPONSE_TIME_MS = "response_time_ms"
    """The caller's wall time of a dispatch, in milliseconds."""
    TIME_TO_FIRST_TOKEN_MS = "time_to_first_token_ms"  # noqa: S105 - a model's token
    """From the start of the attempt to the model's first output of any kind: the sum of the four parts below."""
    READY_MS = "ready_ms"
    """Its first part: until the path is ready to send."""
    SESSION_INIT_MS = "session_init_ms"
    """Its second part: until the first model request is under way; on the managed path the container's start."""
    FIRST_TOKEN_MS = "first_token_ms"  # noqa: S105 - a model's token
    """Its third part: from the first model request to the first output."""
    REMAINDER_MS = "remainder_ms"
    """What of it no marker explains."""
    FIRST_TEXT_MS = "first_text_ms"
    """From the start of the attempt to the first text that a user could read."""
    COST = "cost"
    """The cost of a dispatch, all its attempts, in US dollars."""
    COST_PER_VALID_SUCCESS = "cost_per_valid_success"
    """The cost of all dispatches over the number of those that ended with a valid report, in US dollars."""
    OUTPUT_VALID = "output_valid"
    """Whether the dispatch ended with a valid report."""
    PRODUCT_FAILURE = "product_failure"
    """Whether the user felt a failure: no usable answer, whoever is to blame."""
    ENGINEERING_FAILURE = "engineering_failure"
    """Whether it failed in a way that is ours to mend: not by the provider, the network or the user's own wish."""
    ITERATIONS = "iterations"
    """Model requests of a dispatch, all its attempts."""
    CACHE_HIT = "cache_hit"
    """Whether the first model request of a second or later turn read anything from the prompt cache."""
    FIRST_CALL_UNCACHED_INPUT_TOKENS = "first_call_uncached_input_tokens"
    """Input tokens that the first model request of a second or later turn paid in full."""

    @property
    def unit(self) -> str:
        """The unit that limits and baselines of this measure are written in; none of a rate, which lies in [0, 1]."""
        return _MEANINGS[self].unit

    @property
    def lower_is_better(self) -> bool:
        """Whether a limit is an upper one (`at_most`)."""
        return _MEANINGS[self].lower_is_better

    @property
    def is_duration(self) -> bool:
        """Whether it is a time that somebody waited, which a scaled clock falsifies."""
        return self.unit == "ms"

    @property
    def is_money(self) -> bool:
        """Whether it is in US dollars, computed from whole nano-dollars."""
        return self.unit == "USD"

    @property
    def later_turns_only(self) -> bool:
        """Whether only dispatches of a second or later turn have it; the others don't count for it at all."""
        return _MEANINGS[self].later_turns

    def allows(self, aggregate: str) -> bool:
        """Whether the aggregate means something: a time is a percentile (a failure has no finite time, so there is no
        mean), a cost is a mean, a number of things is either, and a yes or no is a rate.
        """
        return ("p" if _PERCENTILE.fullmatch(aggregate) else aggregate) in _MEANINGS[self].aggregates


_DURATION = _Meaning("ms", frozenset({"p"}))
_MONEY = _Meaning("USD", frozenset({"mean"}))
_YES_OR_NO = frozenset({"rate"})

_MEANINGS = {
    Measure.RESPONSE_TIME_MS: _DURATION,
    Measure.TIME_TO_FIRST_TOKEN_MS: _DURATION,
    Measure.READY_MS: _DURATION,
    Measure.SESSION_INIT_MS: _DURATION,
    Measure.FIRST_TOKEN_MS: _DURATION,
    Measure.REMAINDER_MS: _DURATION,
    Measure.FIRST_TEXT_MS: _DURATION,
    Measure.COST: _MONEY,
    Measure.COST_PER_VALID_SUCCESS: _MONEY,
    Measure.OUTPUT_VALID: _Meaning("", _YES_OR_NO, lower_is_better=False),
    Measure.PRODUCT_FAILURE: _Meaning("", _YES_OR_NO),
    Measure.ENGINEERING_FAILURE: _Meaning("", _YES_OR_NO),
    Measure.ITERATIONS: _Meaning("model requests", frozenset({"p", "mean"})),
    Measure.CACHE_HIT: _Meaning("", _YES_OR_NO, lower_is_better=False, later_turns=True),
    Measure.FIRST_CALL_UNCACHED_INPUT_TOKENS: _Meaning("tokens", frozenset({"p", "mean"}), later_turns=True),
}
