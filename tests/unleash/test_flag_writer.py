"""Editing a flag on a real Unleash: nothing is lost, nothing opens to everybody, and the history says who."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from real_unleash import ENVIRONMENT, FLAG, KILL, ROOT, UnleashServer

from dispatcher.errors import FlagServerUnavailable, InvalidFlags
from dispatcher.routing.flag_editing.admin import AdminApi
from dispatcher.routing.flag_editing.claim import claimed
from dispatcher.routing.flag_editing.edit import Naming, Share, Switch, Unnaming
from dispatcher.routing.flag_editing.events import read_events
from dispatcher.routing.flag_editing.server_writer import ServerFlag

TENANTS = [f"t-{number:02}" for number in range(40)]
CAPPED = "managed-haiku-4-5-cap8"


@pytest.fixture
def api(unleash: UnleashServer) -> Iterator[AdminApi]:
    unleash.start()
    unleash.set_rules(FLAG, shipped())
    yield AdminApi(url=unleash.url, token=SecretStr(unleash.admin_token), project="default", environment=ENVIRONMENT)
    unleash.set_rules(FLAG, shipped())


@pytest.fixture
def flag(api: AdminApi, tmp_path: Path) -> ServerFlag:
    return ServerFlag(api=api, flag=FLAG, actor="alice", queue=tmp_path)


def shipped() -> list[dict[str, Any]]:
    features = json.loads((ROOT / "policies" / "flags.json").read_text())["features"]
    rules: list[dict[str, Any]] = next(feature["strategies"] for feature in features if feature["name"] == FLAG)
    for rule in rules:
        if len(rule["variants"]) > 1:
            rule["variants"][0]["weightType"] = "fix"
    return rules


def naming(tenant: str, variant: str = CAPPED, **given: Any) -> Naming:
    return Naming(flag=FLAG, tenant=tenant, variant=variant, **given)


def told(flag: ServerFlag) -> dict[str | None, str]:
    """What the rules say for each tenant, read anew."""
    outcome = flag.edit(lambda content: content, dry_run=True)
    return {entry.tenant: entry.text for entry in outcome.after.entries if entry.project is None}


def moved(outcome: Any) -> list[tuple[str | None, str, str]]:
    return [(move.tenant, move.before.text, move.after.text) for move in outcome.moves]


SHIPPED = {
    "acme": CAPPED,
    "globex": "managed-sonnet-4-6",
    "initech": "legacy-cached",
    "script": "67 % managed-haiku-4-5-cap8, 33 % legacy by conversation",
    None: "legacy",
}


def test_40_namings_at_once_for_40_tenants_are_all_kept(api: AdminApi, flag: ServerFlag, tmp_path: Path) -> None:
    """From four machines: only on one of them do the writers stand in line."""

    def name(tenant: str) -> bool:
        machine = tmp_path / str(TENANTS.index(tenant) % 4)
        return replace(flag, actor=tenant, queue=machine).edit(naming(tenant)).written

    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(name, TENANTS)) == [True] * 40

    assert told(flag) == SHIPPED | dict.fromkeys(TENANTS, CAPPED)
    assert api._json("GET", "/api/admin/tag-types")["tagTypes"][1:] == []


def test_a_tenant_moves_at_once_back_and_to_another_variant(flag: ServerFlag) -> None:
    assert moved(flag.edit(naming("acme", "legacy"))) == [("acme", CAPPED, "legacy")]
    assert moved(flag.edit(naming("acme", "legacy-cached"))) == [("acme", "legacy", "legacy-cached")]
    assert moved(flag.edit(Unnaming(flag=FLAG, tenant="acme"))) == [("acme", "legacy-cached", "legacy")]
    assert told(flag) == {key: text for key, text in SHIPPED.items() if key != "acme"}


def test_a_dry_run_tells_the_same_and_writes_nothing(flag: ServerFlag) -> None:
    outcome = flag.edit(naming("umbrella"), dry_run=True)

    assert (moved(outcome), outcome.written) == ([("umbrella", "legacy", CAPPED)], False)
    assert told(flag) == SHIPPED


def test_naming_again_writes_nothing(flag: ServerFlag) -> None:
    assert flag.edit(naming("acme")).written is False


def test_a_project_of_a_tenant_moves_alone(flag: ServerFlag) -> None:
    outcome = flag.edit(naming("acme", "legacy", project="kendo"))

    assert [(move.tenant, move.project, move.after.text) for move in outcome.moves] == [("acme", "kendo", "legacy")]


def test_a_draw_for_everybody_is_written_with_its_weights_grows_and_goes(flag: ServerFlag) -> None:
    def share(per_mille: int) -> Share:
        return Share(flag=FLAG, per_mille=per_mille, by="conversation", variant=CAPPED, control="legacy")

    flag.edit(share(200))
    assert told(flag) == SHIPPED | {None: f"20 % {CAPPED}, 80 % legacy by conversation"}
    flag.edit(share(1000))
    assert told(flag)[None] == f"100 % {CAPPED} by conversation"
    flag.edit(share(0))
    assert told(flag) == SHIPPED


def test_off_is_off_for_everybody_and_on_again_is_as_before(flag: ServerFlag, unleash: UnleashServer) -> None:
    off = flag.edit(Switch(flag=FLAG, on=False))

    assert (off.written, off.after.on) == (True, False)
    assert [(move.tenant, move.after.text) for move in off.moves] == [
        (tenant, "legacy") for tenant in ("acme", "globex", "initech", "script")
    ]
    assert moved(flag.edit(Switch(flag=FLAG, on=True)))[0] == ("acme", "legacy", CAPPED)
    assert told(flag) == SHIPPED


def test_off_waits_for_nobody(api: AdminApi, flag: ServerFlag) -> None:
    with claimed(api, FLAG, "somebody who takes long"):
        assert flag.edit(Switch(flag=FLAG, on=False)).after.on is False


def test_on_without_a_rule_is_refused_where_the_server_would_open_it_to_everybody(
    flag: ServerFlag, unleash: UnleashServer
) -> None:
    unleash.set_rules(FLAG, [], enabled=False)

    with pytest.raises(InvalidFlags, match="it would open to everybody"):
        flag.edit(Switch(flag=FLAG, on=True))
    assert flag.api.content(flag.api.feature(FLAG)).rules == ()


def test_the_first_tenant_of_a_flag_without_rules_can_be_named_before_it_is_switched_on(
    flag: ServerFlag, unleash: UnleashServer
) -> None:
    unleash.set_rules(FLAG, [], enabled=False)
    flag.edit(naming("acme"))
    flag.edit(Switch(flag=FLAG, on=True))

    assert told(flag) == {"acme": CAPPED, None: "legacy"}


def test_more_tenants_than_the_server_takes_in_one_constraint_are_split(
    flag: ServerFlag, unleash: UnleashServer
) -> None:
    full = shipped()[0]
    full["constraints"][0]["values"] = [f"x-{number}" for number in range(250)]
    unleash.set_rules(FLAG, [full])

    flag.edit(naming("one-more"))

    assert len(told(flag)) == 252
    assert told(flag)["one-more"] == CAPPED


def test_a_flag_that_the_server_does_not_hold_is_named(flag: ServerFlag) -> None:
    with pytest.raises(InvalidFlags, match='There\'s no feature named "nope" in project "default"'):
        replace(flag, flag="nope").edit(naming("acme"))


def test_a_token_that_is_none_is_refused_without_being_shown(api: AdminApi, flag: ServerFlag) -> None:
    forged = AdminApi(url=api.url, token=SecretStr("*:*.forged"), project="default", environment=ENVIRONMENT)

    with pytest.raises(FlagServerUnavailable, match="answered 401: DISPATCHER_UNLEASH_ADMIN_TOKEN") as refused:
        replace(flag, api=forged).edit(naming("acme"))
    assert "forged" not in str(refused.value) + repr(forged)


def test_an_environment_that_the_server_does_not_have_is_named(api: AdminApi, flag: ServerFlag) -> None:
    elsewhere = AdminApi(url=api.url, token=api.token, project="default", environment="staging")

    with pytest.raises(InvalidFlags, match=r"has no environment 'staging'; it has .*development"):
        replace(flag, api=elsewhere).edit(naming("acme"))


def test_a_claim_whose_holder_died_is_forgotten(api: AdminApi, flag: ServerFlag) -> None:
    with claimed(api, FLAG, "dead"):
        # Its holder never releases it, as if it had been killed.
        name = next(t["name"] for t in api._json("GET", "/api/admin/tag-types")["tagTypes"] if t["name"] != "simple")
        with claimed(api, FLAG, "alive", forgotten_s=0.3):
            assert (api.claimed_by(name) or "").startswith("alive edits agent-research")


def test_the_event_log_names_who_changed_the_flag_its_parent_and_its_segments(
    api: AdminApi, flag: ServerFlag, unleash: UnleashServer
) -> None:
    segment = {"name": "pilots", "constraints": [{"contextName": "tenantId", "operator": "IN", "values": ["seg-1"]}]}
    number = unleash.admin("POST", "/api/admin/segments", segment)["id"]
    unleash.set_rules(FLAG, [{**shipped()[0], "constraints": [], "segments": [number]}])
    segment["constraints"][0]["values"].append("seg-2")  # type: ignore[index]
    unleash.admin("PUT", f"/api/admin/segments/{number}", segment)
    unleash.switch(KILL, on=True)
    unleash.switch(KILL, on=False)

    events = read_events(api, FLAG, 50)

    assert {"segment-updated (pilots)", f"feature-environment-disabled {KILL}"} <= {event.what for event in events}
    assert {event.by for event in events if event.what == "segment-updated (pilots)"} == {"admin"}
    assert told(flag) == {"seg-1": CAPPED, "seg-2": CAPPED, None: "legacy"}
    flag.edit(naming("seg-1", "legacy"))
    assert told(flag) == {"seg-1": "legacy", "seg-2": CAPPED, None: "legacy"}
    unleash.set_rules(FLAG, shipped())
    unleash.admin("DELETE", f"/api/admin/segments/{number}")
