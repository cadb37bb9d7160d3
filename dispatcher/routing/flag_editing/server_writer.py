"""Editing a flag on an Unleash server: read, write what differs, read back, until nothing is left to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dispatcher.errors import FlagServerUnavailable, InvalidFlags
from dispatcher.routing.flag_editing.admin import AdminApi
from dispatcher.routing.flag_editing.claim import Claim, claimed, in_line
from dispatcher.routing.flag_editing.edit import Edit, FlagContent, Switch
from dispatcher.routing.flag_editing.outcome import Outcome
from dispatcher.routing.flag_editing.rule import Rule
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.reader import read_flag_document
from dispatcher.routing.flags.standing import Standing, standing_of
from dispatcher.routing.flags.state import compile_state

_MOST_ROUNDS = 5
"""How often an edit is done again that somebody, such as in the UI, undid in the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A flag as it was read, with what else decides it, in the form that clients get."""

    content: FlagContent
    feature: dict[str, Any]
    parents: tuple[dict[str, Any], ...]
    segments: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFlag:
    """A flag on a server as something to edit; `actor` is who does it, and `queue` a directory of this machine's own.

    Those who edit at once on this machine stand in line there, so that they don't crowd the server.
    """

    api: AdminApi
    flag: str
    actor: str
    queue: Path

    def edit(self, edit: Edit, *, dry_run: bool = False) -> Outcome:
        """Edit the flag, and read back what was written.

        Switching off waits for nobody and is one call. Everything else is written by one writer at a time. Raises
        InvalidFlags where the server doesn't hold the flag, what it holds or would hold can't be used, or it refuses
        what is written; FlagServerUnavailable where it doesn't answer, and then an edit may be half done: it can be
        repeated.
        """
        if isinstance(edit, Switch) and not edit.on and not dry_run:
            return self._switched_off()
        if dry_run:
            view = self._read()
            before, after = self._standing(view, view.content), self._standing(view, edit(view.content))
            return Outcome(flag=self.flag, before=before, after=after, written=False)
        with in_line(self.queue), claimed(self.api, self.flag, self.actor) as claim:
            return self._edited(edit, claim)

    def _switched_off(self) -> Outcome:
        was_on = self._was_on()
        self.api.switch(self.flag, on=False)
        if self.api.content(self.api.feature(self.flag)).enabled:
            raise FlagServerUnavailable(f"{self.api.source} still says that {self.flag!r} is on: do it again")
        try:
            view = self._read()
            off = self._standing(view, view.content)
        except InvalidFlags as error:
            off = Standing(on=False, detail=f"it is off, and its rules can't be read: {error}", entries=())
        before = Standing(on=True, detail="", entries=off.entries) if was_on else off
        return Outcome(flag=self.flag, before=before, after=off, written=was_on)

    def _was_on(self) -> bool:
        try:
            return self.api.content(self.api.feature(self.flag)).enabled
        except FlagServerUnavailable:
            return True  # the brake doesn't need to know

    def _edited(self, edit: Edit, claim: Claim) -> Outcome:
        view = self._read()
        before = standing = self._standing(view, view.content)
        for round_ in range(_MOST_ROUNDS):
            wanted = edit(view.content)
            if wanted == view.content:
                return Outcome(flag=self.flag, before=before, after=standing, written=round_ > 0)
            self._standing(view, wanted)  # judged before it is written
            for write in self._writes(view.content, wanted):
                claim.check()
                write()
            if wanted.enabled and not view.content.enabled:
                self._switch_on(wanted, claim)
            view = self._read()
            standing = self._standing(view, view.content)
        why = (
            f"somebody else changes {self.flag!r} in the same moment, again and again: look at `dispatcher flags show`"
        )
        raise InvalidFlags(self.api.source, [why])

    def _switch_on(self, wanted: FlagContent, claim: Claim) -> None:
        """Switch on, and off again at once where the server opened the flag to everybody by a rule of its own."""
        claim.check()
        known = {rule.get("id") for rule in wanted.rules}
        if not {rule.get("id") for rule in self.api.content(self.api.feature(self.flag)).in_force} & known:
            raise InvalidFlags(self.api.source, [f"the last rule of {self.flag!r} has just gone: it stays off"])
        self.api.switch(self.flag, on=True)
        found = self.api.content(self.api.feature(self.flag))
        added = [rule for rule in found.in_force if rule.get("id") not in known]
        if any(not rule.get("variants") for rule in added):
            self.api.switch(self.flag, on=False)
            why = f"{self.flag!r} got a rule for everybody while it was switched on, and is off again: delete that rule"
            raise InvalidFlags(self.api.source, [why])

    def _read(self) -> _View:
        feature = self.api.feature(self.flag)
        content = self.api.content(feature)
        parents = []
        for name in dict.fromkeys(one["feature"] for one in feature.get("dependencies") or []):
            parent = self.api.feature(name)
            parents.append(_flag(parent, self.api.content(parent)))
        rules = [*content.rules, *(rule for parent in parents for rule in parent["strategies"])]
        segments = self.api.segments() if any(rule.get("segments") for rule in rules) else []
        return _View(content=content, feature=feature, parents=tuple(parents), segments=tuple(map(_segment, segments)))

    def _standing(self, view: _View, content: FlagContent) -> Standing:
        """What rules say, judged as the flag file is. Raises InvalidFlags where they would be misread."""
        held = [_flag(view.feature, content), *view.parents]
        used = {number for one in held for rule in one["strategies"] for number in rule["segments"]}
        segments = [segment for segment in view.segments if segment["id"] in used]
        document = json.dumps({"version": 2, "features": held, "segments": segments}).encode()
        read = read_flag_document(document, self.api.source, [self.flag])
        return standing_of(FlagEngine(compile_state(read, [self.flag])), self.flag)

    def _writes(self, before: FlagContent, after: FlagContent) -> Iterator[Any]:
        """The calls that lead from one to the other, so ordered that nobody stands without a rule in between."""
        held = {rule["id"]: rule for rule in before.rules}
        placed = list(_placed(after.rules))
        for rule, order in placed:
            if "id" not in rule:
                yield lambda rule=rule, order=order: self.api.create_rule(self.flag, rule, order)
        changed = [(rule, order) for rule, order in placed if rule.get("id") in held]
        changed = [(rule, order) for rule, order in changed if {**rule, "sortOrder": order} != held[rule["id"]]]
        for rule, order in sorted(changed, key=lambda one: _size(held[one[0]["id"]]) - _size(one[0])):
            yield lambda rule=rule, order=order: self.api.change_rule(self.flag, rule, order)
        kept = {rule.get("id") for rule in after.rules}
        for number, rule in held.items():
            if number not in kept:
                yield lambda rule=rule: self.api.delete_rule(self.flag, rule)


def _flag(feature: dict[str, Any], content: FlagContent) -> dict[str, Any]:
    """A flag of the admin API in the form that clients get; disabled rules are kept out of it."""
    notes = ("name", "type", "project", "description", "stale")
    return {
        **{key: feature[key] for key in notes if feature.get(key) is not None},
        "enabled": content.enabled,
        "dependencies": feature.get("dependencies") or [],
        "strategies": [_client_rule(rule) for rule in content.in_force],
    }


def _client_rule(rule: Rule) -> dict[str, Any]:
    kept = {key: value for key, value in rule.items() if key not in {"id", "featureName", "sortOrder"}}
    if kept.get("title") is None:
        kept.pop("title", None)
    if kept["name"] == "default":
        kept.pop("parameters", None)
    return {**kept, "segments": rule.get("segments") or []}


def _segment(segment: dict[str, Any]) -> dict[str, Any]:
    return {key: segment[key] for key in ("id", "name", "constraints")}


def _placed(rules: tuple[Rule, ...]) -> Iterator[tuple[Rule, int]]:
    """The rules, each with its place in the order: what is there stays where it can."""
    first = next((number for number, rule in enumerate(rules) if "id" in rule), len(rules))
    last = (rules[first].get("sortOrder") or 0) - first - 1 if first < len(rules) else -1
    moved = True
    for rule in rules:
        order = rule.get("sortOrder") if "id" in rule else None
        moved = order is None or order < last or (order == last and moved)
        last = last + 1 if moved or order is None else order
        yield rule, last


def _size(rule: Rule) -> int:
    return sum(len(constraint.get("values") or []) for constraint in rule.get("constraints") or [])
