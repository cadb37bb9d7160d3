"""A request that the API answers with an error body."""

from __future__ import annotations

from typing import Any

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Refusal(Exception):
    """The request is refused with an HTTP status and the API's error body.

    `error_code` is the machine-readable reason, where the API documents one. `error_type` is the one that belongs to
    the status, unless it is given.
    """

    def __init__(
        self, status: int, message: str, *, error_code: str | None = None, error_type: str | None = None
    ) -> None:
        self.status = status
        self.error_type = error_type or _TYPES.get(status, "api_error")
        self.message = message
        self.error_code = error_code
        super().__init__(status, message)

    def body(self, request_id: str) -> dict[str, Any]:
        """The error body as the API writes it."""
        error: dict[str, Any] = {"type": self.error_type, "message": self.message}
        if self.error_code is not None:
            error["details"] = {"error_code": self.error_code}
        return {"type": "error", "error": error, "request_id": request_id}


def invalid(message: str, *, error_code: str | None = None) -> Refusal:
    """Status 400, `invalid_request_error`."""
    return Refusal(400, message, error_code=error_code)


def not_found(message: str, *, error_code: str | None = None) -> Refusal:
    """Status 404, `not_found_error`."""
    return Refusal(404, message, error_code=error_code)
