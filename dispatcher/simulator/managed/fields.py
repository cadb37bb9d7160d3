"""Reading fields of request bodies, refused as the API refuses them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dispatcher.simulator.refusal import invalid

_MOST_METADATA = 16
_LONGEST_KEY = 64
_LONGEST_VALUE = 512


def only_known(body: Mapping[str, Any], known: Collection[str], place: str = "") -> None:
    """Refuse a field that the endpoint doesn't have."""
    unknown = next((name for name in body if name not in known), None)
    if unknown is not None:
        raise invalid(f"{place}{unknown}: Extra inputs are not permitted")


def text(body: Mapping[str, Any], name: str, *, empty: bool = False) -> str:
    """A required string."""
    value = body.get(name)
    if value is None:
        raise invalid(f"{name}: Field required")
    if not isinstance(value, str) or not (value or empty):
        raise invalid(f"{name}: Input should be a non-empty string")
    return value


def optional_text(body: Mapping[str, Any], name: str) -> str | None:
    """A string that may be null or absent."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"{name}: Input should be a valid string")
    return value


def objects(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects; empty where it is null or absent."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid(f"{name}: Input should be a list of objects")
    return value


def texts(body: Mapping[str, Any], name: str) -> list[str]:
    """A list of strings; empty where it is null or absent."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise invalid(f"{name}: Input should be a list of strings")
    return value


def version(body: Mapping[str, Any]) -> int | None:
    """An agent's version; None where it is null or absent."""
    value = body.get("version")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise invalid("version: Input should be greater than or equal to 1")
    return value


def metadata(body: Mapping[str, Any]) -> dict[str, str]:
    """Key-value pairs within the API's bounds."""
    return _bounded(_pairs(body))


def patched_metadata(before: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, str]:
    """Metadata after an update: a string sets a key, null removes it, an absent field keeps everything."""
    changes = _pairs(body)
    merged = {**before, **changes}
    return _bounded({key: value for key, value in merged.items() if value is not None})


def _pairs(body: Mapping[str, Any]) -> dict[str, Any]:
    value = body.get("metadata")
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(one is None or isinstance(one, str) for one in value.values()):
        raise invalid("metadata: Input should be an object of strings")
    return value


def _bounded(pairs: dict[str, Any]) -> dict[str, str]:
    if len(pairs) > _MOST_METADATA:
        raise invalid(f"metadata: at most {_MOST_METADATA} pairs are allowed")
    for key, value in pairs.items():
        if value is None or len(key) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
            raise invalid(f"metadata: keys have up to {_LONGEST_KEY} characters, values up to {_LONGEST_VALUE}")
    return pairs
