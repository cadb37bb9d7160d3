"""The policies directory: what is shipped, and every problem of every file at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from routing_documents import POLICIES, URL

from dispatcher.action.decision import PathName
from dispatcher.errors import InvalidPolicy
from dispatcher.routing.policy import FEATURE_FILE, REPOSITORIES_FILE, Policies

CAPS = "tool_call_cap: 80, token_cap: 1000000, cost_cap_usd: 1.25"
FEATURE = """\
schema: 1
feature: agent_research
flag: agent-research
variants:
  legacy: {path: messages, model: m, iteration_cap: 8, max_tokens: 100, deadline_s: 60, CAPS}
""".replace("CAPS", CAPS)
REPOSITORIES = "schema: 1\ntenants: {acme: {https://github.com/example/checkout: CHECKOUT_TOKEN}}\n"


def load(directory: Path, feature: str = FEATURE, repositories: str = REPOSITORIES) -> Policies:
    (directory / FEATURE_FILE).write_text(feature)
    (directory / REPOSITORIES_FILE).write_text(repositories)
    return Policies.load(directory)


def problems(directory: Path, feature: str = FEATURE, repositories: str = REPOSITORIES) -> tuple[str, ...]:
    with pytest.raises(InvalidPolicy) as refused:
        load(directory, feature, repositories)
    return refused.value.problems


def test_the_shipped_policies_register_the_variants_of_the_design() -> None:
    shipped = Policies.load(POLICIES).variants

    assert {name: (v.path, v.model, v.prompt_caching) for name, v in shipped.items()} == {
        "legacy": (PathName.MESSAGES, "claude-sonnet-4-6", False),
        "legacy-cached": (PathName.MESSAGES, "claude-sonnet-4-6", True),
        "managed-sonnet-4-6": (PathName.MANAGED, "claude-sonnet-4-6", False),
        "managed-haiku-4-5-cap8": (PathName.MANAGED, "claude-haiku-4-5", False),
    }
    assert shipped["managed-haiku-4-5-cap8"].iteration_cap == 8


def test_both_arms_of_a_shipped_comparison_differ_in_caching_alone() -> None:
    shipped = Policies.load(POLICIES).variants
    plain, cached = shipped["legacy"], shipped["legacy-cached"]

    assert cached == replace(plain, name="legacy-cached", prompt_caching=True)
    assert plain.hash != cached.hash


def test_a_tenant_may_have_its_own_repositories_researched_and_no_others(tmp_path: Path) -> None:
    loaded = load(tmp_path)

    assert loaded.repository_allowed("acme", URL)
    assert not loaded.repository_allowed("acme", URL + "-2")
    assert not loaded.repository_allowed("umbrella", URL)
    assert loaded.token_variable("acme", URL) == "CHECKOUT_TOKEN"


def test_all_problems_of_all_files_are_listed_at_once(tmp_path: Path) -> None:
    feature = FEATURE.replace("iteration_cap: 8", "iteration_cap: 0, effort: high").replace("model: m, ", "")
    repositories = REPOSITORIES.replace("github.com", "gitlab.com")

    assert problems(tmp_path, feature, repositories) == (
        "agent_research.yml: line 5: variants.legacy.effort: is not a known key",
        "agent_research.yml: line 5: variants.legacy.iteration_cap: input should be greater than or equal to 1",
        "agent_research.yml: line 5: variants.legacy.model: is missing",
        (
            "repositories.yml: line 2: tenants.acme.https://gitlab.com/example/checkout: is not an address of the form "
            "https://github.com/<owner>/<repository>, without user and token"
        ),
    )


BRAKE = "variants.legacy: must be registered, on the messages path: every brake leads to it"
FLAG_FORM = "is not of the form ^[A-Za-z0-9._~-]{1,100}$"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  legacy:", "  old:", f"line 4: {BRAKE}"),
        (
            "path: messages, model: m, iteration_cap: 8, max_tokens: 100",
            "path: managed, model: m, iteration_cap: 8",
            f"line 5: {BRAKE}",
        ),
        ("path: messages", "path: both", "line 5: variants.legacy.path: input should be 'messages' or 'managed'"),
        ("path: messages", "path: []", "line 5: variants.legacy.path: input should be 'messages' or 'managed'"),
        ("max_tokens: 100", "max_tokens: '100'", "line 5: variants.legacy.max_tokens: input should be a valid integer"),
        ("deadline_s: 60", "deadline_s: .inf", "line 5: variants.legacy.deadline_s: '.inf' is not a number"),
        ("deadline_s: 60", "deadline_s: .nan", "line 5: variants.legacy.deadline_s: '.nan' is not a number"),
        ("deadline_s: 60", "deadline_s: '60'", "line 5: variants.legacy.deadline_s: '60' is not a number"),
        ("deadline_s: 60", "deadline_s: 60s", "line 5: variants.legacy.deadline_s: '60s' is not a number"),
        ("deadline_s: 60", "deadline_s: true", "line 5: variants.legacy.deadline_s: True is not a number"),
        ("deadline_s: 60", "deadline_s: 0", "line 5: variants.legacy.deadline_s: input should be greater than 0"),
        ("deadline_s: 60", "deadline_s: -0.5", "line 5: variants.legacy.deadline_s: input should be greater than 0"),
        ("flag: agent-research", "flag: agent research", f"line 3: flag: 'agent research' {FLAG_FORM}"),
        ("schema: 1", "schema: 2", "line 1: schema: input should be 1"),
        ("max_tokens: 100", "model: n", "line 5: the key model stands here a second time"),
        ("schema: 1", "? [1]: 2", "line 1: has a key that is not a word"),
        ("variants:", "variants: {", "line 6: is not YAML: expected ',' or '}', but got '<stream end>'"),
    ],
)
def test_a_bad_feature_file_is_refused_with_its_reason(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert problems(tmp_path, FEATURE.replace(old, new, 1)) == (f"agent_research.yml: {expected}",)


def test_a_misspelt_key_is_unknown_and_the_right_one_missing(tmp_path: Path) -> None:
    assert problems(tmp_path, FEATURE.replace("flag:", "flog:")) == (
        "agent_research.yml: line 1: flag: is missing",
        "agent_research.yml: line 3: flog: is not a known key",
    )


def test_what_the_messages_path_alone_takes_is_refused_on_the_managed_one(tmp_path: Path) -> None:
    managed = """\
  m:
    path: managed
    model: m
    iteration_cap: 8
    max_tokens: 9
    deadline_s: 60
    prompt_caching: true
    tool_call_cap: 80
    token_cap: 1000000
    cost_cap_usd: 1
