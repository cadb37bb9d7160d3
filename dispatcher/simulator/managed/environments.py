"""Environments: the container configurations that sessions run in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatcher.simulator.clock import rfc3339
from dispatcher.simulator.managed import fields
from dispatcher.simulator.refusal import invalid

_KNOWN = frozenset(["name", "config", "description", "metadata", "scope"])
_PACKAGE_MANAGERS = ("apt", "cargo", "gem", "go", "npm", "pip")


@dataclass(slots=True)
class Environment:
    """An environment."""

    id: str
    created_at: dt.datetime
    updated_at: dt.datetime
    name: str
    description: str | None
    config: dict[str, Any]
    metadata: dict[str, str]
    archived_at: dt.datetime | None = None

    def view(self) -> dict[str, Any]:
        """The resource as the API returns it."""
        return {
            "id": self.id,
            "type": "environment",
            "name": self.name,
            "description": self.description,
            "config": self.config,
            "metadata": self.metadata,
            "scope": "organization",
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
            "archived_at": rfc3339(self.archived_at) if self.archived_at else None,
        }


def created_environment(environment_id: str, body: Mapping[str, Any], now: dt.datetime) -> Environment:
    """A new environment; without a configuration, a cloud container with unrestricted networking."""
    fields.only_known(body, _KNOWN)
    if body.get("scope") not in (None, "organization"):
        raise invalid("scope: Input should be 'organization'")
    return Environment(
        id=environment_id,
        created_at=now,
        updated_at=now,
        name=fields.text(body, "name"),
        description=fields.optional_text(body, "description"),
        config=_config(body.get("config"), None),
        metadata=fields.metadata(body),
    )


def update_environment(environment: Environment, body: Mapping[str, Any], now: dt.datetime) -> None:
    """Change what the body names."""
    fields.only_known(body, _KNOWN)
    if environment.archived_at is not None:
        raise invalid(f"environment {environment.id} is archived", error_code="environment_archived")
    if body.get("name") is not None:
        environment.name = fields.text(body, "name")
    if "description" in body:
        environment.description = fields.optional_text(body, "description")
    if body.get("config") is not None:
        environment.config = _config(body["config"], environment.config)
    environment.metadata = fields.patched_metadata(environment.metadata, body)
    environment.updated_at = now


def _config(config: object, before: Mapping[str, Any] | None) -> dict[str, Any]:
    config = {"type": "cloud"} if config is None else config
    kind = config.get("type") if isinstance(config, dict) else None
    if kind == "self_hosted":
        return {"type": "self_hosted"}
    if kind != "cloud" or not isinstance(config, dict):
        raise invalid("config.type: Input should be 'cloud' or 'self_hosted'")
    old = before if before and before["type"] == "cloud" else {}
    networking = _networking(config.get("networking") or old.get("networking") or {"type": "unrestricted"})
    packages = _packages(config.get("packages") or old.get("packages") or {})
    installs = any(packages[manager] for manager in _PACKAGE_MANAGERS)
    if installs and networking["type"] == "limited" and not networking["allow_package_managers"]:
        raise invalid("config.networking.allow_package_managers: must be true when packages are specified")
    return {"type": "cloud", "networking": networking, "packages": packages}


def _networking(value: object) -> dict[str, Any]:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "unrestricted":
        return {"type": "unrestricted"}
    if kind != "limited" or not isinstance(value, dict):
        raise invalid("config.networking.type: Input should be 'unrestricted' or 'limited'")
    hosts = fields.texts(value, "allowed_hosts")
    switches = {name: bool(value.get(name)) for name in ("allow_mcp_servers", "allow_package_managers")}
    return {"type": "limited", "allowed_hosts": hosts, **switches}


def _packages(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid("config.packages: Input should be an object")
    return {"type": "packages", **{manager: fields.texts(value, manager) for manager in _PACKAGE_MANAGERS}}
