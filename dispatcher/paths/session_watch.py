"""What the observer is told of a session's events: markers, model requests with their usage, tool calls."""

from __future__ import annotations

from dispatcher.action.observation import Usage
from dispatcher.paths.observation import Observer
from dispatcher.paths.session_events import Event, inner
from dispatcher.paths.timing import Marker
from dispatcher.paths.wire import count, word

_OUTPUT = frozenset(
    {"agent.message", "agent.thinking", "agent.tool_use", "agent.mcp_tool_use", "agent.custom_tool_use"}
)
_RESULTS = frozenset({"agent.tool_result", "agent.mcp_tool_result"})


class SessionWatch:
    """Notes each event once, as it arrives, for one observer. The session's one model is that of its agent."""

    def __init__(self, observer: Observer, model: str) -> None:
        self._observer = observer
        self._model = model
        self._started_ns: dict[str, int | None] = {}
        self._missed: set[Marker] = set()

    def note(self, event: Event, *, live: bool) -> None:
        """Note a new event; one that isn't live came at a time that nobody saw, so it marks and measures nothing."""
        kind = event.get("type")
        if kind == "span.model_request_start":
            self._request_started(event, live=live)
        elif kind == "span.model_request_end":
            self._request_ended(event, live=live)
        elif kind in _RESULTS:
            self._observer.tool(failed=bool(event.get("is_error")))
        elif kind in _OUTPUT:
            self._mark(Marker.FIRST_TOKEN, live=live)
        if kind == "agent.message":
            self._mark(Marker.FIRST_TEXT, live=live)

    def _request_started(self, event: Event, *, live: bool) -> None:
        self._mark(Marker.SESSION_DONE, live=live)
        self._observer.begin_call()
        self._started_ns[str(event.get("id"))] = self._observer.clock() if live else None

    def _request_ended(self, event: Event, *, live: bool) -> None:
        start_id = str(event.get("model_request_start_id"))
        if start_id not in self._started_ns:
            return
        started_ns = self._started_ns.pop(start_id)
        ended_ns = self._observer.clock()
        self._observer.end_call(
            model=self._model,
            usage=_usage(event),
            latency_ms=(ended_ns - started_ns) // 1_000_000 if live and started_ns is not None else None,
            request_id=word(event.get("id")),
        )

    def _mark(self, marker: Marker, *, live: bool) -> None:
        if live and marker not in self._missed:
            self._observer.mark(marker)
        else:
            self._missed.add(marker)


def _usage(event: Event) -> Usage:
    # A span doesn't say which of the writes were for an hour; the session's total does, at the end.
    written = _tokens(event, "cache_creation_input_tokens")
    return Usage(
        input_tokens=_tokens(event, "input_tokens"),
        output_tokens=_tokens(event, "output_tokens"),
        cache_read_input_tokens=_tokens(event, "cache_read_input_tokens"),
        cache_creation_input_tokens=written,
        cache_creation_5m_input_tokens=0 if written == 0 else None,
        cache_creation_1h_input_tokens=0 if written == 0 else None,
    )


def _tokens(event: Event, name: str) -> int | None:
    return count(inner(event, "model_usage", name))
