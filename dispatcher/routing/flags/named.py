"""Whom the conditions of a flag's rules name: of whom there is something to tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Key = tuple[str | None, str | None]
"""A tenant and a project; None is one that no rule names."""


_BY_NAME = ("tenantId", "IN", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBy:
    """The tenants and projects that a rule's conditions name, and whether it reaches tenants by name only."""

    tenants: set[str]
    projects: set[str]
    by_name: bool


def named_by(strategy: dict[str, Any], segments: list[dict[str, Any]]) -> NamedBy:
    """What a rule names, by itself and by its segments."""
    shared = [c for segment in segments if segment["id"] in strategy["segments"] for c in segment["constraints"]]
    constraints = [*strategy["constraints"], *shared]
    return NamedBy(
        tenants=_named(constraints, "tenantId"),
        projects=_named(constraints, "projectId"),
        by_name=any((c["contextName"], c["operator"], c["inverted"]) == _BY_NAME for c in constraints),
    )


def first_by_project(rules: list[NamedBy]) -> int:
    """The number, from 0, of the first rule that looks at projects; how many there are where none does."""
    return next((number for number, rule in enumerate(rules) if rule.projects), len(rules))


def with_projects(named: list[NamedBy], tenants: set[str | None]) -> Iterator[Key]:
    """The tenants, each with the projects of the rules that can reach it; None is whom no rule names."""
    of_all = set().union(*(one.projects for one in named if not one.by_name))
    for tenant in sorted(tenants, key=lambda name: name or ""):
        own = (one.projects for one in named if tenant in one.tenants)
        yield from ((tenant, project) for project in sorted(of_all.union(*own)))


def _named(constraints: list[dict[str, Any]], field: str) -> set[str]:
    return {value for c in constraints if c["contextName"] == field for value in c.get("values", [])}


def unnamed(names: set[str]) -> str:
    """A name that no list holds and no beginning, middle or end of a name matches."""
    name = "∅"
    while any(other in name for other in names):
        name = chr(ord(name) + 1)
    return name
