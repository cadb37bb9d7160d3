"""Reading the body of a request."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from dispatcher.simulator.refusal import Refusal, invalid

MANAGED_BETA = "managed-agents-2026-04-01"
_LARGEST_BODY = 32 * 1024 * 1024


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object that a request carries; refused where it is none, or above 32 MB."""
    raw = await request.body()
    if len(raw) > _LARGEST_BODY:
        raise Refusal(413, "Request exceeds the maximum size")
    try:
        body = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise invalid("The request body is not valid JSON") from None
    if b"\\ud" in raw.lower() and not _is_encodable(body):
        raise invalid("The request body is not valid JSON: no low surrogate in string")
    if not isinstance(body, dict):
        raise invalid("The request body is not a JSON object")
    return body


def require_beta(request: Request) -> None:
    """Refuse a Managed Agents request without the beta header."""
    betas = ",".join(request.headers.getlist("anthropic-beta"))
    if MANAGED_BETA not in [beta.strip() for beta in betas.split(",")]:
        raise invalid(f"this endpoint requires the anthropic-beta header {MANAGED_BETA}")


def _is_encodable(body: object) -> bool:
    """Whether every string of a body is proper Unicode: JSON can escape halves of a character."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_number(name: str) -> float:
    """Python reads NaN and Infinity, JSON has neither."""
    raise ValueError(name)
