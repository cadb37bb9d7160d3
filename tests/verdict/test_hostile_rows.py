"""What an imported row says can't do anything in a report."""

from __future__ import annotations

import pytest
from verdict_worlds import DAY, MINUTE, START, World, block

from dispatcher.verdict.report.page.page import as_page
from dispatcher.verdict.report.prose import as_text


@pytest.mark.parametrize(
    "reason", ["<img src=x onerror=a()>", "`](http://evil/)", "\x1b[2J\x1b]0;title\x07", "\u202egnihton"]
)
def test_a_reason_that_no_router_gave_is_shown_and_not_obeyed(world: World, reason: str) -> None:
    acceptance = block()
    world.register(acceptance)
    world.rows(3, at=START + MINUTE, reason=reason)
    verdict = world.judged(acceptance, START + 14 * DAY)
    text, page = as_text(verdict), as_page(verdict)

    line = next(line for line in text.splitlines() if line.startswith("- candidate: 3 "))
    _, shown, _ = line.split("`")
    assert ascii(reason)[1:-1].replace("`", "'") in shown
    assert not {"\x1b", "\x07", "\u202e"} & {*text, *page}
    assert "<img" not in page
