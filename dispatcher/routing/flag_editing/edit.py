"""Edits of a flag, pure: the rules as a document or the server's admin API has them in, the edited rules out.

Rules are OR-ed and the first that applies decides. So a rule that names tenants for one variant always stands before
whatever else reaches them, and the draw for everybody stands last. Draws that somebody wrote for some tenants stay as
they are: naming a tenant lies over its draw and can be lifted again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flag_editing.rule import (
    Rule,
    draw_rule,
    draws,
    group_of,
    is_naming,
    may_reach,
    named,
    naming_rule,
    reaches_everybody,
    renamed,
    sticks_to,
    variant_names,
)

MOST_VALUES = 250
"""Values of one constraint, and rules of one flag, that an Unleash server takes by default."""
MOST_RULES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagContent:
    """What can be edited of a flag: whether it is on, and its rules in their order, the first that applies first."""

    enabled: bool
    rules: tuple[Rule, ...]

    @property
    def in_force(self) -> tuple[Rule, ...]:
        """The rules that aren't disabled."""
        return tuple(rule for rule in self.rules if not rule.get("disabled"))


Edit = Callable[[FlagContent], FlagContent]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """A tenant, or one project of it, named for one variant."""

    flag: str
    tenant: str
    variant: str
    project: str | None = None

    def __call__(self, content: FlagContent) -> FlagContent:
        """Name the tenant, and whatever else names it no more. Without a project, its projects are named with it."""
        if self._holds(content):
            return content
        rules = list(_unnamed(content.rules, self.tenant, self.project))
        for number, rule in enumerate(rules):
            if self._has_room(rule):
                rules[number] = named(rule, self.tenant)
                break
            if may_reach(rule, self.tenant, self.project):
                rules.insert(0, naming_rule(self.flag, self.variant, self.tenant, self.project))
                break
        else:
            rules.insert(0, naming_rule(self.flag, self.variant, self.tenant, self.project))
        return _kept_small(self.flag, content, rules)

    def _holds(self, content: FlagContent) -> bool:
        """Whether it is named so already: by the first rule that reaches it, and by no other."""
        naming = [rule for rule in content.rules if _names(rule, self.tenant, self.project)]
        first = next((rule for rule in content.rules if may_reach(rule, self.tenant, self.project)), None)
        if len(naming) != 1 or naming[0] is not first or variant_names(naming[0]) != [self.variant]:
            return False
        return is_naming(naming[0], self.project) is not None

    def _has_room(self, rule: Rule) -> bool:
        tenants = is_naming(rule, self.project)
        return tenants is not None and variant_names(rule) == [self.variant] and len(tenants) < MOST_VALUES


@dataclass(frozen=True, slots=True, kw_only=True)
class Unnaming:
    """A tenant, or one project of it, named no more: it goes where everybody else goes, or back into its draw."""

    flag: str
    tenant: str
    project: str | None = None

    def __call__(self, content: FlagContent) -> FlagContent:
        """Take the tenant out of the rules that name it for one variant."""
        rules = list(_unnamed(content.rules, self.tenant, self.project))
        if content.in_force and all(rule.get("disabled") for rule in rules):
            why = f"{self.tenant!r} is in the only rule: name it for legacy, or switch the flag off"
            raise InvalidFlags(f"flag {self.flag!r}", [why])
        return FlagContent(enabled=content.enabled, rules=tuple(rules))


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A draw between a variant and its control, for everybody whom no rule names or for one tenant.

    `per_mille` is the variant's part; 0 removes the draw. `variant` None leaves the one that is drawn now. A larger
    share keeps whom a smaller one had, as long as `by` stays the same.
    """

    flag: str
    per_mille: int
    by: Literal["tenant", "conversation"]
    variant: str | None = None
    control: str
    tenant: str | None = None

    def __call__(self, content: FlagContent) -> FlagContent:
        """Put the draw in the place of the one there is: a tenant's first of all that reach it, everybody's last."""
        field = f"{self.by}Id"
        mine = [rule for rule in content.in_force if self._is_mine(rule)]
        rules = [rule for rule in content.rules if not any(rule is other for other in mine)]
        if self.per_mille == 0 and (not mine or any(not rule.get("disabled") for rule in rules)):
            # A flag without a rule would open to everybody once switched on, so the last one stays, at a share of 0.
            return FlagContent(enabled=content.enabled, rules=tuple(rules))
        if self.tenant is not None:
            rules = list(_unnamed(tuple(rules), self.tenant, None))
        seeds = mine or [rule for rule in content.in_force if self._reaches_all_of_mine(rule)]
        drawn = draw_rule(
            variant=self._variant(mine),
            control=self.control,
            per_mille=self.per_mille,
            field=field,
            group=next((group_of(rule) for rule in seeds if draws(rule) and sticks_to(rule) == field), self._group),
            tenant=self.tenant,
            replacing=mine[0] if mine else None,
        )
        rules.insert(len(rules) if self.tenant is None else 0, drawn)
        return _kept_small(self.flag, content, rules)

    @property
    def _group(self) -> str:
        return f"{self.flag}-share" if self.tenant is None else f"{self.flag}-share-{self.tenant}"

    def _is_mine(self, rule: Rule) -> bool:
        if self.tenant is None:
            return reaches_everybody(rule)
        return draws(rule) and is_naming(rule, None, drawing=True) == [self.tenant]

    def _reaches_all_of_mine(self, rule: Rule) -> bool:
        tenants = is_naming(rule, None, drawing=True)
        return tenants is not None and self.tenant in tenants

    def _variant(self, mine: list[Rule]) -> str:
        drawn = [name for rule in mine for name in variant_names(rule) if name != self.control]
        variant = self.variant or next(iter(drawn), None)
        if variant is None:
            raise InvalidFlags(f"flag {self.flag!r}", ["nothing is drawn yet: say between what, with --variant"])
        if variant == self.control:
            raise InvalidFlags(f"flag {self.flag!r}", [f"{variant!r} can't be drawn against itself"])
        return variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """The whole flag on or off; off, everybody stays on legacy."""

    flag: str
    on: bool

    def __call__(self, content: FlagContent) -> FlagContent:
        """Switch it. Raises InvalidFlags where it would open to everybody, being without a rule in force."""
        if self.on and not content.in_force:
            why = "has no rule in force, and switched on it would open to everybody: write one first, with `flags set`"
            raise InvalidFlags(f"flag {self.flag!r}", [why])
        return FlagContent(enabled=self.on, rules=content.rules)


def _unnamed(rules: tuple[Rule, ...], tenant: str, project: str | None) -> Iterator[Rule]:
    """The rules without the tenant in those that name it for one variant, of a project where one is given."""
    for rule in rules:
        if not _names(rule, tenant, project):
            yield rule
            continue
        tenants = is_naming(rule, project, any_project=project is None) or []
        if len(tenants) > 1:
            yield renamed(rule, [other for other in tenants if other != tenant])


def _names(rule: Rule, tenant: str, project: str | None) -> bool:
    return tenant in (is_naming(rule, project, any_project=project is None) or [])


def _kept_small(flag: str, content: FlagContent, rules: list[Rule]) -> FlagContent:
    if len(rules) > max(MOST_RULES, len(content.rules)):
        why = (
            f"would have {len(rules)} rules, and a server takes {MOST_RULES} of at most {MOST_VALUES} tenants each: "
            "give a variant that many tenants share a draw or a segment instead of naming them one by one"
        )
        raise InvalidFlags(f"flag {flag!r}", [why])
    return FlagContent(enabled=content.enabled, rules=tuple(rules))
