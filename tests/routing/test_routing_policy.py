"""The policies directory: what is shipped, and every problem of every file at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from routing_documents import POLICIES, URL

from dispatcher.action.decision import PathName
from dispatcher.errors import InvalidPolicy
from dispatcher.routing.policy import FEATURE_FILE, REPOSITORIES_FILE, Policies

FEATURE = """\
schema: 1
feature: agent_research
flag: agent-research
variants:
  legacy: {path: messages, model: m, iteration_cap: 8, max_tokens: 100, deadline_s: 60}
"""
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

    assert (plain.iteration_cap, plain.max_tokens, plain.deadline_s) == (
        cached.iteration_cap,
        cached.max_tokens,
        cached.deadline_s,
    )
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

    *of_feature, of_repositories = problems(tmp_path, feature, repositories)

    assert of_feature == [
        "agent_research.yml: variants.legacy.model: Field required",
        "agent_research.yml: variants.legacy.iteration_cap: Input should be greater than or equal to 1",
        "agent_research.yml: variants.legacy.effort: Extra inputs are not permitted",
    ]
    assert of_repositories.startswith(
        "repositories.yml: tenants.acme.https://gitlab.com/example/checkout: String should"
    )


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("  legacy:", "  old:", "variants.legacy must be registered, on the messages path"),
        ("path: messages", "path: managed", "variants.legacy must be registered, on the messages path"),
        ("path: messages", "path: both", "variants.legacy.path: Input should be 'messages' or 'managed'"),
        ("path: messages", "path: []", "variants.legacy.path: Input should be"),
        ("max_tokens: 100", "max_tokens: '100'", "variants.legacy.max_tokens: Input should be a valid integer"),
        ("deadline_s: 60", "deadline_s: .inf", "variants.legacy.deadline_s: Input should be a finite number"),
        ("deadline_s: 60", "deadline_s: 0", "variants.legacy.deadline_s: Input should be greater than 0"),
        ("flag: agent-research", "flag: agent research", "flag: String should match pattern"),
        ("schema: 1", "schema: 2", "schema: Input should be 1"),
        ("flag:", "flog:", "flog: Extra inputs are not permitted"),
        ("max_tokens: 100", "model: n", "line 5: key 'model' stands here twice"),
        ("schema: 1", "? [1]: 2", "line 1: found unhashable key"),
        ("variants:", "variants: {", "agent_research.yml: line"),
    ],
)
def test_a_bad_feature_file_is_refused_with_its_reason(tmp_path: Path, old: str, new: str, reason: str) -> None:
    found = problems(tmp_path, FEATURE.replace(old, new, 1))

    assert [problem for problem in found if reason in problem], found


def test_caching_belongs_to_the_messages_path(tmp_path: Path) -> None:
    managed = "  m: {path: managed, model: m, iteration_cap: 8, max_tokens: 9, deadline_s: 60, prompt_caching: true}\n"

    (problem,) = problems(tmp_path, FEATURE + managed)

    assert problem.startswith("agent_research.yml: variants.m: prompt_caching is of the messages path only")


def test_a_token_in_place_of_its_variable_is_refused_and_not_shown(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, repositories=REPOSITORIES.replace("CHECKOUT_TOKEN", "ghp_verysecret"))

    assert "is not the name of an environment variable; a token never stands here" in problem
    assert "verysecret" not in problem


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
