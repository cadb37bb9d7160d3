"""A fault that a single request asks for itself, for clients driven by hand: `x-simulator-fault: cut;at_event=3`."""

from __future__ import annotations

from typing import Any, get_args

import yaml
from pydantic import ValidationError

from dispatcher.simulator.faults.rule import Rule
from dispatcher.simulator.faults.vocabulary import Moment
from dispatcher.simulator.refusal import invalid

HEADER = "x-simulator-fault"


def rule_of(header: str, operation: str) -> Rule:
    """The rule that a request's header states: a fault's name and fields, `name;field=value;field=value`.

    A request that sends events may ask for a fault of its session: it strikes at the next moment for it. Raises
    Refusal, status 400, where the header makes no sense.
    """
    name, *pairs = (part.strip() for part in header.split(";"))
    fields = dict(_field(pair) for pair in pairs if pair)
    rule: dict[str, Any] = {"on": operation, "fault": {**fields, "name": name}}
    try:
        return Rule.model_validate(rule)
    except ValidationError as error:
        if operation == "events.send" and (later := _of_the_session(rule)) is not None:
            return later
        raise invalid(f"{HEADER}: {'; '.join(_sentences(error))}") from None


def _of_the_session(rule: dict[str, Any]) -> Rule | None:
    for moment in get_args(Moment):
        try:
            return Rule.model_validate({**rule, "on": moment})
        except ValidationError:
            continue
    return None


def _field(pair: str) -> tuple[str, object]:
    name, separator, text = pair.partition("=")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if not separator:
        raise invalid(f"{HEADER}: {pair!r} is not of the form field=value")
    return name.strip(), value


def _sentences(error: ValidationError) -> list[str]:
    return [
        ": ".join([*(str(part) for part in one["loc"][2:]), one["msg"].removeprefix("Value error, ")])
        for one in error.errors(include_url=False)
    ]
