"""What is done with verdicts: the message to a chat, and the files of a report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_verdict_report import WORLDS
from verdict_worlds import P95, START, World, block

from dispatcher.errors import InvalidInput
from dispatcher.verdict.report.document import as_json
from dispatcher.verdict.report.filing import file_reports
from dispatcher.verdict.report.notice import as_notice
from dispatcher.verdict.report.page.page import as_page
from dispatcher.verdict.report.prose import as_text


def test_a_message_names_each_record_its_findings_and_what_would_decide(world: World) -> None:
    notice = as_notice([WORLDS["simulated-hold"](world)], ["nothing was done"])
    first, second = (each["text"]["text"] for each in notice["blocks"])

    assert notice["text"] == "🟡 KD-0001 A small record: HOLD, on SIMULATED rows"
    assert first.splitlines()[:2] == [
        "🟡 *KD-0001 A small record: HOLD, on SIMULATED rows*",
        "Nothing is decided yet: needs_time, time_scaled",
    ]
    assert "• AC-7 inconclusive (needs_time, time_scaled); limit: at most 42\u00a0054\u00a0ms" in first
    assert "would decide: 38 more conversations" in first
    assert second == "nothing was done"


def test_a_message_has_no_markup_of_anyone_but_us(world: World) -> None:
    verdict = world.judged(block(P95), START)

    assert as_notice([verdict], ["<!channel> & *all*"])["blocks"][-1]["text"]["text"] == "&lt;!channel&gt; &amp; *all*"


def test_a_message_stays_within_what_a_chat_takes(world: World) -> None:
    notice = as_notice([world.judged(block(P95), START)] * 120)
    texts = [each["text"]["text"] for each in notice["blocks"]]

    assert len(texts) == 50
    assert texts[-1] == "… and 71 more"
    assert max(map(len, [notice["text"], *texts])) == 3000


@pytest.mark.parametrize(("name", "stem"), [("ship", "KD-0001-2026-06-10T080100Z"), ("simulated-hold", None)])
def test_a_report_is_three_whole_files(world: World, tmp_path: Path, name: str, stem: str | None) -> None:
    verdict = WORLDS[name](world)
    (page,) = file_reports(tmp_path / "reports", [verdict])

    assert page.stem == (stem or "KD-0001-2026-06-03T080000Z-simulated")
    assert page.read_text() == as_page(verdict)
    assert page.with_suffix(".md").read_text() == as_text(verdict)
    assert json.loads(page.with_suffix(".json").read_text()) == json.loads(as_json([verdict]))
    assert sorted(each.suffix for each in page.parent.iterdir()) == [".html", ".json", ".md"]


def test_reports_that_cannot_be_written_say_where_and_why(world: World, tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")

    with pytest.raises(InvalidInput) as caught:
        file_reports(tmp_path / "reports", [world.judged(block(P95), START)])
    assert str(caught.value) == f"{tmp_path}/reports: the reports can't be written there: File exists"
