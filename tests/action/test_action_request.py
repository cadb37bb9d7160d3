"""What may be asked for: every problem is told at once, and nothing unusable gets in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.action.request import QUESTION_MAX_CHARS, Limits, Repository, ResearchAction
from dispatcher.errors import InvalidAction

HERE = Repository(path=".")
URL = "https://github.com/script-nl/kendo"


def problems(build: Any, **arguments: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidAction) as raised:
        build(**arguments)
    return raised.value.problems


def action(**changes: Any) -> ResearchAction:
    return ResearchAction(**{"question": "Where?", "tenant": "script", "repository": HERE, **changes})


def test_a_plain_action_is_taken_as_it_is() -> None:
    asked = action(project="kendo", conversation_id="c:1", actor="jane@example.org", variant="legacy-cached")

    assert (asked.question, asked.tenant, asked.limits) == ("Where?", "script", Limits())


@pytest.mark.parametrize("question", ["", "  \n", None, 3, "x" * (QUESTION_MAX_CHARS + 1), "half \ud83d"])
def test_a_question_that_cannot_be_asked_is_refused(question: Any) -> None:
    (problem,) = problems(action, question=question)

    assert problem.startswith("question ")


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "a\n", "é", "x" * 121, "None", "null", "undefined", None, 7])
def test_a_tenant_that_is_no_name_is_refused(name: Any) -> None:
    (problem,) = problems(action, tenant=name)

    assert problem.startswith("tenant ")


@pytest.mark.parametrize("field", ["project", "conversation_id", "actor", "variant"])
def test_an_optional_name_may_be_missing_and_not_be_empty(field: str) -> None:
    assert getattr(action(**{field: None}), field) is None
    assert problems(action, **{field: ""}) == (f"{field} is empty",)


def test_all_problems_are_told_at_once() -> None:
    told = problems(action, question="", tenant="", repository=None, limits=None, actor="a b")

    assert [problem.split()[0] for problem in told] == ["question", "tenant", "actor", "repository", "limits"]


@pytest.mark.parametrize("path", [None, "", 3, b"."])
def test_a_repository_needs_a_path(path: Any) -> None:
    assert problems(Repository, path=path) == ("path is missing: name the local checkout that the tools read",)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "git@github.com:o/r.git",
        "http://github.com/o/r",
        "https://github.com/o",
        "https://github.com/o/r/tree/main",
        "https://github.com/o/..",
        "https://github.com/o/r\n",
        "https://token@github.com/o/r",
        "https://github.com.evil.org/o/r",
        3,
    ],
)
def test_an_address_that_is_no_repository_on_github_is_refused(url: Any) -> None:
    (problem,) = problems(Repository, path=".", github_url=url)

    assert "is not of the form https://github.com/OWNER/NAME" in problem


@pytest.mark.parametrize("commit", ["", "HEAD", "main", "abc123", "ABCDEF1", "--upload-pack=x", "a" * 65, 1234567])
def test_a_commit_is_a_sha_and_nothing_else(commit: Any) -> None:
    (problem,) = problems(Repository, path=".", commit=commit)

    assert "is not a SHA" in problem


def test_a_repository_may_have_all_three() -> None:
    whole = Repository(path=Path("/x"), github_url=URL, commit="abcdef1")

    assert (whole.path, whole.github_url, whole.commit) == (Path("/x"), URL, "abcdef1")


@pytest.mark.parametrize("iterations", [0, -1, True, 2.5, "8"])
def test_a_limit_of_iterations_is_a_whole_number_from_one(iterations: Any) -> None:
    (problem,) = problems(Limits, iterations=iterations)

    assert problem.startswith("iterations is ")


@pytest.mark.parametrize("deadline_s", [0, -1.0, float("nan"), float("inf"), True, "60"])
def test_a_deadline_is_a_positive_number_of_seconds(deadline_s: Any) -> None:
    (problem,) = problems(Limits, deadline_s=deadline_s)

    assert problem.startswith("deadline_s is ")


@given(
    st.none() | st.integers(1, 2**63 - 1), st.none() | st.floats(min_value=0, exclude_min=True, allow_infinity=False)
)
def test_usable_limits_are_kept(iterations: int | None, deadline_s: float | None) -> None:
    limits = Limits(iterations=iterations, deadline_s=deadline_s)

    assert (limits.iterations, limits.deadline_s) == (iterations, deadline_s)


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary()


@given(st.fixed_dictionaries(dict.fromkeys(["question", "tenant", "repository", "limits", "actor"], anything)))
def test_any_value_is_taken_or_refused_with_its_problems(arguments: dict[str, Any]) -> None:
    assert problems(ResearchAction, **arguments)
