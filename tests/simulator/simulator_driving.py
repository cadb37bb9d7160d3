"""What a driver does: tool loops on the real SDK, and the tools it carries out over a checkout."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic

URL = "https://github.com/acme/shop"
SONNET = "claude-sonnet-4-6"
HAIKU = "claude-haiku-4-5"
QUESTION = "Where are feature flags evaluated?"

_STRING = {"type": "string"}
FINDING = {
    "type": "object",
    "properties": {"claim": _STRING, "file": _STRING, "line": {"type": "integer"}, "evidence": _STRING},
    "required": ["claim", "file", "line", "evidence"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {"summary": _STRING, "findings": {"type": "array", "items": FINDING}},
    "required": ["summary", "findings"],
    "additionalProperties": False,
}
FORMAT = {"format": {"type": "json_schema", "schema": SCHEMA}}
TOOLS: list[dict[str, Any]] = [
    {
        "name": "search_code",
        "description": "Search the code.",
        "input_schema": {
            "type": "object",
            "properties": {"pattern": _STRING, "path_glob": _STRING},
            "required": ["pattern"],
        },
    },
    {
        "name": "read_file",
        "description": "Read lines of a file.",
        "input_schema": {
            "type": "object",
            "properties": {"path": _STRING, "start_line": {"type": "integer"}, "end_line": {"type": "integer"}},
            "required": ["path"],
        },
    },
    {
        "name": "list_files",
        "description": "List files.",
        "input_schema": {"type": "object", "properties": {"path_glob": _STRING}},
    },
]
SUBMIT = {"type": "custom", "name": "submit_result", "description": "Deliver the report.", "input_schema": SCHEMA}


def toolset(*names: str, **options: Any) -> dict[str, Any]:
    """The built-in toolset with nothing on but these tools."""
    return {
        "type": "agent_toolset_20260401",
        "default_config": {"enabled": False},
        "configs": [{"name": name, "enabled": True, **options} for name in names],
    }


@dataclass(frozen=True)
class Shop:
    """The small repository that the tests research."""

    path: Path
    commit: str

    def lines(self, file: str) -> list[str]:
        return (self.path / file).read_text().split("\n")

    def cites_existing_lines(self, report: dict[str, Any]) -> bool:
        """Whether every finding quotes the very line that it names."""
        return bool(report["findings"]) and all(
            self.lines(finding["file"])[finding["line"] - 1].strip() == finding["evidence"]
            for finding in report["findings"]
        )

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Carry out a client tool."""
        if name == "read_file":
            lines = self.lines(arguments["path"])
            first = arguments.get("start_line", 1)
            return "\n".join(
                f"{n}\t{line}" for n, line in enumerate(lines[first - 1 : arguments.get("end_line")], first)
            )
        files = [file for file in _git(self.path, "ls-files").splitlines() if file]
        if name == "list_files":
            return "\n".join(files)
        pattern = re.compile(arguments["pattern"])
        hits = [
            f"{file}:{number}: {line}"
            for file in files
            for number, line in enumerate(self.lines(file), start=1)
            if pattern.search(line)
        ]
        return "\n".join(hits) or "(no line matches)"


def make_shop(path: Path) -> Shop:
    """A git repository with flags, billing, their tests and documents."""
    files = {
        "src/flags.py": '"""Feature flags."""\n\nDEFAULT = False\n\n\ndef evaluate_flag(name, tenant):\n'
        '    """Evaluate a feature flag for a tenant."""\n    return _rules(name).get(tenant, DEFAULT)\n\n\n'
        "def _rules(name):\n    return {}\n",
        "src/billing.py": "from src.flags import evaluate_flag\n\n\ndef invoice(tenant):\n"
        "    if evaluate_flag('new-invoice', tenant):\n        return 'new'\n    return 'old'\n",
        "src/checkout.js": "import {flags} from './flags'\n\nexport function pay() {\n  return flags.on('pay')\n}\n",
        "tests/test_flags.py": "def test_flag_is_off_by_default():\n    assert not evaluate_flag('x', 'acme')\n",
        "docs/flags.md": "# Flags\n\nFeature flags are evaluated per tenant.\n",
        "README.md": "# Shop\n\nA shop.\n",
    }
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    _git(path, "init", "-q", "-b", "main")
    _git(path, "add", "-A")
    _git(path, "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-q", "-m", "The shop")
    return Shop(path, _git(path, "rev-parse", "HEAD").strip())


