"""Faults of a whole response: an error status, a connection that closes, a body that is none, an answer that is late.

A request that such a fault meets was not applied and charges nothing, unless the fault says that it was `applied`:
then it has its whole effect and its whole cost, and the client isn't told.
"""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime
from typing import ClassVar, Literal

from pydantic import Field, model_validator
from starlette.responses import HTMLResponse, JSONResponse, Response

from dispatcher.document.notation import Contradictions
from dispatcher.simulator.faults.vocabulary import REQUESTS, WRITES, Fault, Seconds
from dispatcher.simulator.refusal import Refusal

_PAGE = "<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>proxy</body></html>"


class ResponseFault(Fault):
    """What goes wrong before the first byte of a response, or instead of it."""

    acts_on: ClassVar[frozenset[str]] = REQUESTS


class Status(ResponseFault):
    """An error status, with the API's error body or a proxy's HTML page.

    `error_type`, `message` and `error_code` are the body's; without a type, the one that belongs to the status.
    At most one of the three `retry_after` forms: seconds, milliseconds (the header `retry-after-ms`), or an HTTP date
    that many real seconds from now. `should_retry` is the header `x-should-retry`.
    """

    name: Literal["status"] = "status"
    status: int = Field(ge=400, le=599)
    error_type: str | None = None
    message: str = "Injected by the simulator"
    error_code: str | None = None
    retry_after_s: Seconds | None = None
    retry_after_ms: int | None = Field(default=None, ge=0)
    retry_after_date_s: int | None = None
    should_retry: bool | None = None
    html: bool = False
    applied: bool = False

    @model_validator(mode="after")
    def _one_retry_after(self) -> Status:
        given = [self.retry_after_s, self.retry_after_ms, self.retry_after_date_s]
        if sum(one is not None for one in given) > 1:
            raise Contradictions(["retry_after_s, retry_after_ms and retry_after_date_s exclude each other"])
        return self

    def headers(self, now: dt.datetime) -> dict[str, str]:
        """The headers by which the response says when, and whether, to try again."""
        headers = {}
        if self.retry_after_s is not None:
            headers["retry-after"] = f"{self.retry_after_s:g}"
        if self.retry_after_ms is not None:
            headers["retry-after-ms"] = str(self.retry_after_ms)
        if self.retry_after_date_s is not None:
            headers["retry-after"] = format_datetime(now + dt.timedelta(seconds=self.retry_after_date_s), usegmt=True)
        if self.should_retry is not None:
            headers["x-should-retry"] = "true" if self.should_retry else "false"
        return headers

    def response(self, request_id: str, now: dt.datetime) -> Response:
        """The response itself."""
        if self.html:
            return HTMLResponse(_PAGE.format(status=self.status), self.status, self.headers(now))
        refusal = Refusal(self.status, self.message, error_code=self.error_code, error_type=self.error_type)
        return JSONResponse(refusal.body(request_id), self.status, self.headers(now))


class DropBefore(ResponseFault):
    """The connection closes before the response's headers; the request was not applied."""

    name: Literal["drop_before"] = "drop_before"


class DropAfter(ResponseFault):
    """The connection closes before the response's headers, after the request was applied and charged."""

    acts_on: ClassVar[frozenset[str]] = WRITES
    name: Literal["drop_after"] = "drop_after"


class NonJson(ResponseFault):
    """Status 200 with a proxy's HTML page."""

    name: Literal["non_json"] = "non_json"
    applied: bool = False

    def response(self) -> Response:
        """The response itself."""
        return HTMLResponse(_PAGE.format(status="Please sign in"))


class Stall(ResponseFault):
    """No byte of a response comes, until the client gives up; the request was not applied unless `applied`."""

    name: Literal["stall"] = "stall"
    applied: bool = False


class SlowHeaders(ResponseFault):
    """The request is taken up, and answered as ever, `seconds` late."""

    name: Literal["slow_headers"] = "slow_headers"
    seconds: Seconds
