"""Whoever a project makes a difference for is asked about with it, and nobody else."""

from __future__ import annotations

from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from routing_documents import FLAG, KILL, ask, document, engine, only, rule

from dispatcher.routing.flags.answer import FlagState
from dispatcher.routing.flags.standing import standing_of
from dispatcher.routing.flags.survey import survey

TENANTS, PROJECTS = ("acme", "globex"), ("p", "q")


def _conditions(field: str, names: tuple[str, ...]) -> st.SearchStrategy[list[dict[str, Any]]]:
    listed = st.lists(st.sampled_from(names), min_size=1, unique=True)
    made = st.builds(lambda values, operator: only(*values, field=field, operator=operator), listed, OPERATORS)
    return st.lists(made, max_size=1)


OPERATORS = st.sampled_from(["IN", "NOT_IN"])
RULES = st.builds(
    lambda tenants, projects, variant: rule(*tenants, *projects, variants={variant: 1}),
    _conditions("tenantId", TENANTS),
    _conditions("projectId", PROJECTS),
    st.sampled_from(["a", "b", "c"]),
)


@settings(max_examples=100)
@given(st.lists(RULES, min_size=1, max_size=4), st.booleans())
def test_a_standing_says_of_every_tenant_and_project_what_the_engine_says(
    rules: list[dict[str, Any]], by_parent: bool
) -> None:
    content = document(*rules)
    if by_parent:
        held = {"name": "default", "constraints": [only("p", field="projectId")]}
        content["features"][0] = {"name": KILL, "enabled": True, "strategies": [held]}
    asked = engine(content)
    standing = standing_of(asked, FLAG)

    for tenant, project in product((*TENANTS, "other"), (*PROJECTS, "other", None)):
        answer = ask(asked, tenant, project=project)
        said = answer.variant if answer.state is FlagState.VARIANT else "legacy"
        known = tenant if tenant in TENANTS else None, project if project in PROJECTS else None
        assert standing.entry(*known).shares == ((said, 1.0),), (tenant, project)


def test_whom_a_rule_sends_somewhere_before_any_looks_at_projects_is_asked_about_once() -> None:
    """Two full rules would be 62,500 questions in every process, after every flip."""
    named = [f"t-{number}" for number in range(250)]
    projects = [f"p-{number}" for number in range(250)]
    found = survey(engine(document(rule(only(*named)), rule(only(*projects, field="projectId"), title="p"))), FLAG)

    assert found is not None
    assert len(found) == len(named) + len(projects) + 1


def test_the_questions_about_projects_are_bounded() -> None:
    named = [f"t-{number}" for number in range(100)]
    projects = [f"p-{number}" for number in range(200)]
    found = survey(engine(document(rule(only(*projects, field="projectId")), rule(only(*named), title="t"))), FLAG)

    assert found is not None
    assert len(found) == len(named) + 1 + 10_000
