"""What the log knows of conversations, kept results and sessions, blocking; reads only."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import partial
from itertools import islice

import sqlalchemy as sa

from dispatcher.audit.claims import Key, refuse_if_taken
from dispatcher.audit.connections import Connections
from dispatcher.audit.conversation import COLUMNS, so_far_of, swept_row_of
from dispatcher.audit.record import ConversationSoFar, Origin, SweptRow
from dispatcher.audit.tables import conversations, logs, results

_CONVERSATION = ("tenant", "feature", "conversation_id")
_BATCH = 200


class Reader:
    """Asks the log; every method raises sqlalchemy's errors where the database can't answer."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def conversation(
        self, tenant: str, feature: str, conversation_id: str, origin: Origin, now: dt.datetime
    ) -> ConversationSoFar:
        """The conversation as it stands; nothing of another origin but the ordinals of the turns."""
        key = dict(zip(_CONVERSATION, (tenant, feature, conversation_id), strict=True))
        rows = sa.select(*(logs.c[name] for name in COLUMNS)).where(*(logs.c[name] == key[name] for name in key))
        unexpired = [*(conversations.c[name] == key[name] for name in key), conversations.c.expires_at > now]
        kept = sa.select(conversations.c.turn, conversations.c.content).where(*unexpired).order_by(conversations.c.turn)

        def ask(connection: sa.Connection) -> ConversationSoFar:
            found = connection.execute(rows).all()
            if not found:
                return ConversationSoFar()
            return so_far_of(found, [(turn, text) for turn, text in connection.execute(kept)], origin, now)

        return self._connections.run(ask)

    def kept_result(
        self, tenant: str, feature: str, idempotency_key: str, origin: Origin, now: dt.datetime
    ) -> str | None:
        """The unexpired result that is kept for the key, of an action of that origin."""
        kept = (
            sa.select(results.c.content)
            .join_from(results, logs, results.c.log_id == logs.c.log_id)
            .where(
                results.c.tenant == tenant,
                results.c.feature == feature,
                results.c.idempotency_key == idempotency_key,
                results.c.expires_at > now,
                logs.c.origin == origin,
            )
        )
        return self._connections.run(lambda connection: connection.execute(kept).scalar())

    def refuse_if_taken(self, key: Key, request_hash: str) -> None:
        """Raise what a claim of the key would meet right now."""
        self._connections.run(lambda connection: refuse_if_taken(connection, key, request_hash))

    def sessions(self, log_ids: Collection[str]) -> dict[str, SweptRow]:
        """What the log knows of the rows, by their ids; a row that it doesn't have is left out."""
        left = iter(dict.fromkeys(log_ids))
        found: dict[str, SweptRow] = {}
        while batch := list(islice(left, _BATCH)):
            found |= self._connections.run(partial(_swept, log_ids=batch))
        return found


def _swept(connection: sa.Connection, log_ids: Sequence[str]) -> dict[str, SweptRow]:
    row, other = logs.alias("row_itself"), logs.alias("other")
    same = (other.c[name] == row.c[name] for name in (*_CONVERSATION, "origin"))
    its_own = sa.select(row.c.log_id.label("asked_for"), *(row.c[name] for name in COLUMNS))
    others = (
        sa.select(row.c.log_id.label("asked_for"), *(other.c[name] for name in COLUMNS))
        .join_from(row, other, sa.and_(*same))
        .where(other.c.log_id != row.c.log_id)
    )
    rows = defaultdict(list)
    for query in (its_own, others):
        for found in connection.execute(query.where(row.c.log_id.in_(log_ids))):
            rows[found.asked_for].append(found)
    return {log_id: swept_row_of(of_conversation) for log_id, of_conversation in rows.items()}
