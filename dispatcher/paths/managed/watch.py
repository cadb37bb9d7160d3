"""What the observer is told of a session's events: markers, model requests with their usage, tool calls, words."""

from __future__ import annotations

from dispatcher.action.event import TextArrived
from dispatcher.action.observation import Usage
from dispatcher.paths.managed.caps import Spent
from dispatcher.paths.managed.event import Event, inner, texts_of
from dispatcher.paths.managed.work import add_to
from dispatcher.paths.observation import Observer
from dispatcher.paths.timing import Marker
from dispatcher.paths.wire import count, storable, word

_USES = frozenset({"agent.tool_use", "agent.mcp_tool_use", "agent.custom_tool_use"})
_OUTPUT = _USES | {"agent.message", "agent.thinking"}
_RESULTS = {"agent.tool_result": "tool_use_id", "agent.mcp_tool_result": "mcp_tool_use_id"}


class SessionWatch:
    """Notes each event once, as it arrives, for one observer. The session's one model is that of its agent."""

    def __init__(self, observer: Observer, model: str) -> None:
        self._observer = observer
        self._model = model
        self._began_ns = observer.clock()
        self._started: dict[str, tuple[int, int | None]] = {}
        self._missed: set[Marker] = set()
        self._names: dict[str, str | None] = {}
        self._denied: frozenset[str] = frozenset()
        self._before_latest = (0, 0)

    @property
    def spent(self) -> Spent:
        """What the turn has taken so far, its running time included, counted as if it had run since it began."""
        observer, (tokens, cost) = self._observer, self._observer.spent
        running_ms = (observer.clock() - self._began_ns) // 1_000_000
        return Spent(
            tokens=tokens,
            cost_nanousd=cost + observer.prices.runtime_cost_nanousd(running_ms),
            latest_tokens=tokens - self._before_latest[0],
            latest_cost_nanousd=cost - self._before_latest[1],
        )

    @property
    def awaits_usage(self) -> bool:
        """Whether a request began whose usage wasn't told yet; it can come after the end of the turn."""
        return bool(self._started)

    def deny(self, use_id: str) -> None:
        """Expect a result that says only that the call was denied: it isn't a call that ran."""
        self._denied |= {use_id}

    def note(self, event: Event, *, live: bool) -> None:
        """Note a new event; one that isn't live came at a time that nobody saw, so it marks and measures nothing."""
        kind = str(event.get("type"))
        add_to(self._observer.work, event)
        if kind == "span.model_request_start":
            self._request_started(event, live=live)
        elif kind == "span.model_request_end":
            self._request_ended(event, live=live)
        elif kind in _RESULTS:
            self._tool_ran(str(event.get(_RESULTS[kind])), failed=bool(event.get("is_error")))
        elif kind in _OUTPUT:
            self._mark(Marker.FIRST_TOKEN, live=live)
        if kind in _USES:
            self._names[str(event.get("id"))] = word(event.get("name"))
        if kind == "agent.message":
            self._mark(Marker.FIRST_TEXT, live=live)
            self._tell_text(event)

    def _request_started(self, event: Event, *, live: bool) -> None:
        self._mark(Marker.SESSION_DONE, live=live)
        ordinal = self._observer.begin_call()
        self._started[str(event.get("id"))] = ordinal, self._observer.clock() if live else None

    def _request_ended(self, event: Event, *, live: bool) -> None:
        start_id = str(event.get("model_request_start_id"))
        if start_id not in self._started:
            return
        ordinal, started_ns = self._started.pop(start_id)
        ended_ns = self._observer.clock()
        self._before_latest = self._observer.spent
        self._observer.end_call(
            ordinal=ordinal,
            model=self._model,
            usage=_usage(event),
            latency_ms=(ended_ns - started_ns) // 1_000_000 if live and started_ns is not None else None,
            request_id=word(event.get("id")),
        )

    def _tool_ran(self, use_id: str, *, failed: bool) -> None:
        if use_id not in self._denied:
            self._observer.tool(self._names.get(use_id), failed=failed)

    def _tell_text(self, event: Event) -> None:
        if text := "".join(texts_of(event)):
            self._observer.tell(TextArrived(text=storable(text)))

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
