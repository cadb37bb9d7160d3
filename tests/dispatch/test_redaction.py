"""What is taken out of content before it is kept."""

from __future__ import annotations

import json
import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.action.decision import PathName
from dispatcher.action.policy import Redaction
from dispatcher.action.transcript import Transcript, Turn
from dispatcher.dispatch.redaction import redacted_transcript, redactor

KEY = "sk-ant-api03-" + "Ab1_" * 20
MAIL = "ada.lovelace+x@example.co.uk"
CREDENTIALS = [
    KEY,
    "ghp_" + "a1" * 18,
    "github_pat_" + "11AA_" * 12,
    "AKIA" + "ABCD1234" * 2,
    "AIza" + "a-" * 18,
    "xoxb-1234567890-abcdefghij",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlX2hlcmU",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow" + "IBAAKCAQEA\n" * 20 + "-----END RSA PRIVATE KEY",
]
redact = redactor([Redaction.CREDENTIALS])
redact_all = redactor(list(Redaction))


@pytest.mark.parametrize("secret", CREDENTIALS, ids=lambda text: text[:10].strip())
@pytest.mark.parametrize("around", ["{}", "key = '{}'", "see {}, and", 'TOKEN="{}"\n'])
def test_a_credential_is_taken_out_wherever_it_stands(secret, around):
    text = redact(around.format(secret))
    assert secret not in text
    assert all(piece not in text for piece in (secret[8:20], secret[-12:]))
    assert text.startswith(around.partition("{}")[0] + "[credentials]")


def test_what_proves_a_sender_in_a_header_or_an_address_is_taken_out_and_the_rest_stays():
    assert redact("Authorization: Bearer abcdef0123456789abcdef") == "Authorization: Bearer [credentials]"
    assert redact("postgresql://bob:hunter2@db/log") == "postgresql://[credentials]@db/log"
    assert redact("https://example.org:8080/path?x=1") == "https://example.org:8080/path?x=1"


