"""Reading the body of a request."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from dispatcher.simulator.refusal import Refusal, invalid

_LARGEST_BODY = 32 * 1024 * 1024


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object that a request carries; refused where it is none, or above 32 MB."""
    raw = await request.body()
    if len(raw) > _LARGEST_BODY:
        raise Refusal(413, "Request exceeds the maximum size")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise invalid("The request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise invalid("The request body is not a JSON object")
    return body