"""

    assert problems(tmp_path, FEATURE + managed) == (
        (
            "agent_research.yml: line 10: variants.m.max_tokens: is of the messages path only; "
            "the platform has no such setting"
        ),
        (
            "agent_research.yml: line 12: variants.m.prompt_caching: is of the messages path only; "
            "the platform caches itself"
        ),
    )


def test_every_messages_variant_states_max_tokens(tmp_path: Path) -> None:
    bare = f"  bare: {{path: messages, model: m, iteration_cap: 8, deadline_s: 60, {CAPS}}}\n"

    assert problems(tmp_path, FEATURE + bare) == (
        (
            "agent_research.yml: line 6: variants.bare.max_tokens: is missing: "
            "every request on the messages path states it"
        ),
    )


def test_a_managed_variant_has_no_max_tokens_and_a_deadline_may_have_decimals(tmp_path: Path) -> None:
    managed = f"  m: {{path: managed, model: m, iteration_cap: 8, deadline_s: 52.6, {CAPS}}}\n"

    variant = load(tmp_path, FEATURE + managed).variants["m"]

    assert (variant.max_tokens, variant.deadline_s) == (None, 52.6)


SECRET = "ghp_verysecret"


@pytest.mark.parametrize(
    "written",
    [SECRET, f"'{SECRET}'", "GHP-VERYSECRET", f"[{SECRET}]", f"{{{SECRET}: {SECRET}}}", f"CHECKOUT_TOKEN={SECRET}"],
)
def test_a_token_in_place_of_its_variable_is_refused_and_not_shown(tmp_path: Path, written: str) -> None:
    (problem,) = problems(tmp_path, repositories=REPOSITORIES.replace("CHECKOUT_TOKEN", written))

    assert problem.startswith(f"repositories.yml: line 2: tenants.acme.{URL}: ")
    assert "verysecret" not in problem.lower()


def test_a_token_in_place_of_its_variable_is_told_where_it_never_stands(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, repositories=REPOSITORIES.replace("CHECKOUT_TOKEN", SECRET))

    assert problem.endswith(": is not the name of an environment variable; a token never stands here")


@pytest.mark.parametrize("user", [SECRET, f"x-access-token:{SECRET}", f"{SECRET}:"])
def test_a_token_in_an_address_is_refused_and_not_shown(tmp_path: Path, user: str) -> None:
    (problem,) = problems(tmp_path, repositories=REPOSITORIES.replace("https://", f"https://{user}@"))

    assert problem == (
        "repositories.yml: line 2: tenants.acme.https://…@github.com/example/checkout: is not an address of the form "
        "https://github.com/<owner>/<repository>, without user and token"
    )


def test_a_token_in_an_address_that_stands_twice_is_not_shown(tmp_path: Path) -> None:
    address = f"https://{SECRET}@github.com/example/checkout"

    (problem,) = problems(tmp_path, repositories=f"schema: 1\ntenants: {{acme: {{{address}: A, {address}: B}}}}\n")

    assert problem == (
        "repositories.yml: line 2: the key https://…@github.com/example/checkout stands here a second time"
    )


@pytest.mark.parametrize("end", ["", "/", "/checkout/tree", "/checkout#readme", "/check out"])
def test_an_address_names_an_owner_and_a_repository_and_nothing_else(tmp_path: Path, end: str) -> None:
    (problem,) = problems(tmp_path, repositories=REPOSITORIES.replace("/checkout", end))

    assert "is not an address of the form https://github.com/<owner>/<repository>" in problem


def test_a_missing_file_and_one_that_can_not_be_looked_at_are_different_problems(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        Policies.load(tmp_path / ("x" * 300))

    assert refused.value.problems == (
        "agent_research.yml: can't be read: File name too long",
        "repositories.yml: can't be read: File name too long",
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"text", b"\xff\xfe", b"a: [", b"\x00"])
def test_a_file_that_is_no_mapping_is_one_clear_problem(tmp_path: Path, content: bytes) -> None:
    load(tmp_path)
    (tmp_path / REPOSITORIES_FILE).write_bytes(content)

    with pytest.raises(InvalidPolicy) as refused:
        Policies.load(tmp_path)

    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith("repositories.yml: ")


def test_a_missing_directory_and_a_directory_in_place_of_a_file_name_the_files(tmp_path: Path) -> None:
    (tmp_path / "as-folders" / FEATURE_FILE).mkdir(parents=True)

    with pytest.raises(InvalidPolicy) as missing:
        Policies.load(tmp_path / "nowhere")
    with pytest.raises(InvalidPolicy) as folder:
        Policies.load(tmp_path / "as-folders")

    assert [problem.split(":")[0] for problem in missing.value.problems] == [FEATURE_FILE, REPOSITORIES_FILE]
    assert "set DISPATCHER_POLICIES_DIR" in missing.value.problems[0]
    assert folder.value.problems[0] == "agent_research.yml: can't be read: Is a directory"
