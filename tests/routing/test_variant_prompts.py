"""A variant's hash stands for everything that is sent beside the question."""

from __future__ import annotations

from pathlib import Path

from dispatcher.action.decision import PathName
from dispatcher.routing.policy import Policies
from dispatcher.wiring.prompts import with_prompts

POLICIES = Policies.load(Path(__file__).parents[2] / "policies")


def test_what_is_sent_is_part_of_every_variants_definition() -> None:
    known = with_prompts(POLICIES)

    assert {name: variant.name for name, variant in known.variants.items()} == {name: name for name in known.variants}
    assert all(known.variants[name].hash != variant.hash for name, variant in POLICIES.variants.items())
    assert with_prompts(POLICIES).default.hash == known.default.hash


def test_variants_that_send_the_same_share_their_prompt_and_no_others() -> None:
    sent = {(each.path, each.cap_mode): each.prompt for each in with_prompts(POLICIES).variants.values()}

    assert {path for path, _ in sent} == set(PathName)
    assert len(set(sent.values())) == len(sent)
