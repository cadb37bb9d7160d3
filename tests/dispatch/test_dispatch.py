"""A dispatch from end to end: the real SDK against the simulator, a real log."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dispatcher import CalledOnEventLoop, Limits, Repository, RepositoryUnusable, ResearchAction
from dispatcher.action.observation import EndedBy, ErrorType, Status
from dispatcher.errors import AttemptFailed, ConversationContinues, InvalidAction, LogUnavailable

URL = "https://github.com/example/checkout"


@pytest.mark.parametrize(
    ("tenant", "path", "variant", "reason"),
    [
        ("umbrella", "messages", "legacy", "default"),
        ("initech", "messages", "legacy-cached", "flag"),
        ("globex", "managed", "managed-sonnet-4-6", "flag"),
        ("acme", "managed", "managed-haiku-4-5-cap8", "flag"),
    ],
)
def test_each_tenant_goes_where_its_flag_says_and_leaves_one_ended_row(
    dispatcher, rows, ask, checkout, tenant, path, variant, reason
):
    result = dispatcher.dispatch_research(ask(tenant))

    assert (result.status, result.decision.path, result.decision.reason) == (Status.SUCCESS, path, reason)
    for finding in result.output.findings:
        assert finding.evidence in (checkout / finding.file).read_text().splitlines()[finding.line - 1]
    [row] = rows()
    written = {name: row[name] for name in ("log_id", "tenant", "path", "variant", "reason", "status", "origin")}
    assert written == {
        "log_id": result.log_id,
        "tenant": tenant,
        "path": path,
        "variant": variant,
        "reason": reason,
        "status": "success",
        "origin": "simulated",
    }
    assert row["time_scale"] == 0
    assert row["landed_at"] is not None


def test_the_row_and_its_calls_hold_what_the_result_says(dispatcher, rows, ask):
    result = dispatcher.dispatch_research(ask("globex"))
    [row] = rows()
    calls = rows("SELECT * FROM ai_outbound_calls ORDER BY ordinal")

    assert row["iterations"] == result.iterations == len(calls)
    assert row["cost_nanousd"] == result.cost_nanousd
    assert row["cost_nanousd"] == row["runtime_cost_nanousd"] + sum(call["cost_nanousd"] for call in calls)
    assert row["input_tokens"] == sum(call["input_tokens"] for call in calls)
    parts = ("ready_ms", "session_init_ms", "first_token_ms", "remainder_ms")
    assert sum(row[part] for part in parts) == result.timings.time_to_first_token_ms


def test_the_source_documents_query_runs_on_the_log(dispatcher, rows, ask):
    result = dispatcher.dispatch_research(ask())
    seed = (
        "SELECT response_time_ms, input_tokens, output_tokens FROM ai_outbound_logs WHERE feature='agent_research' "
        "AND status='success' AND created_at >= datetime('now', '-30 days')"
    )

    assert rows(seed) == [
        {
            "response_time_ms": result.timings.response_time_ms,
            "input_tokens": result.usage.input_tokens,
            "output_tokens": result.usage.output_tokens,
        }
    ]


def test_threads_and_an_event_loop_share_a_dispatcher(dispatcher, rows, ask):
    async def awaited():
        return await asyncio.gather(*(dispatcher.adispatch_research(ask("acme")) for _ in range(6)))

    with ThreadPoolExecutor(6) as threads:
        called = [threads.submit(dispatcher.dispatch_research, ask("initech")) for _ in range(6)]
        results = asyncio.run(awaited()) + [future.result() for future in called]

    assert {row["log_id"] for row in rows()} == {result.log_id for result in results}
    assert {row["status"] for row in rows()} == {"success"}


async def test_the_blocking_call_on_a_loops_thread_raises_and_leaves_no_row(dispatcher, rows, ask):
    with pytest.raises(CalledOnEventLoop):
        dispatcher.dispatch_research(ask())

    assert rows() == []
    await asyncio.to_thread(dispatcher.dispatch_research, ask())
    assert len(rows()) == 1


def test_a_deadline_ends_as_a_result_with_its_row(dispatcher, rows, ask):
    result = dispatcher.dispatch_research(ask(limits=Limits(deadline_s=0.001)))

    assert (result.status, result.ended_by, result.error_type) == (Status.ERROR, EndedBy.DEADLINE, ErrorType.DEADLINE)
    assert rows()[0]["error_type"] == "deadline"
    with pytest.raises(AttemptFailed, match="deadline"):
        result.raise_for_status()


def test_a_cap_of_one_request_ends_by_the_cap(dispatcher, rows, ask):
    result = dispatcher.dispatch_research(ask(limits=Limits(iterations=1)))

    assert (result.ended_by, result.iterations, rows()[0]["iteration_cap"]) == (EndedBy.ITERATION_CAP, 1, 1)


def test_a_second_turn_without_the_first_ones_transcript_is_refused_before_anything_is_spent(
    dispatcher, rows, ask, live_simulator
):
    dispatcher.dispatch_research(ask(conversation_id="c-1"))
    spent = len(live_simulator.ledger)
    with pytest.raises(ConversationContinues):
        dispatcher.dispatch_research(ask(conversation_id="c-1"))

    assert len(rows()) == 1
    assert len(live_simulator.ledger) == spent


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repository": Repository(path="nowhere")}, "nowhere"),
        ({"commit": "0000000"}, "0000000"),
        ({"github_url": "https://github.com/example/foreign"}, "may not"),
    ],
)
def test_an_unusable_repository_is_one_clear_error_and_no_row(dispatcher, rows, checkout, change, message):
    repository = change.get("repository") or Repository(path=checkout, **{"github_url": URL, **change})
    action = ResearchAction(question="Where?", tenant="acme", repository=repository)
    with pytest.raises(RepositoryUnusable, match=message):
        dispatcher.dispatch_research(action)

    assert rows() == []


def test_an_unregistered_pin_is_misuse_and_leaves_no_row(dispatcher, rows, ask):
    with pytest.raises(InvalidAction, match="registered"):
        dispatcher.dispatch_research(ask(variant="managed-opus"))

    assert rows() == []


def test_a_log_that_takes_no_row_refuses_the_action_and_nothing_is_spent(
    dispatcher, ask, live_settings, live_simulator
):
    spent = len(live_simulator.ledger)
    path = live_settings.database_url.get_secret_value().removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE ai_outbound_logs RENAME TO elsewhere")
    spool = live_settings.log_spool_dir / "spool.db"
    spool.unlink(missing_ok=True)
    spool.mkdir(parents=True)
    with pytest.raises(LogUnavailable):
        dispatcher.dispatch_research(ask())

    assert len(live_simulator.ledger) == spent


@pytest.mark.parametrize(
    ("value", "reason"), [("legacy", "forced"), ("", "force_invalid"), ("managed", "force_invalid")]
)
def test_the_kill_file_turns_every_decision_to_messages(dispatcher, ask, live_settings, value, reason):
    live_settings.kill_switch_file.write_text(value)
    result = dispatcher.dispatch_research(ask("globex"))
    live_settings.kill_switch_file.unlink()
    after = dispatcher.dispatch_research(ask("globex"))

    assert (result.decision.path, result.decision.reason) == ("messages", reason)
    assert after.decision.path == "managed"


def test_a_plain_folder_is_researched_on_messages_whatever_the_flag_says(dispatcher, rows, tmp_path):
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "greeting.py").write_text("def greeting():\n    return 'hello'\n")
    action = ResearchAction(question="Where is the greeting?", tenant="globex", repository=Repository(path=folder))
    result = dispatcher.dispatch_research(action)

    assert (result.status, result.decision.reason) == (Status.SUCCESS, "repository_not_mountable")
    assert rows()[0]["commit_sha"] is None


def test_the_work_tree_does_not_change_what_is_read_at_a_commit(dispatcher, tmp_path, checkout):
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", str(checkout), str(copy)], check=True)
    Path(copy / "greeting.py").write_text("# nothing is here any more\n")
    action = ResearchAction(
        question="Where is the greeting computed?", tenant="umbrella", repository=Repository(path=copy)
    )
    result = dispatcher.dispatch_research(action)

    assert any(f.file == "greeting.py" and "def greeting" in f.evidence for f in result.output.findings)
