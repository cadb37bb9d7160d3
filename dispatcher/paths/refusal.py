"""What the provider's word for an error and its HTTP status mean; pure."""

from __future__ import annotations

from collections.abc import Mapping

from dispatcher.action.observation import ErrorType

_BY_ERROR_CODE: Mapping[str, ErrorType] = {
    "enforced_spend_limit_reached": ErrorType.BILLING,
    "contract_spend_limit_reached": ErrorType.BILLING,
}
_BY_TYPE: Mapping[str, ErrorType] = {
    "invalid_request_error": ErrorType.INVALID_REQUEST,
    "request_too_large": ErrorType.INVALID_REQUEST,
    "conflict_error": ErrorType.INVALID_REQUEST,
    "authentication_error": ErrorType.AUTHENTICATION,
    "billing_error": ErrorType.BILLING,
    "permission_error": ErrorType.PERMISSION,
    "not_found_error": ErrorType.NOT_FOUND,
    "rate_limit_error": ErrorType.RATE_LIMITED,
    "overloaded_error": ErrorType.OVERLOADED,
    "timeout_error": ErrorType.PROVIDER_ERROR,
    "api_error": ErrorType.PROVIDER_ERROR,
}
_BY_STATUS: Mapping[int, ErrorType] = {
    401: ErrorType.AUTHENTICATION,
    402: ErrorType.BILLING,
    403: ErrorType.PERMISSION,
    404: ErrorType.NOT_FOUND,
    408: ErrorType.PROVIDER_ERROR,
    429: ErrorType.RATE_LIMITED,
    499: ErrorType.CONNECTION,
    529: ErrorType.OVERLOADED,
}
_TRANSIENT = frozenset({ErrorType.RATE_LIMITED, ErrorType.OVERLOADED, ErrorType.PROVIDER_ERROR})
_LASTING = frozenset({ErrorType.AUTHENTICATION, ErrorType.PERMISSION, ErrorType.BILLING})
_NEVER_RUN = frozenset({ErrorType.RATE_LIMITED, ErrorType.OVERLOADED})
_PERHAPS_RUN = frozenset({408, 499})
_BEGUN = 200


def error_type_of(status: int, *, kind: object, code: object) -> ErrorType:
    """The group of an error by its code, else by its own type, else by its status.

    After the status 200 of an event stream only the type tells what happened, so it goes before the status everywhere.
    """
    fallback = ErrorType.INVALID_REQUEST if _is_client_error(status) else ErrorType.PROVIDER_ERROR
    return _BY_ERROR_CODE.get(str(code)) or _BY_TYPE.get(str(kind)) or _BY_STATUS.get(status, fallback)


def is_transient(error_type: ErrorType, should_retry: str | None) -> bool:
    """Whether the same request may do well a moment later.

    `should_retry` is the header `x-should-retry`: the provider's own word wins, except where asking again never helps.
    A conflict (409) isn't transient: the same version conflicts again.
    """
    if should_retry == "true":
        return error_type not in _LASTING
    return error_type in _TRANSIENT and should_retry != "false"


def was_refused(status: int, error_type: ErrorType) -> bool:
    """Whether an answer proves that the request was not carried out.

    What a proxy answers for the provider proves nothing, nor does the end of a stream that had begun.
    """
    if _is_client_error(status):
        return status not in _PERHAPS_RUN
    return status != _BEGUN and error_type in _NEVER_RUN


def _is_client_error(status: int) -> bool:
    return 400 <= status < 500  # noqa: PLR2004