@pytest.mark.parametrize(
    "text",
    [
        "def sk_test(): ...",
        "task-runner",
        "token = get_token()",
        "a@b",
        "eyJ.x.y",
        "AKIAHELLO",
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_code_that_only_looks_a_little_like_a_credential_stays(text):
    assert redact_all(text) == text


def test_each_kind_is_taken_out_only_where_it_is_asked_for():
    text = f"{MAIL} has {KEY}"
    assert redactor([])(text) == text
    assert redact(text) == f"{MAIL} has [credentials]"
    assert redactor([Redaction.EMAIL_ADDRESSES])(text) == f"[email_addresses] has {KEY}"
    assert redact_all(text) == "[email_addresses] has [credentials]"


@given(st.text(), st.sampled_from(CREDENTIALS), st.text())
def test_no_credential_survives_between_other_words(before, secret, after):
    assert secret not in redact(f"{before} {secret} {after}")


@given(st.text())
def test_what_was_redacted_once_stays_as_it_is(text):
    once = redact_all(text)
    assert redact_all(once) == once


@pytest.mark.parametrize(
    "hostile",
    [
        "eyJ" * 400_000,
        "eyJaaaaaa." * 120_000,
        "a" * 1_000_000,
        "a." * 500_000 + "@",
        "://" + "a" * 1_000_000,
        "sk-" * 400_000,
    ],
)
def test_no_text_takes_longer_than_in_proportion_to_its_length(hostile):
    def seconds(text):
        began = time.process_time()
        redact_all(text)
        return time.process_time() - began

    part = max(seconds(hostile[: len(hostile) // 8]), 0.01)
    assert seconds(hostile) < 8 * 6 * part


def a_turn(**changes):
    answer = json.dumps({"summary": f"ask\n{MAIL}", "findings": [{"evidence": f"key={KEY}"}]})
    messages = (
        {"role": "user", "content": [{"type": "text", "text": f"use {KEY}"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "nothing to hide", "signature": "c2ln"},
                {"type": "thinking", "thinking": f"they gave {KEY}", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": KEY},
                {"type": "tool_use", "id": "toolu_1", "name": "grep", "input": {"name": KEY, "deep": [{"id": KEY}]}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": f"password {KEY}"}]},
    )
    values = {
        "question": f"Why {KEY}?",
        "path": PathName.MESSAGES,
        "model": "m",
        "answer": answer,
        "messages": messages,
    }
    return Turn(**values | changes)


def test_a_transcript_is_redacted_in_every_text_and_can_still_be_replayed():
    redacted = redacted_transcript(Transcript((a_turn(),)), redact_all)
    [turn] = redacted.turns
    assert turn.question == "Why [credentials]?"
    assert json.loads(turn.answer) == {
        "summary": "ask\n[email_addresses]",
        "findings": [{"evidence": "key=[credentials]"}],
    }
    user, assistant, result = (message["content"] for message in turn.messages)
    assert user == [{"type": "text", "text": "use [credentials]"}]
    assert assistant == [
        {"type": "thinking", "thinking": "nothing to hide", "signature": "c2ln"},
        # The signature was of other words.
        {"type": "text", "text": "they gave [credentials]"},
        # Sealed by the provider, who takes it back only as it is.
        {"type": "redacted_thinking", "data": KEY},
        {
            "type": "tool_use",
            "id": "toolu_1",
            "name": "grep",
            "input": {"name": "[credentials]", "deep": [{"id": "[credentials]"}]},
        },
    ]
    assert result == [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "password [credentials]"}]
    assert redacted.problems() == []
    assert redacted.can_be_replayed("m")
    assert Transcript.from_json(redacted.to_json()) == redacted


def test_a_transcript_without_anything_to_take_out_stays_as_it_is_to_the_letter():
    turn = a_turn(
        question="Why?",
        answer='{ "summary": "é" }',
        messages=({"role": "user", "content": [{"type": "text", "text": "x"}]},),
    )
    assert redacted_transcript(Transcript((turn,)), redact_all) == Transcript((turn,))


def test_random_code_keeps_its_letters():
    source = random.Random(7)
    lines = ["".join(source.choices(string.ascii_lowercase + " ()=._", k=60)) for _ in range(500)]
    assert redact("\n".join(lines)) == "\n".join(lines)


def test_nothing_that_is_kept_holds_a_credential_not_even_on_its_way(live_settings, ask, rows, checkout):
    """The conversation's turn and the key's result alike, as the database has them."""
    import yaml  # noqa: PLC0415

    from dispatcher.wiring.serving import build_dispatcher  # noqa: PLC0415

    file = live_settings.policies_dir / "agent_research.yml"
    policy = yaml.safe_load(file.read_text())
    kept = {"ttl": "1h", "max_bytes": 1_000_000}
    policy["conduct"]["keep"] = {"redact": ["credentials"], "conversations": kept, "results": dict(kept)}
    file.write_text(yaml.safe_dump(policy))
    dispatcher = build_dispatcher(live_settings)
    question = f"Where is {KEY} used, and by {MAIL}?"
    asked = ask("acme", variant="legacy", question=question, conversation_id="c-1", idempotency_key="k")
    result = dispatcher.dispatch_research(asked).raise_for_status()
    repeated = dispatcher.dispatch_research(asked)
    later = dispatcher.dispatch_research(ask("acme", variant="legacy", conversation_id="c-1"))
    dispatcher.close()
    texts = [row["content"] for table in ("ai_conversations", "ai_results") for row in rows(f"SELECT * FROM {table}")]
    assert (len(texts), len([text for text in texts if MAIL in text])) == (3, 2)
    assert not [text for text in texts if KEY in text]
    assert result.transcript.turns[0].question == question
    assert (repeated.repeated, repeated.transcript.turns[0].question) == (True, question.replace(KEY, "[credentials]"))
    assert later.raise_for_status().transcript.turns[0].question == question.replace(KEY, "[credentials]")
