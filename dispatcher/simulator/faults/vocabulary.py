"""Where a fault can strike: the operations of the API, and the moments inside a managed session. Closed."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field

from dispatcher.document.notation import Strict

Request = Literal[
    "messages.create",
    "messages.count_tokens",
    "agents.create",
    "agents.list",
    "agents.retrieve",
    "agents.update",
    "agents.archive",
    "agents.list_versions",
    "environments.create",
    "environments.list",
    "environments.retrieve",
    "environments.update",
    "environments.archive",
    "environments.delete",
    "sessions.create",
    "sessions.list",
    "sessions.retrieve",
    "sessions.update",
    "sessions.archive",
    "sessions.delete",
    "events.send",
    "events.list",
    "events.stream",
]
"""An HTTP request."""

Moment = Literal["repository.clone", "model_request", "session.idle"]
"""A moment inside a managed session: a repository is mounted, the model is asked, the session goes idle."""

Operation = Literal[Request, Moment]

REQUESTS: frozenset[str] = frozenset(get_args(Request))
OPERATIONS: tuple[str, ...] = (*get_args(Request), *get_args(Moment))
WRITES: frozenset[str] = frozenset(
    one for one in REQUESTS if one.endswith((".create", ".update", ".archive", ".delete", ".send"))
)
"""The requests that change or cost something, and so can be applied without being answered."""
STREAMS: frozenset[str] = frozenset(["messages.create", "events.stream"])
TEXTLESS: frozenset[str] = frozenset(
    one for one in REQUESTS if one.startswith(("agents.", "environments.")) and not one.endswith((".create", ".update"))
) | {"sessions.list"}
"""The requests that carry no text by which a scenario could be told."""


def _as_float(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


Seconds = Annotated[float, BeforeValidator(_as_float), Field(ge=0, allow_inf_nan=False)]
"""Simulated seconds, unless the field says otherwise."""


class Fault(Strict):
    """Something that goes wrong. `acts_on` are the operations where it can."""

    acts_on: ClassVar[frozenset[str]]
