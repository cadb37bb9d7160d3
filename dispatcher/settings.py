"""The only reader of the environment."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from dispatcher.errors import InvalidSettings

PROVIDER_URL = "https://api.anthropic.com"
_FORCE_PATH = "DISPATCHER_FORCE_PATH"


class Settings(BaseSettings):
    """What the serving process reads from `DISPATCHER_*`, and the provider's address and key as its SDK spells them.

    Paths are made absolute at start, so that a later change of directory moves nothing. An empty variable is one that
    isn't set.
    """

    model_config = SettingsConfigDict(
        env_prefix="DISPATCHER_", env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    database_url: SecretStr = SecretStr("sqlite:///.dispatcher/dispatcher.db")
    policies_dir: Path = Path("policies")
    adrs_dir: Path = Path("adrs")
    kill_file: Path | None = None
    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")
    anthropic_base_url: str = Field(default=PROVIDER_URL, validation_alias="ANTHROPIC_BASE_URL")

    @field_validator("policies_dir", "adrs_dir", "kill_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.absolute()

    @field_validator("anthropic_base_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("is not an address of the form http://… or https://…")
        return url

    @field_validator("database_url")
    @classmethod
    def _absolute_sqlite(cls, url: SecretStr) -> SecretStr:
        scheme, separator, rest = url.get_secret_value().partition(":///")
        if scheme.partition("+")[0] != "sqlite" or not separator or rest.startswith(("/", ":memory:")) or not rest:
            return url
        return SecretStr(f"{scheme}:///{Path(rest).absolute()}")

    @property
    def kill_switch_file(self) -> Path:
        """The file whose presence brakes: `DISPATCHER_KILL_FILE`, by default `KILL` in the policies directory."""
        return self.kill_file or self.policies_dir / "KILL"


def load_settings(**overrides: Any) -> Settings:
    """Read the environment; an override that is None is left to it. Raises InvalidSettings with every problem."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors(include_input=False)
        ]
        raise InvalidSettings("settings", problems) from None


def look_at_kill_switch(kill_file: Path) -> tuple[str, str] | None:
    """One bare look at the kill switch, made on every call: (where, value), or None where it isn't set.

    The switch can only brake, so whatever isn't plainly its absence counts as set: an empty value, and any error
    but "no such file". Reads nothing but one variable and one file and needs no other part of the program.
    """
    forced = os.environ.get(_FORCE_PATH)
    if forced is not None:
        return _FORCE_PATH, forced.strip()
    try:
        # Without waiting: a pipe in the file's place must not stop every caller.
        descriptor = os.open(kill_file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        return str(kill_file), f"unreadable: {error.strerror}"
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return str(kill_file), "unreadable: not a regular file"
        return str(kill_file), os.read(descriptor, 200).decode("utf-8", "replace").strip()
    except OSError as error:
        return str(kill_file), f"unreadable: {error.strerror}"
    finally:
        os.close(descriptor)


def repository_token(variable: str) -> SecretStr | None:
    """The read-only repository token held by an environment variable that `policies/repositories.yml` names."""
    value = os.environ.get(variable)
    return SecretStr(value) if value else None
