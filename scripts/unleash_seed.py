"""Seeds an Unleash server through its admin API, so that its flags mean what policies/flags.json says."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from local_process import Unusable

ENVIRONMENT = "development"
_FLAGS = "/api/admin/projects/default/features"
_CONTEXT_FIELDS = {
    "tenantId": "The customer that the work is done for.",
    "projectId": "The customer's project, where there is one.",
    "conversationId": "The conversation, or the dispatch itself where there is none.",
}
_CARRIED = ("name", "title", "constraints", "parameters")
_WHOLE = 1000


class Admin:
    """The admin API of one server."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    def __call__(self, method: str, path: str, body: Any = None, *, allowed: tuple[int, ...] = ()) -> Any:
        """The answer's JSON, None where it has none or its status is an allowed one. Raises Unusable."""
        request = urllib.request.Request(  # noqa: S310 - always loopback
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": self._token, "Content-Type": "application/json"},
        )
        # A proxy of the environment has no business between this machine and itself.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            if error.code in allowed:
                return None
            raise Unusable(f"{method} {path} answered {error.code}: {error.read()[:300].decode()}") from None
        except OSError as error:
            raise Unusable(f"{method} {path} wasn't answered: {error}") from None
        return json.loads(content) if content else None


def seed(admin: Admin, flags: Path) -> list[str]:
    """Create what isn't there yet and return its names; what is there may have been edited and stays as it is."""
    document = json.loads(flags.read_text())
    if document.get("segments"):
        raise Unusable(f"{flags.name} has segments, which aren't seeded: write their constraints on the strategies")
    for name, description in _CONTEXT_FIELDS.items():
        field = {"name": name, "description": description, "stickiness": True}
        admin("POST", "/api/admin/context", field, allowed=(409,))
    there = {feature["name"] for feature in admin("GET", _FLAGS)["features"]}
    missing = [feature for feature in document["features"] if feature["name"] not in there]
    for feature in missing:
        _create(admin, feature)
    for feature in missing:
        for dependency in feature.get("dependencies", []):
            admin("POST", f"{_FLAGS}/{feature['name']}/dependencies", dependency)
    # On is last: before it, nobody is reached by a flag that is only half there.
    for feature in missing:
        if feature["enabled"]:
            _switch_on(admin, feature)
    return [feature["name"] for feature in missing]


def _create(admin: Admin, feature: dict[str, Any]) -> None:
    described = {key: feature[key] for key in ("name", "type", "description") if key in feature}
    admin("POST", _FLAGS, {**described, "impressionData": feature.get("impressionData", False)})
    for order, strategy in enumerate(feature["strategies"]):
        carried = {key: strategy[key] for key in _CARRIED if key in strategy}
        variants = _weighted(strategy.get("variants", []))
        body = {**carried, "variants": variants, "sortOrder": order, "disabled": strategy.get("disabled", False)}
        admin("POST", f"{_FLAGS}/{feature['name']}/environments/{ENVIRONMENT}/strategies", body)


def _weighted(variants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The variants with weights that stay: the server splits what "fix" ones leave evenly among "variable" ones."""
    if variants and sum(variant["weight"] for variant in variants) != _WHOLE:
        raise Unusable(f"the weights of {[variant['name'] for variant in variants]} must add up to {_WHOLE}")
    return [{**variant, "weightType": "fix" if n else "variable"} for n, variant in enumerate(variants)]


def _switch_on(admin: Admin, feature: dict[str, Any]) -> None:
    if all(strategy.get("disabled", False) for strategy in feature["strategies"]):
        # Asked to switch on a flag without a strategy in force, the server adds one that reaches everybody.
        raise Unusable(f"flag {feature['name']!r} is on without a strategy in force: that would be on for everybody")
    admin("POST", f"{_FLAGS}/{feature['name']}/environments/{ENVIRONMENT}/on")
