"""The one door to Unleash's own engine: flags evaluated in this process, from a document that was understood first.

The engine that all of Unleash's SDKs evaluate with, without a client around it: no thread, no socket, no file, and
nothing that the client keeps beside it (ADR 0012).
"""

from __future__ import annotations

import datetime as dt

from yggdrasil_engine.engine import UnleashEngine

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.answer import FlagAnswer, FlagContext, FlagState
from dispatcher.routing.flags.document import Dependency
from dispatcher.routing.flags.state import Arm, EngineState, RoutedFlag


class FlagEngine:
    """One state of the flags, ready to be asked from any thread; it never changes.

    Raises InvalidFlags where the engine can't read it. The engine itself says nothing then: it holds no flag, or takes
    the one that it can't read for off, which lifts a brake where that is a parent that must be off.
    """

    def __init__(self, state: EngineState) -> None:
        self.state = state
        self._engine = UnleashEngine()
        self._engine.take_state(state.text)
        misread = [name for probe, name in state.probes.items() if not self._engine.check_enabled(probe, {}).is_enabled]
        if misread:
            raise InvalidFlags("the flag engine", [f"can't read the rules of {name!r}" for name in misread])

    def answer(self, flag: str, context: FlagContext, problem: str | None) -> FlagAnswer:
        """Evaluate a flag: one question to the engine, and one more per prerequisite where one of them isn't met.

        `problem` says why the state may be out of date, None where it was confirmed.
        """
        known = self.state.flags.get(flag)
        if known is None:
            return self._without_variant(FlagState.UNKNOWN_FLAG, problem, f"the document doesn't hold {flag!r}")
        if not known.enabled:
            return self._without_variant(FlagState.OFF, problem, known.why_off)
        fields = context.fields
        payload = self._engine.check_variant(known.engine_name, _asked(fields)).variant.payload
        if not payload:
            # Behind the rules stands one that reaches everybody, so only a prerequisite leaves the engine mute.
            return self._unmet(known, fields, problem)
        return self._read(known.arms[int(payload["value"])], fields, problem)

    def _read(self, arm: Arm, fields: dict[str, str], problem: str | None) -> FlagAnswer:
        key = fields.get(arm.key_field) if arm.key_field else None
        if arm.drawn and key is None:
            detail = f"constraints of rule {arm.rule!r} pass, but it draws by {arm.key_field}, which is missing"
            return self._without_variant(FlagState.NO_RULE, problem, detail)
        return FlagAnswer(
            state=arm.state,
            version=self.state.version,
            problem=problem,
            variant=arm.variant,
            rule=arm.rule,
            drawn=arm.drawn,
            share=arm.share,
            assignment_key=key,
        )

    def _unmet(self, flag: RoutedFlag, fields: dict[str, str], problem: str | None) -> FlagAnswer:
        for dependency in flag.dependencies:
            if not self._met(dependency, fields):
                wanted = "on" if dependency.enabled else "off"
                if dependency.variants:
                    wanted += f", and to give {' or '.join(map(repr, dependency.variants))}"
                detail = f"its prerequisite isn't met: {dependency.feature!r} would have to be {wanted}"
                return self._without_variant(FlagState.OFF, problem, detail)
        return self._without_variant(FlagState.ERROR, problem, "the flag engine gave no answer")

    def _met(self, dependency: Dependency, fields: dict[str, str]) -> bool:
        context = _asked(fields)
        if self._engine.check_enabled(dependency.feature, context).is_enabled is not dependency.enabled:
            return False
        if not dependency.variants:
            return True
        return self._engine.check_variant(dependency.feature, context).variant.name in dependency.variants

    def _without_variant(self, state: FlagState, problem: str | None, detail: str) -> FlagAnswer:
        return FlagAnswer(state=state, version=self.state.version, problem=problem, detail=detail)


def _asked(fields: dict[str, str]) -> dict[str, object]:
    return {"properties": fields, "currentTime": dt.datetime.now(dt.UTC).isoformat()}
