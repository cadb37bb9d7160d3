"""The bytes of a flag document as one JSON object."""

from __future__ import annotations

import json
from typing import Any


class NoDocumentError(Exception):
    """The bytes hold no flag document; the message says what they are instead."""


def json_object(content: bytes, **hooks: Any) -> dict[str, Any]:
    """The object, read by `json.loads` with these hooks. Raises NoDocumentError, as a hook may."""
    if not content.strip():
        raise NoDocumentError("is empty")
    try:
        found = json.loads(content.decode(), **hooks)
    except UnicodeDecodeError as error:
        raise NoDocumentError(f"is not UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise NoDocumentError(f"is not JSON, or only the beginning of it: {error.msg} in {place}") from None
    except RecursionError:
        raise NoDocumentError("is not usable JSON: it is nested too deeply") from None
    except ValueError as error:
        raise NoDocumentError(f"is not usable JSON: {error}") from None
    if not isinstance(found, dict):
        raise NoDocumentError(f"holds a {type(found).__name__}, not an object with 'version' and 'features'")
    return found


def first_repeated(pairs: list[tuple[str, Any]]) -> str:
    """The first key that stands again among the pairs of an object, where one does."""
    keys = [key for key, _ in pairs]
    return next(key for key in keys if keys.count(key) > 1)
