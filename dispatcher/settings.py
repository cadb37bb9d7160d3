"""The only reader of the environment."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from dispatcher.errors import InvalidSettings

PROVIDER_URL = "https://api.anthropic.com"
_FORCE_PATH = "DISPATCHER_FORCE_PATH"
_LONGEST_VALUE = 200


_Model = TypeVar("_Model", bound=BaseSettings)


def _sendable(token: SecretStr | None) -> SecretStr | None:
    text = "" if token is None else token.get_secret_value()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("holds a blank, a line end or a character that can't be sent")
    return token


def _absolute_file(url: SecretStr) -> SecretStr:
    scheme, separator, rest = url.get_secret_value().partition(":///")
    if scheme.partition("+")[0] != "sqlite" or not separator or rest.startswith(("/", ":memory:")) or not rest:
        return url
    return SecretStr(f"{scheme}:///{Path(rest).absolute()}")


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
    spool_dir: Path | None = None
    spool_after_s: float = Field(default=2.0, ge=0.05, le=60)
    spool_max_bytes: int = Field(default=1 << 30, ge=1 << 20)
    spool_max_age_h: float = Field(default=168.0, gt=0, le=876_600)
    kill_file: Path | None = None
    unleash_url: str | None = None
    unleash_token: SecretStr | None = None
    unleash_refresh_s: float = Field(default=5.0, ge=0.1, le=600)
    unleash_state_dir: Path | None = None
    sweep_patience_s: float = Field(default=86_400.0, ge=60, le=10_000_000)
    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")
    anthropic_base_url: str = Field(default=PROVIDER_URL, validation_alias="ANTHROPIC_BASE_URL")

    @field_validator("policies_dir", "adrs_dir", "spool_dir", "kill_file", "unleash_state_dir")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.absolute()

    @field_validator("anthropic_base_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("is not an address of the form http://… or https://…")
        return url

    @field_validator("unleash_url")
    @classmethod
    def _is_a_server(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "http://none")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("is not an address of the form http://… or https://…")
        if "@" in parts.netloc:
            raise ValueError("holds a user or a password: the token goes into DISPATCHER_UNLEASH_TOKEN")
        return url

    @field_validator("unleash_token")
    @classmethod
    def _can_be_sent(cls, token: SecretStr | None) -> SecretStr | None:
        return _sendable(token)

    @model_validator(mode="after")
    def _address_and_token(self) -> Settings:
        if (self.unleash_url is None) is not (self.unleash_token is None):
            missing = "DISPATCHER_UNLEASH_URL" if self.unleash_url is None else "DISPATCHER_UNLEASH_TOKEN"
            raise ValueError(f"{missing} is missing: flags come from a server where both are set, else from flags.json")
        return self

    @field_validator("database_url")
    @classmethod
    def _absolute_sqlite(cls, url: SecretStr) -> SecretStr:
        return _absolute_file(url)

    @property
    def flag_state_dir(self) -> Path:
        """Where the last good state of a flag server is kept: by default beside the SQLite database."""
        return self.unleash_state_dir or self._beside_the_database / "flag-state"

    @property
    def log_spool_dir(self) -> Path:
        """Where rows wait that the database doesn't take: by default beside the SQLite database."""
        return self.spool_dir or self._beside_the_database / "spool"

    @property
    def _beside_the_database(self) -> Path:
        scheme, _, path = self.database_url.get_secret_value().partition(":///")
        beside = Path(path).parent if scheme.startswith("sqlite") and path.startswith("/") else Path(".dispatcher")
        return beside.absolute()

    @property
    def kill_switch_file(self) -> Path:
        """The file whose presence brakes: `DISPATCHER_KILL_FILE`, by default `KILL` in the policies directory."""
        return self.kill_file or self.policies_dir / "KILL"


class AdminSettings(BaseSettings):
    """Rights that the serving process must not hold, and where they apply; read by the verbs of the command line only.

    The project and environment are those of the flag on an Unleash server; an environment of None is that of the token.
    """

    model_config = SettingsConfigDict(
        env_prefix="DISPATCHER_", env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    admin_database_url: SecretStr | None = None
    unleash_admin_token: SecretStr | None = None
    webhook_url: SecretStr | None = None
    unleash_project: str = Field(default="default", pattern=r"^[A-Za-z0-9._~-]{1,100}$")
    unleash_environment: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._~-]{1,100}$")

    @field_validator("admin_database_url")
    @classmethod
    def _absolute_sqlite(cls, url: SecretStr | None) -> SecretStr | None:
        return None if url is None else _absolute_file(url)

    @field_validator("unleash_admin_token")
    @classmethod
    def _can_be_sent(cls, token: SecretStr | None) -> SecretStr | None:
        return _sendable(token)

    @field_validator("webhook_url")
    @classmethod
    def _is_a_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.fullmatch(r"https?://[^\s/]+\S*", url.get_secret_value()):
            raise ValueError("is no URL; write https://…")
        return url


def load_settings(**overrides: Any) -> Settings:
    """Read the environment; an override that is None is left to it. Raises InvalidSettings with every problem."""
    return _read(Settings, {name: value for name, value in overrides.items() if value is not None})


def load_admin_settings() -> AdminSettings:
    """Read the environment's rights. Raises InvalidSettings with every problem."""
    return _read(AdminSettings, {})


def _read(model: type[_Model], given: dict[str, Any]) -> _Model:
    try:
        return model(**given)
    except ValidationError as error:
        problems = [
            ": ".join(filter(None, [".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")]))
            for e in error.errors(include_input=False)
        ]
        raise InvalidSettings("settings", problems) from None


def look_at_kill_switch(kill_file: Path) -> tuple[str, str] | None:
    """One bare look at the kill switch, made on every call: (where, value), or None where it isn't set.

    The switch can only brake, so whatever isn't plainly its absence counts as set: an empty value, a link to nothing,
    and any error but "no such file". Reads nothing but one variable and one file and needs no other part of the
    program. Every decision tells the value, so no more than its beginning is returned.
    """
    forced = os.environ.get(_FORCE_PATH)
    if forced is not None:
        return _FORCE_PATH, forced.strip()[:_LONGEST_VALUE]
    try:
        # Without waiting: a pipe in the file's place must not stop every caller.
        descriptor = os.open(kill_file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return (str(kill_file), "unreadable: a link to nothing") if kill_file.is_symlink() else None
    except OSError as error:
        return str(kill_file), f"unreadable: {error.strerror}"
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return str(kill_file), "unreadable: not a regular file"
        return str(kill_file), os.read(descriptor, _LONGEST_VALUE).decode("utf-8", "replace").strip()
    except OSError as error:
        return str(kill_file), f"unreadable: {error.strerror}"
    finally:
        os.close(descriptor)


def repository_token(variable: str) -> SecretStr | None:
    """The read-only repository token held by an environment variable that `policies/repositories.yml` names."""
    value = os.environ.get(variable)
    return SecretStr(value) if value else None


def source_url(variable: str) -> SecretStr | None:
    """The URL of a baseline's database, held by an environment variable that `policies/sources.yml` names."""
    value = os.environ.get(variable)
    return SecretStr(value) if value else None
