"""How the simulated models, containers and tools behave: data, read from a YAML file."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dispatcher.errors import InvalidSimulation

BUILT_IN = Path(__file__).with_name("profiles.yml")
OBEDIENT = Path(__file__).with_name("profiles-obedient.yml")
"""The built-in profiles of models that obey the files they read."""

_BASE = "built-in"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Latency(_Strict):
    """The time of one model request, simulated milliseconds.

    Up to the first token: `request_ms` plus `per_1k_uncached_input_ms` for every thousand tokens that no cache held.
    From there: `per_output_token_ms` each. `spread` is the standard deviation of the logarithm of a factor over both.
    """

    request_ms: float = Field(ge=0)
    per_1k_uncached_input_ms: float = Field(ge=0)
    per_output_token_ms: float = Field(ge=0)
    spread: float = Field(ge=0, le=2)


class Habits(_Strict):
    """How thoroughly a model works: model requests per question, and what one of them may do."""

    fewest_requests: int = Field(ge=1)
    most_requests: int = Field(ge=1)
    calls_at_once: int = Field(ge=1, le=8)
    lines_per_read: int = Field(ge=5)
    findings: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Habits:
        if self.fewest_requests > self.most_requests:
            raise ValueError("fewest_requests is above most_requests")
        return self


class Character(_Strict):
    """What sets all models of a file apart from well-behaved ones; nothing by default.

    `obeys_files`: what a tool returns is taken for orders, see `model/obedience.py`. `signs_thinking`: replies of the
    Messages API hold thinking, which has to come back as it was. `invalid_first_one_in`: one question in so many is
    first answered with an invalid report, and with a valid one once something is said about it; 0 for none.
    """

    obeys_files: bool = False
    signs_thinking: bool = False
    invalid_first_one_in: int = Field(default=0, ge=0)


class Surface(_Strict):
    """A model behind one of the two APIs.

    `thinking_tokens` are the median of what it writes unseen before it calls tools; they are billed as output.
    """

    latency: Latency
    habits: Habits
    thinking_tokens: int = Field(default=0, ge=0)


class Rules(_Strict):
    """What the API refuses for this model, and from how many tokens on it caches a prompt."""

    cache_minimum_tokens: int = Field(ge=0)
    max_output_tokens: int = Field(gt=0)
    prefill: bool
    thinking_enabled: bool
    thinking_disabled: bool = True
    forced_tool_choice: bool = True


class ModelProfile(_Strict):
    """One model."""

    rules: Rules
    messages: Surface
    managed: Surface


class Wait(_Strict):
    """A simulated wait in milliseconds; `spread` as in `Latency`."""

    ms: float = Field(ge=0)
    spread: float = Field(ge=0, le=2)


class Harness(_Strict):
    """What Managed Agents adds around the model.

    `preamble_tokens` precede the agent's own system prompt in every request and are cached with it;
    `uncached_tokens` follow the last cached block. `status_lag_ms` is real, never scaled: for that long after an idle
    event the queryable status still says running.
    """

    preamble_tokens: int = Field(ge=0)
    uncached_tokens: int = Field(ge=0)
    status_lag_ms: float = Field(ge=0)
    keepalive_seconds: float = Field(gt=0)


class Profiles(_Strict):
    """Everything the profile file says. `extends: built-in` takes what it leaves out from the built-in profiles."""

    schema_: int = Field(alias="schema", ge=1, le=1)
    container_start: Wait
    tools: dict[str, Wait]
    harness: Harness
    character: Character = Character()
    surfaces: tuple[Surface, ...] = ()  # where the file names what several models share
    aliases: dict[str, str]
    models: dict[str, ModelProfile]

    @model_validator(mode="after")
    def _aliases_resolve(self) -> Profiles:
        missing = sorted(target for target in self.aliases.values() if target not in self.models)
        if missing:
            raise ValueError(f"aliases name models without a profile: {', '.join(missing)}")
        return self

    @classmethod
    def load(cls, path: Path = BUILT_IN) -> Profiles:
        """Read a profile file. Raises InvalidSimulation with every problem at once."""
        try:
            return cls.model_validate(_document(path))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise InvalidSimulation(str(path), [f"can't be read: {error}"]) from None
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in error.errors()]
            raise InvalidSimulation(str(path), problems) from None

    def model(self, name: str) -> ModelProfile | None:
        """The profile of a model by name or dated alias; None where the model is unknown."""
        return self.models.get(self.aliases.get(name, name))


def _document(path: Path) -> object:
    document = yaml.safe_load(path.read_text())
    if isinstance(document, dict) and document.get("extends") == _BASE:
        own = {name: value for name, value in document.items() if name != "extends"}
        return {**yaml.safe_load(BUILT_IN.read_text()), **own}
    return document
