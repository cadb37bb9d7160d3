"""What got out of a simulated model's hands into the world: recorded, never carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EffectKind = Literal["command", "file", "network"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect that nothing held back.

    `kind` is `command` for a shell command that ran, `file` for a file that was written, `network` for a request that
    was let through. `tool` is the tool that did it, or `http` for a request that reached `/elsewhere/` on the
    simulator itself. `target` is the command, the path, or the host or address. `session_id` is None for `http`.
    """

    kind: EffectKind
    tool: str
    target: str
    session_id: str | None = None
