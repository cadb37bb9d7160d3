"""The admin API of an Unleash server, as far as one flag's rules and its event log need it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import SecretStr

from dispatcher.errors import FlagServerUnavailable, InvalidFlags
from dispatcher.routing.flag_editing.edit import FlagContent
from dispatcher.routing.flag_editing.rule import Rule
from dispatcher.routing.flags.http import Response, origin_of, request

DEADLINE_S = 5.0
"""How long one call may take."""
_CONFLICT = 409
_DENIED = {401, 403}
_MISSING = 404
_FAILED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminApi:
    """One project and environment of a server. Every call ends within `deadline_s` seconds.

    Raises FlagServerUnavailable where the server doesn't answer, fails or refuses the token, and InvalidFlags where it
    refuses what is asked.
    """

    url: str
    token: SecretStr
    project: str
    environment: str
    deadline_s: float = DEADLINE_S

    @property
    def source(self) -> str:
        """The server's origin."""
        return origin_of(self.url)

    def feature(self, flag: str) -> dict[str, Any]:
        """A flag with its environments, rules and prerequisites."""
        found: dict[str, Any] = self._json("GET", self._feature(flag))
        return found

    def content(self, feature: Mapping[str, Any]) -> FlagContent:
        """The flag's rules here, in their order. Raises InvalidFlags where the flag isn't in this environment."""
        for environment in feature["environments"]:
            if environment["name"] == self.environment:
                rules = sorted(environment["strategies"], key=lambda rule: rule.get("sortOrder") or 0)
                return FlagContent(enabled=environment["enabled"], rules=tuple(rules))
        names = ", ".join(environment["name"] for environment in feature["environments"]) or "none"
        why = f"has no environment {self.environment!r}; it has {names} (DISPATCHER_UNLEASH_ENVIRONMENT)"
        raise InvalidFlags(f"flag {feature['name']!r} on {self.source}", [why])

    def segments(self) -> list[dict[str, Any]]:
        """The server's segments."""
        found: list[dict[str, Any]] = self._json("GET", "/api/admin/segments")["segments"]
        return found

    def create_rule(self, flag: str, rule: Rule, order: int) -> None:
        """Add a rule at a place in the order."""
        self._json("POST", f"{self._environment(flag)}/strategies", _body(rule, order))

    def change_rule(self, flag: str, rule: Rule, order: int) -> None:
        """Put another content in a rule's place."""
        self._json("PUT", f"{self._environment(flag)}/strategies/{rule['id']}", _body(rule, order))

    def delete_rule(self, flag: str, rule: Rule) -> None:
        """Delete a rule; the server switches a flag off with its last one."""
        self._json("DELETE", f"{self._environment(flag)}/strategies/{rule['id']}")

    def switch(self, flag: str, *, on: bool) -> None:
        """Switch the flag on or off in this environment, in one call.

        Switched on without a rule in force it gets one for everybody, by the server: look before and after.
        """
        self._json("POST", f"{self._environment(flag)}/{'on' if on else 'off'}")

    def events(self, *, limit: int, **filters: str) -> list[dict[str, Any]]:
        """The latest entries of the event log; a filter is a field of it with `IS:` and a value."""
        query = urlencode({**filters, "limit": str(limit)})
        found: list[dict[str, Any]] = self._json("GET", f"/api/admin/search/events?{query}")["events"]
        return found

    def claim(self, name: str, holder: str) -> bool:
        """Create a tag type, which only one of many can; False where there is one of that name."""
        body = {"name": name, "description": holder, "icon": ""}
        answer = self._call("POST", "/api/admin/tag-types", body)
        if answer.status == _CONFLICT:
            return False
        if answer.status >= _FAILED and self.claimed_by(name) is not None:
            return False  # how the server reports that another one was faster by less than its own look
        self._read(answer)
        return True

    def claimed_by(self, name: str) -> str | None:
        """Who created the tag type, None where there is none."""
        found = self._json("GET", "/api/admin/tag-types")["tagTypes"]
        return next((str(one["description"]) for one in found if one["name"] == name), None)

    def release(self, name: str) -> None:
        """Delete the tag type; it may be gone already."""
        answer = self._call("DELETE", f"/api/admin/tag-types/{quote(name)}")
        if answer.status != _MISSING:
            self._read(answer)

    def _feature(self, flag: str) -> str:
        return f"/api/admin/projects/{self.project}/features/{quote(flag, safe='')}"

    def _environment(self, flag: str) -> str:
        return f"{self._feature(flag)}/environments/{self.environment}"

    def _json(self, method: str, path: str, body: Any = None) -> Any:
        return self._read(self._call(method, path, body))

    def _call(self, method: str, path: str, body: Any = None) -> Response:
        return request(
            method,
            self.url.rstrip("/").removesuffix("/api") + path,
            headers={"Authorization": self.token.get_secret_value()},
            body=None if body is None else json.dumps(body).encode(),
            deadline_s=self.deadline_s,
        )

    def _read(self, answer: Response) -> Any:
        if answer.status in _DENIED:
            why = (
                f"answered {answer.status}: DISPATCHER_UNLEASH_ADMIN_TOKEN is no admin or personal token with the right"
            )
            raise FlagServerUnavailable(f"{self.source} {why}")
        if answer.status >= _FAILED:
            raise FlagServerUnavailable(f"{self.source} answered {answer.status}")
        try:
            found = json.loads(answer.body) if answer.body.strip() else None
        except ValueError:
            why = f"answered {answer.status} with something that isn't JSON: is it an Unleash server?"
            raise FlagServerUnavailable(f"{self.source} {why}") from None
        if answer.status >= 400:  # noqa: PLR2004 - where HTTP's errors begin
            raise InvalidFlags(self.source, _complaints(found) or [f"answered {answer.status}"])
        return found


def _body(rule: Rule, order: int) -> dict[str, Any]:
    """All of a rule: what a change leaves out the server would take for empty."""
    carried = {key: rule[key] for key in ("name", "title", "constraints", "parameters", "variants") if key in rule}
    return {
        "segments": rule.get("segments") or [],
        "disabled": bool(rule.get("disabled")),
        **carried,
        "sortOrder": order,
    }


def _complaints(found: Any) -> list[str]:
    details = found.get("details") if isinstance(found, dict) else None
    return [str(one["message"]) for one in details or [] if isinstance(one, dict) and one.get("message")]
