"""What tests of sticky assignments share: a flag's rule, a conversation, and what the log says was decided."""

from __future__ import annotations

CAP8 = "managed-haiku-4-5-cap8"
QUESTIONS = ["Where is the greeting computed?", "And where is it called?", "Who wrote it?"]


def rule(rollout, variant=CAP8, tenant="script", by="conversationId"):
    return {
        "name": "flexibleRollout",
        "title": "ramp",
        "constraints": [{"contextName": "tenantId", "operator": "IN", "values": [tenant]}],
        "parameters": {"rollout": str(rollout), "stickiness": by, "groupId": "ramp"},
        "variants": [{"name": variant, "weight": 1000, "stickiness": by}],
    }


def patient(dispatcher):
    """The dispatcher, waiting for the log however busy the machine is: its bound has tests of its own."""
    dispatcher._ready_parts().recall._bound_s = 60
    return dispatcher


class Talk:
    """One conversation, told its own past."""

    def __init__(self, ask):
        self.ask = ask
        self.history = None

    def turn(self, dispatcher, on_event=None, **more):
        turns = 0 if self.history is None else len(self.history.turns)
        action = self.ask("script", question=QUESTIONS[turns], conversation_id="c-1", history=self.history, **more)
        result = dispatcher.dispatch_research(action, on_event)
        self.history = result.transcript
        return result


def decisions(rows):
    return [(row["variant"], row["reason"]) for row in rows()]
