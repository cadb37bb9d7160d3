"""How a variant is written: its caps are required, and what belongs to one path is refused on the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.action.decision import CapMode, PathName, Variant
from dispatcher.errors import InvalidPolicy
from dispatcher.routing.policy import FEATURE_FILE, REPOSITORIES_FILE, Policies

HEAD = "schema: 1\nfeature: agent_research\nflag: agent-research\nvariants:\n"
LEGACY = (
    "  legacy: {path: messages, model: m, iteration_cap: 8, tool_call_cap: 80, token_cap: 1000000, "
    "cost_cap_usd: 1.25, max_tokens: 100, deadline_s: 60}\n"
)
MANAGED = (
    "  m: {path: managed, model: m, iteration_cap: 8, tool_call_cap: 0, token_cap: 1, "
    "cost_cap_usd: 0.000000001, deadline_s: 60}\n"
)


def load(directory: Path, variants: str) -> Policies:
    (directory / FEATURE_FILE).write_text(HEAD + variants)
    (directory / REPOSITORIES_FILE).write_text("schema: 1\ntenants: {}\n")
    return Policies.load(directory)


def problems(directory: Path, variants: str) -> list[str]:
    with pytest.raises(InvalidPolicy) as refused:
        load(directory, variants)
    return [problem.removeprefix(f"{FEATURE_FILE}: ") for problem in refused.value.problems]


def test_a_definition_becomes_the_variant_with_its_cost_in_nano_dollars(tmp_path: Path) -> None:
    found = load(tmp_path, LEGACY + MANAGED).variants

    assert found["legacy"] == Variant(
        name="legacy",
        path=PathName.MESSAGES,
        model="m",
        iteration_cap=8,
        tool_call_cap=80,
        token_cap=1_000_000,
        cost_cap_nanousd=1_250_000_000,
        deadline_s=60.0,
        max_tokens=100,
    )
    assert (found["m"].tool_call_cap, found["m"].token_cap, found["m"].cost_cap_nanousd) == (0, 1, 1)


@pytest.mark.parametrize("cap", ["iteration_cap: 8", "tool_call_cap: 80", "token_cap: 1000000", "cost_cap_usd: 1.25"])
def test_every_cap_is_stated(tmp_path: Path, cap: str) -> None:
    name = cap.split(":", maxsplit=1)[0]

    assert problems(tmp_path, LEGACY.replace(f"{cap}, ", "")) == [f"line 5: variants.legacy.{name}: is missing"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("iteration_cap: 8", "iteration_cap: 10001"),
        ("tool_call_cap: 80", "tool_call_cap: -1"),
        ("tool_call_cap: 80", "tool_call_cap: 1.5"),
        ("token_cap: 1000000", "token_cap: 0"),
        ("token_cap: 1000000", "token_cap: many"),
        ("cost_cap_usd: 1.25", "cost_cap_usd: 0"),
        ("cost_cap_usd: 1.25", "cost_cap_usd: '1.25'"),
        ("cost_cap_usd: 1.25", "cost_cap_usd: 0.0000000001"),
        ("cost_cap_usd: 1.25", "cost_cap_usd: 9999999999"),
        ("deadline_s: 60", "deadline_s: 86400.5"),
    ],
)
def test_a_cap_that_could_not_hold_is_refused(tmp_path: Path, old: str, new: str) -> None:
    (problem,) = problems(tmp_path, LEGACY.replace(old, new))

    assert problem.startswith(f"line 5: variants.legacy.{new.split(':', maxsplit=1)[0]}: ")


def test_a_managed_variant_keeps_to_its_caps_in_the_named_mode(tmp_path: Path) -> None:
    named = MANAGED.replace("path: managed", "path: managed, cap_mode: confirm")

    assert load(tmp_path, LEGACY + named).variants["m"].cap_mode is CapMode.CONFIRM
    assert load(tmp_path, LEGACY + MANAGED).variants["m"].cap_mode is not None
    assert load(tmp_path, LEGACY).default.cap_mode is None


@pytest.mark.parametrize("word", ["sometimes", "[]", "1"])
def test_a_cap_mode_is_one_of_the_two(tmp_path: Path, word: str) -> None:
    written = LEGACY + MANAGED.replace("path: managed", f"path: managed, cap_mode: {word}")

    assert problems(tmp_path, written) == ["line 6: variants.m.cap_mode: input should be 'interrupt' or 'confirm'"]


def test_a_cap_mode_is_refused_on_the_messages_path(tmp_path: Path) -> None:
    written = LEGACY.replace("path: messages", "path: messages, cap_mode: confirm")

    assert problems(tmp_path, written) == [
        "line 5: variants.legacy.cap_mode: is of the managed path only; our own loop simply ends"
    ]


def test_a_fallback_is_another_registered_variant(tmp_path: Path) -> None:
    falls_back = MANAGED.replace("path: managed", "path: managed, fallback: legacy")

    assert load(tmp_path, LEGACY + falls_back).variants["m"].fallback == "legacy"
    assert load(tmp_path, LEGACY + MANAGED).variants["m"].fallback is None


def test_every_fallback_to_nothing_or_to_itself_is_listed(tmp_path: Path) -> None:
    to_itself = MANAGED.replace("path: managed", "path: managed, fallback: m")
    to_nothing = LEGACY.replace("path: messages", "path: messages, fallback: gone")

    assert problems(tmp_path, to_nothing + to_itself) == [
        "line 5: variants.legacy.fallback: 'gone' is not another registered variant",
        "line 6: variants.m.fallback: 'm' is not another registered variant",
    ]


def test_every_part_of_a_definition_is_in_its_hash(tmp_path: Path) -> None:
    managed = MANAGED.replace("path: managed", "path: managed, cap_mode: interrupt")
    changes = {
        "model: m": "model: n",
        "iteration_cap: 8": "iteration_cap: 9",
        "tool_call_cap: 0": "tool_call_cap: 1",
        "token_cap: 1,": "token_cap: 2,",
        "cost_cap_usd: 0.000000001": "cost_cap_usd: 0.000000002",
        "deadline_s: 60": "deadline_s: 60.5",
        "cap_mode: interrupt": "cap_mode: confirm",
        "path: managed,": "path: managed, fallback: legacy,",
    }
    hashes = [load(tmp_path, LEGACY + managed).variants["m"].hash]
    hashes += [load(tmp_path, LEGACY + managed.replace(old, new)).variants["m"].hash for old, new in changes.items()]

    assert len(set(hashes)) == len(changes) + 1


def test_a_definition_has_the_same_hash_in_every_process(tmp_path: Path) -> None:
    written_otherwise = LEGACY.replace("cost_cap_usd: 1.25", "cost_cap_usd: 1.250").replace("60}", "60.0}")

    assert load(tmp_path, LEGACY).default.hash == "6c2e404563547538"
    assert load(tmp_path, written_otherwise).default.hash == "6c2e404563547538"
