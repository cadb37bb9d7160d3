"""What is done about verdicts besides printing them: the rollback that a record asks for, and the message to a chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from dispatcher.settings import Settings
    from dispatcher.verdict.judge import Verdict

_CONNECT_S, _ANSWER_S = 5, 15


def asks_for_rollback(verdict: Verdict) -> bool:
    """Whether the record wants its flag off after this verdict; rows that aren't production's never do that."""
    from dispatcher.audit.record import Origin
    from dispatcher.verdict.judge import Outcome

    wanted = verdict.block.on_rollback == "flip_off" and verdict.outcome is Outcome.ROLLBACK
    return wanted and verdict.origin is Origin.PRODUCTION


def roll_back(settings: Settings, verdicts: Sequence[Verdict]) -> str | None:
    """Turn the flag off, as `dispatcher flags off` does, where a verdict asks for it; what was done, in a sentence.

    Raises what editing a flag raises.
    """
    from dispatcher.cli.flag_writing import edit_flag
    from dispatcher.routing.flag_editing.edit import Switch
    from dispatcher.routing.policy import Policies

    asking = [verdict.record.id for verdict in verdicts if asks_for_rollback(verdict)]
    if not asking:
        return None
    flag, names = Policies.load(settings.policies_dir).flag, ", ".join(asking)
    outcome = edit_flag(settings, Switch(flag=flag, on=False), f"verdict {names}", dry_run=False)
    state = "is off now" if outcome.written else "was off already"
    return f"{flag} {state}: everybody is back on legacy, as {names} asks for at a ROLLBACK"


def post_notice(url: SecretStr, notice: dict[str, Any]) -> str | None:
    """Send the message; why that failed, or None. No word is kept that may tell the URL, which is secret."""
    import requests

    try:
        answer = requests.post(
            url.get_secret_value(), json=notice, timeout=(_CONNECT_S, _ANSWER_S), allow_redirects=False
        )
    except requests.RequestException as error:
        return f"the webhook couldn't be reached ({type(error).__name__})"
    return None if answer.ok and not answer.is_redirect else f"the webhook answered {answer.status_code}"
