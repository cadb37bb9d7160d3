"""The section `conduct:` of a feature's policy: its meaning, its defaults, and every problem at once."""

from __future__ import annotations

import datetime as dt
from decimal import localcontext
from pathlib import Path

import pytest
from routing_documents import POLICIES

from dispatcher.action.decision import PathName
from dispatcher.action.policy import BreakerPolicy, Budget, Conduct, Keeping, Period, Redaction, RetryPolicy
from dispatcher.errors import InvalidPolicy
from dispatcher.routing.conduct import ConductDefinition
from dispatcher.routing.policy import FEATURE_FILE, REPOSITORIES_FILE, Policies

FEATURE = """\
schema: 1
feature: agent_research
flag: agent-research
variants:
  legacy:
    {path: messages, model: m, iteration_cap: 8, max_tokens: 9, deadline_s: 60, CAPS}
conduct:
""".replace("CAPS", "tool_call_cap: 80, token_cap: 1000000, cost_cap_usd: 1.25")
FIRST_LINE = 8


def conduct(directory: Path, section: str) -> Conduct:
    (directory / FEATURE_FILE).write_text(FEATURE + section)
    (directory / REPOSITORIES_FILE).write_text("schema: 1\ntenants: {}\n")
    return Policies.load(directory).conduct


def problems(directory: Path, section: str) -> list[str]:
    with pytest.raises(InvalidPolicy) as refused:
        conduct(directory, section)
    return [problem.removeprefix(f"{FEATURE_FILE}: ") for problem in refused.value.problems]


def test_what_is_left_out_has_the_defaults_of_its_parts() -> None:
    assert ConductDefinition().conduct() == Conduct(
        retries=RetryPolicy(),
        breaker=BreakerPolicy(),
        concurrency={PathName.MESSAGES: 256, PathName.MANAGED: 256},
        queue=10_000,
        default_budget=None,
        budgets={},
        conversations=None,
        results=None,
        session_ttl=dt.timedelta(hours=24),
    )


def test_the_shipped_section_states_the_defaults_and_keeps_no_content() -> None:
    assert Policies.load(POLICIES).conduct == ConductDefinition().conduct()


def test_every_key_means_what_it_says(tmp_path: Path) -> None:
    section = """\
  retries: {attempts: 1, first_wait_s: 0.25, longest_wait_s: 2}
  breaker: {failures: 9, cooldown_s: 1.5}
  concurrency: {messages: 4, managed: 5, queue: 0}
  budgets: {default: {usd: 0.1, per: day}, tenants: {acme: {usd: 500, per: month}}}
  keep:
    redact: [email_addresses, credentials]
    conversations: {ttl: 7d, max_bytes: 4000000}
    results: {ttl: 30m, max_bytes: 1}
  session_ttl: 0s
"""

    assert conduct(tmp_path, section) == Conduct(
        retries=RetryPolicy(attempts=1, first_wait_s=0.25, longest_wait_s=2.0),
        breaker=BreakerPolicy(failures=9, cooldown_s=1.5),
        concurrency={PathName.MESSAGES: 4, PathName.MANAGED: 5},
        queue=0,
        default_budget=Budget(nanousd=100_000_000, per=Period.DAY),
        budgets={"acme": Budget(nanousd=500 * 10**9, per=Period.MONTH)},
        conversations=Keeping(ttl=dt.timedelta(days=7), max_bytes=4_000_000),
        results=Keeping(ttl=dt.timedelta(minutes=30), max_bytes=1),
        session_ttl=dt.timedelta(0),
        redact=(Redaction.EMAIL_ADDRESSES, Redaction.CREDENTIALS),
    )


def test_a_tenant_has_its_own_budget_or_the_default_one(tmp_path: Path) -> None:
    stated = conduct(tmp_path, "  budgets: {default: {usd: 1, per: day}, tenants: {acme: {usd: 2, per: month}}}\n")
    unstated = conduct(tmp_path, "  budgets: {tenants: {acme: {usd: 2, per: month}}}\n")

    assert [stated.budget_of(tenant) for tenant in ("acme", "globex")] == [
        Budget(nanousd=2 * 10**9, per=Period.MONTH),
        Budget(nanousd=10**9, per=Period.DAY),
    ]
    assert unstated.budget_of("globex") is None


def test_all_problems_of_the_section_are_listed_at_once_and_with_those_of_the_variants(tmp_path: Path) -> None:
    section = """\
  retries: {attempts: 0, first_wait_s: -1, pause: 3}
  breaker: {failures: 0, cooldown_s: soon}
  concurrency: {messages: 0, managed: two, queue: -1}
  budgets: {default: {usd: 0, per: week}, tenants: {a b: {usd: 1}}}
  keep: {conversations: {ttl: 0d, max_bytes: 0}, everything: yes}
  session_ttl: 24
"""
    (tmp_path / FEATURE_FILE).write_text((FEATURE + section).replace("token_cap: 1000000, ", ""))
    (tmp_path / REPOSITORIES_FILE).write_text("schema: 1\ntenants: {}\n")

    with pytest.raises(InvalidPolicy) as refused:
        Policies.load(tmp_path)

    places = [problem.split(": ")[2] for problem in refused.value.problems]
    assert sorted(places) == sorted(
        [
            "variants.legacy.token_cap",
            "conduct.retries.attempts",
            "conduct.retries.first_wait_s",
            "conduct.retries.pause",
            "conduct.breaker.failures",
            "conduct.breaker.cooldown_s",
            "conduct.concurrency.messages",
            "conduct.concurrency.managed",
            "conduct.concurrency.queue",
            "conduct.budgets.default.usd",
            "conduct.budgets.default.per",
            "conduct.budgets.tenants.a b",
            "conduct.budgets.tenants.a b.per",
            "conduct.keep.conversations.ttl",
            "conduct.keep.conversations.max_bytes",
            "conduct.keep.everything",
            "conduct.session_ttl",
        ]
    )


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (
            "  retries: {first_wait_s: 9}\n",
            "conduct.retries: the longest wait, 8 s, is shorter than the first",
        ),
        (
            "  budgets: {default: {usd: 0.0000000009, per: day}}\n",
            "conduct.budgets.default.usd: 0.0000000009 is not an amount from 0.000000001 to 1000000000 US dollars",
        ),
        (
            "  budgets: {default: {usd: 1000000001, per: day}}\n",
            "conduct.budgets.default.usd: 1000000001 is not an amount from 0.000000001 to 1000000000 US dollars",
        ),
        (
            "  keep: {results: {ttl: 0h, max_bytes: 1}}\n",
            "conduct.keep.results.ttl: is no time at all: leave it out to keep nothing",
        ),
        (
            "  session_ttl: 1w\n",
            "conduct.session_ttl: '1w' is not a duration: write a whole number and s, m, h or d, such as 24h or 7d",
        ),
        ("  retries: []\n", "conduct.retries: is no mapping of keys to values"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_its_reason(tmp_path: Path, section: str, expected: str) -> None:
    assert problems(tmp_path, section) == [f"line {FIRST_LINE}: {expected}"]


def test_a_section_that_stands_empty_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, "") == ["line 7: conduct: is no mapping of keys to values"]


def test_amounts_are_rounded_down_to_the_nano_dollar_whatever_the_thread_rounds_decimals_to(tmp_path: Path) -> None:
    with localcontext(prec=3):
        found = conduct(tmp_path, "  budgets: {default: {usd: 123456789.1234567899, per: day}}\n")

    assert found.default_budget == Budget(nanousd=123_456_789_123_456_789, per=Period.DAY)
