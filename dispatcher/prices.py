"""Money: dated prices, and the cost of one model request in integer nano-dollars (10⁻⁹ US dollars)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dispatcher.action.observation import Usage
from dispatcher.document.notation import Contradictions, Date, Strict
from dispatcher.document.reading import read_document
from dispatcher.errors import InvalidPolicy

MS_PER_HOUR = 3_600_000

# A cost is kept in 64 bits. A request counts fewer than 2³¹ tokens of a class, so one at these prices has room hundreds
# of times over; a higher one is a mistake of the unit.
PerToken = Annotated[int, Field(ge=0, le=10**6)]
"""Nano-dollars a token, up to $1 000 a million tokens."""
PerUnit = Annotated[int, Field(ge=0, le=10**12)]
"""Nano-dollars an hour or a search, up to $1 000."""


class Rates(Strict):
    """Prices of one model from a day on, in nano-dollars a token; $1 a million tokens is 1 000 nano-dollars a token.

    `up_to_prompt_tokens` bounds the band by the length of the prompt, cached tokens included; a band applies to every
    token of its request.
    """

    since: Date
    input: PerToken
    cache_write_5m: PerToken
    cache_write_1h: PerToken
    cache_read: PerToken
    output: PerToken
    up_to_prompt_tokens: int | None = Field(default=None, gt=0)


def _band_problems(rates: list[Rates]) -> Iterator[str]:
    """What keeps the bands of a day from covering every prompt exactly once."""
    for since in sorted({rate.since for rate in rates}):
        bounds = [rate.up_to_prompt_tokens for rate in rates if rate.since == since]
        if bounds.count(None) != 1:
            yield (
                f"of the prices since {since}, {bounds.count(None)} are without up_to_prompt_tokens: "
                "exactly one must be, for every longer prompt"
            )
        limits = [bound for bound in bounds if bound is not None]
        for limit in sorted({limit for limit in limits if limits.count(limit) > 1}):
            yield f"of the prices since {since}, {limits.count(limit)} have the same up_to_prompt_tokens {limit}"


class PriceTable(Strict):
    """Prices of all known models, with the day from which each holds; read from `policies/prices.yml`.

    `session_hour` is the price of an hour of a managed session's running time, `web_search` that of one web search by
    the provider, on either path.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")]
    version: str = Field(min_length=1)
    session_hour: PerUnit
    web_search: PerUnit
    aliases: dict[str, str]
    models: dict[str, Annotated[list[Rates], Field(min_length=1)]]

    @model_validator(mode="after")
    def _consistent(self) -> PriceTable:
        aliases = [
            (("aliases", name), f"{target!r} is no model with prices; state one of models")
            for name, target in self.aliases.items()
            if target not in self.models
        ]
        bands = [(("models", model), text) for model, rates in self.models.items() for text in _band_problems(rates)]
        if aliases or bands:
            raise Contradictions([], [*aliases, *bands])
        return self

    @classmethod
    def load(cls, path: Path) -> PriceTable:
        """Read a price file. Raises InvalidPolicy with every problem at once."""
        return read_document(path, cls, InvalidPolicy, typed=True)

    def cost_nanousd(self, model: str, usage: Usage, on: dt.date) -> int | None:
        """The cost of one model request made on a day, in nano-dollars.

        Each token is in exactly one class, so the cost is the sum over the classes. None where the model has no price
        that day or a class is unknown: a cost that is not known is never 0. The TTL split of cache writes may be
        unknown only where nothing was written.
        """
        rates = self._rates(model, usage, on)
        if rates is None:
            return None
        writes_5m, writes_1h = usage.cache_creation_5m_input_tokens, usage.cache_creation_1h_input_tokens
        if usage.cache_creation_input_tokens == 0:
            writes_5m, writes_1h = 0, 0
        counted = (
            (usage.input_tokens, rates.input),
            (usage.cache_read_input_tokens, rates.cache_read),
            (writes_5m, rates.cache_write_5m),
            (writes_1h, rates.cache_write_1h),
            (usage.output_tokens, rates.output),
        )
        total = 0
        for tokens, rate in counted:
            if tokens is None:
                return None
            total += tokens * rate
        return total

    def runtime_cost_nanousd(self, active_ms: int) -> int:
        """The price of a managed session's running time, rounded half up to the nano-dollar."""
        return (2 * active_ms * self.session_hour + MS_PER_HOUR) // (2 * MS_PER_HOUR)

    def search_cost_nanousd(self, searches: int) -> int:
        """The price of web searches that the provider ran; what it fetches has none."""
        return searches * self.web_search

    def _rates(self, model: str, usage: Usage, on: dt.date) -> Rates | None:
        prompt = usage.prompt_tokens
        candidates = [rates for rates in self.models.get(self.aliases.get(model, model), []) if rates.since <= on]
        if not candidates or prompt is None:
            return None
        since = max(rates.since for rates in candidates)
        bands = sorted(
            (rates for rates in candidates if rates.since == since),
            key=lambda rates: rates.up_to_prompt_tokens or 1 << 62,
        )
        fitting = (rates for rates in bands if rates.up_to_prompt_tokens is None or prompt <= rates.up_to_prompt_tokens)
        return next(fitting, None)