def research(
    client: anthropic.Anthropic, shop: Shop, question: str = QUESTION, **options: Any
) -> tuple[list[anthropic.types.Message], dict[str, Any]]:
    """A streamed tool loop to its end: the replies, and the report."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"<question>\n{question}\n</question>"}]
    request = {"model": SONNET, "max_tokens": 4096, "tools": TOOLS, "output_config": FORMAT, **options}
    replies = []
    while True:
        with client.messages.stream(messages=messages, **request) as stream:  # type: ignore[arg-type]
            reply = stream.get_final_message()
        replies.append(reply)
        if reply.stop_reason != "tool_use":
            return replies, json.loads(reply.content[0].text)
        messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": results(shop, reply)}]


def results(shop: Shop, reply: anthropic.types.Message) -> list[dict[str, Any]]:
    """The results of a reply's tool calls."""
    return [
        {"type": "tool_result", "tool_use_id": block.id, "content": shop.call(block.name, block.input)}
        for block in reply.content
        if block.type == "tool_use"
    ]


@dataclass(frozen=True)
class Bench:
    """An agent and an environment, ready for sessions."""

    client: anthropic.Anthropic
    agent_id: str
    environment_id: str

    def session(self, shop: Shop | None = None, **options: Any) -> str:
        """A new session, with the shop mounted at its commit where one is given."""
        mounted = {"resources": [github(shop.commit)]} if shop else {}
        created = self.client.beta.sessions.create(
            agent=self.agent_id, environment_id=self.environment_id, **{**mounted, **options}
        )
        return created.id

    def events(self, session_id: str, *types: str) -> list[Any]:
        """The history, or its events of these types."""
        listed = self.client.beta.sessions.events.list(session_id=session_id, types=list(types) or anthropic.omit)
        return list(listed)

    def send(self, session_id: str, *events: dict[str, Any]) -> list[Any]:
        """Send events and return their echoes."""
        sent = self.client.beta.sessions.events.send(session_id=session_id, events=list(events))  # type: ignore[arg-type]
        return sent.data or []

    def stream(self, session_id: str, *first: dict[str, Any], **options: Any) -> Iterator[Any]:
        """Open the stream, send events, and yield what follows."""
        with self.client.beta.sessions.events.stream(session_id=session_id, **options) as events:
            if first:
                self.send(session_id, *first)
            yield from events

    def until_idle(self, session_id: str, *first: dict[str, Any]) -> list[Any]:
        """Send events and collect what follows, to the first idle."""
        seen = []
        for event in self.stream(session_id, *first):
            seen.append(event)
            if event.type == "session.status_idle":
                return seen
        raise AssertionError("the stream ended before the session was idle")

    def settled(self, session_id: str) -> Any:
        """The session, once its queryable status has caught up."""
        while True:
            session = self.client.beta.sessions.retrieve(session_id)
            if session.status != "running":
                return session


def bench(client: anthropic.Anthropic, tools: Sequence[dict[str, Any]] | None = None, model: str = SONNET) -> Bench:
    """An agent with `read`, `glob`, `grep` and `submit_result`, and an environment that is shut."""
    chosen = [toolset("read", "glob", "grep"), SUBMIT] if tools is None else list(tools)
    agent = client.beta.agents.create(name="researcher", model=model, system="You research code.", tools=chosen)  # type: ignore[arg-type]
    limited: Any = {"type": "cloud", "networking": {"type": "limited", "allowed_hosts": []}}
    environment = client.beta.environments.create(name="shut", config=limited)
    return Bench(client, agent.id, environment.id)


def github(commit: str, url: str = URL) -> dict[str, Any]:
    """A mounted repository, with a token that must never come back."""
    checkout = {"type": "commit", "sha": commit}
    return {"type": "github_repository", "url": url, "authorization_token": "ghp_secret", "checkout": checkout}


def message(text: str = QUESTION) -> dict[str, Any]:
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def accepted(event_id: str, text: str = "accepted", **options: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"type": "user.custom_tool_result", "custom_tool_use_id": event_id, "content": content, **options}


INTERRUPT: dict[str, Any] = {"type": "user.interrupt"}


def _git(path: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=path, capture_output=True, text=True, check=True)
    return done.stdout
