"""What the paths send beside the question, made part of each variant's definition."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from dispatcher.action.decision import CapMode, PathName, Variant
from dispatcher.action.report import report_schema
from dispatcher.paths.managed.tools import agent_tools
from dispatcher.paths.prompt import system_text
from dispatcher.paths.repository.tool_input import TOOLS
from dispatcher.routing.policy import Policies


def with_prompts(policies: Policies) -> Policies:
    """The policies as this version of the software carries them out: another prompt makes another variant.

    Otherwise what was measured of the old wording would be evidence for the new one.
    """
    variants = {name: replace(variant, prompt=_fingerprint(variant)) for name, variant in policies.variants.items()}
    return replace(policies, variants=variants)


def _fingerprint(variant: Variant) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the variant's system prompt, tools and form of the answer."""
    tools: Any = TOOLS
    if variant.path is PathName.MANAGED:
        tools = agent_tools(variant.cap_mode or CapMode.CONFIRM)
    sent = [system_text(variant.path), list(tools), report_schema()]
    return hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()[:16]
