"""Money: dated prices, and the cost of one model request in integer nano-dollars (10⁻⁹ US dollars)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from dispatcher.action.observation import Usage
from dispatcher.errors import InvalidPolicy

MS_PER_HOUR = 3_600_000


def _parse_date(value: object) -> object:
    return dt.date.fromisoformat(value) if isinstance(value, str) else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Rates(_Strict):
    """Prices of one model from a day on, in nano-dollars a token; $1 a million tokens is 1 000 nano-dollars a token.

    `up_to_prompt_tokens` bounds the band by the length of the prompt, cached tokens included; a band applies to every
    token of its request.
    """

    since: Annotated[dt.date, BeforeValidator(_parse_date)]
    input: int = Field(ge=0)
    cache_write_5m: int = Field(ge=0)
    cache_write_1h: int = Field(ge=0)
    cache_read: int = Field(ge=0)
    output: int = Field(ge=0)
    up_to_prompt_tokens: int | None = Field(default=None, gt=0)


class PriceTable(_Strict):
    """Prices of all known models, with the day from which each holds; read from `policies/prices.yml`."""

    schema_: int = Field(alias="schema", ge=1, le=1)
    version: str = Field(min_length=1)
    session_hour: int = Field(ge=0)
    web_search: int = Field(ge=0)
    aliases: dict[str, str]
    models: dict[str, list[Rates]]

    @model_validator(mode="after")
    def _aliases_resolve(self) -> PriceTable:
        missing = sorted(target for target in self.aliases.values() if target not in self.models)
        if missing:
            raise ValueError(f"aliases name models without prices: {', '.join(missing)}")
        return self

    @classmethod
    def load(cls, path: Path) -> PriceTable:
        """Read a price file. Raises InvalidPolicy with every problem at once."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise InvalidPolicy(str(path), [f"can't be read: {error}"]) from None
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in error.errors()]
            raise InvalidPolicy(str(path), problems) from None

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
