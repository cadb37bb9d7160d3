"""One rule of a flag as a document or the server's admin API has it: what it says, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatcher.routing.flags.answer import ALWAYS_SENT

Rule = Mapping[str, Any]
"""A strategy, in the keys of the JSON."""

WHOLE = 1000
"""The weights of a rule's variants add up to this."""
_TENANT, _PROJECT = "tenantId", "projectId"


def variant_names(rule: Rule) -> list[str]:
    """The variants that the rule can end at."""
    return [variant["name"] for variant in rule.get("variants") or []]


def sticks_to(rule: Rule) -> str | None:
    """The field of the context that the rule's draw hashes."""
    parameters = rule.get("parameters") or {}
    stickiness = parameters.get("stickiness")
    return None if stickiness is None else str(stickiness)


def group_of(rule: Rule) -> str:
    """The seed of the rule's draw."""
    return str((rule.get("parameters") or {}).get("groupId"))


def draws(rule: Rule) -> bool:
    """Whether chance has a part in where the rule sends somebody."""
    return len(variant_names(rule)) > 1 or (rule.get("parameters") or {}).get("rollout", "100") != "100"


def reaches_everybody(rule: Rule) -> bool:
    """Whether the rule is in force and has no condition."""
    return not (rule.get("disabled") or rule.get("constraints") or rule.get("segments"))


def may_reach(rule: Rule, tenant: str, project: str | None) -> bool:
    """Whether the rule may apply to an action of the tenant, of that project where one is given; rather too often."""
    if rule.get("disabled"):
        return False
    for constraint in rule.get("constraints") or []:
        asked = {_TENANT: tenant, _PROJECT: project}.get(constraint["contextName"])
        operator, values = constraint["operator"], constraint.get("values") or []
        if asked is None or operator not in {"IN", "NOT_IN"}:
            continue
        passes = (asked in values) is (operator == "IN")
        if passes is bool(constraint.get("inverted")):
            return False
    return True


def is_naming(rule: Rule, project: str | None, *, any_project: bool = False, drawing: bool = False) -> list[str] | None:
    """The tenants of a rule that does nothing but name tenants, of that one project or of none; else None.

    It names them for one variant, or with `drawing` for a draw too.
    """
    certain = sticks_to(rule) in ALWAYS_SENT and not draws(rule) and len(variant_names(rule)) == 1
    if rule.get("disabled") or rule.get("segments") or not (certain or drawing):
        return None
    lists: dict[str, list[str]] = {}
    for constraint in rule.get("constraints") or []:
        field = constraint["contextName"]
        if constraint["operator"] != "IN" or constraint.get("inverted") or field in lists:
            return None
        lists[field] = list(constraint.get("values") or [])
    tenants, projects = lists.pop(_TENANT, None), lists.pop(_PROJECT, None)
    if lists or not (any_project or projects == (None if project is None else [project])):
        return None
    return tenants


def renamed(rule: Rule, tenants: list[str]) -> Rule:
    """The rule with another list of tenants."""
    constraints = [
        {**constraint, "values": tenants} if constraint["contextName"] == _TENANT else constraint
        for constraint in rule["constraints"]
    ]
    return {**rule, "constraints": constraints}


def named(rule: Rule, tenant: str) -> Rule:
    """The rule with one tenant more."""
    tenants = next(c["values"] for c in rule["constraints"] if c["contextName"] == _TENANT)
    return renamed(rule, [*tenants, tenant])


def naming_rule(flag: str, variant: str, tenant: str, project: str | None) -> Rule:
    """A new rule that names a tenant for a variant."""
    constraints = [_only(_TENANT, tenant)]
    title = f"tenants on {variant}"
    if project is not None:
        constraints.append(_only(_PROJECT, project))
        title += f", project {project}"
    return {
        "name": "flexibleRollout",
        "title": title,
        "constraints": constraints,
        "parameters": {"rollout": "100", "stickiness": _TENANT, "groupId": f"{flag}-{variant}"},
        "variants": [_arm(variant, WHOLE, "variable", _TENANT)],
    }


def draw_rule(
    *,
    variant: str,
    control: str,
    per_mille: int,
    field: str,
    group: str,
    tenant: str | None,
    replacing: Rule | None,
) -> Rule:
    """A draw between a variant and its control; of the rule that it replaces stay title, identity and order of arms.

    The variant's weight is fixed and the control has the rest, because a server evens out weights that aren't fixed.
    """
    arms = [_arm(variant, per_mille, "fix", field), _arm(control, WHOLE - per_mille, "variable", field)]
    if replacing is not None and variant_names(replacing) == [control, variant]:
        # The engine cuts the range of hashes in the order of the arms: kept, a larger share keeps whom it had.
        arms.reverse()
    titled = {"title": f"share of {'everybody else' if tenant is None else tenant}"}
    return {
        **(replacing or {}),
        "name": "flexibleRollout",
        **({} if replacing is not None and replacing.get("title") else titled),
        "constraints": [] if tenant is None else [_only(_TENANT, tenant)],
        "parameters": {"rollout": "100", "stickiness": field, "groupId": group},
        "variants": arms,
    }


def _only(field: str, value: str) -> dict[str, Any]:
    return {"contextName": field, "operator": "IN", "values": [value]}


def _arm(name: str, weight: int, weight_type: str, field: str) -> dict[str, Any]:
    return {"name": name, "weight": weight, "weightType": weight_type, "stickiness": field}
