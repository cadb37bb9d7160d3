"""A share that grows keeps whom it reached, and reaches as many as it says: 20 000 tenants, through the flag engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scipy.stats import binom

from dispatcher.routing.flags.answer import FlagContext
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.reader import read_flag_document
from dispatcher.routing.flags.state import compile_state

FLAG = "agent-research"
CANDIDATE = "managed-haiku-4-5-cap8"
UNITS = 20_000


def rollout(percent: int, field: str) -> dict[str, Any]:
    """A share by rollout: whom it leaves out stays where it was."""
    return rule(str(percent), field, [{"name": CANDIDATE, "weight": 1000}])


def weighted(percent: int, field: str) -> dict[str, Any]:
    """A share by weights, the control named."""
    arms = [{"name": CANDIDATE, "weight": percent * 10}, {"name": "legacy", "weight": 1000 - percent * 10}]
    return rule("100", field, arms)


def rule(percent: str, field: str, arms: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": "flexibleRollout",
        "constraints": [],
        "parameters": {"rollout": percent, "stickiness": field, "groupId": "growing"},
        "variants": [{**arm, "stickiness": field} for arm in arms],
    }


def reached(strategy: dict[str, Any], contexts: list[FlagContext]) -> set[FlagContext]:
    document = {"version": 2, "features": [{"name": FLAG, "enabled": True, "strategies": [strategy]}]}
    state = compile_state(read_flag_document(json.dumps(document).encode(), "document", [FLAG]), [FLAG])
    engine = FlagEngine(state)
    return {context for context in contexts if engine.answer(FLAG, context, None).variant == CANDIDATE}


@pytest.mark.parametrize(("share", "field"), [(rollout, "tenantId"), (weighted, "conversationId")])
def test_from_5_to_20_percent_the_first_set_stays_and_the_shares_are_binomial(share: Any, field: str) -> None:
    """Within the bounds that a fair draw leaves with a probability of one in a million."""
    by_tenant = field == "tenantId"
    contexts = [FlagContext(tenant=f"t-{n if by_tenant else n % 7}", conversation=f"c-{n}") for n in range(UNITS)]

    few, many = reached(share(5, field), contexts), reached(share(20, field), contexts)

    assert few < many
    for found, probability in ((few, 0.05), (many, 0.2)):
        low, high = binom.interval(1 - 1e-6, UNITS, probability)
        assert low <= len(found) <= high


def test_a_tenants_conversations_share_one_draw_by_tenant_and_have_their_own_by_conversation() -> None:
    contexts = [FlagContext(tenant=f"t-{n % 50}", conversation=f"c-{n}") for n in range(2000)]

    by_tenant = reached(rollout(50, "tenantId"), contexts)
    by_conversation = reached(rollout(50, "conversationId"), contexts)
    tenants_split = {c.tenant for c in by_conversation} & {c.tenant for c in set(contexts) - by_conversation}

    assert by_tenant == {c for c in contexts if c.tenant in {reached_one.tenant for reached_one in by_tenant}}
    assert len(tenants_split) == 50
