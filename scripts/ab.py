"""The recorded A/B of scripts/ab: asks both arms the same conversations, interleaved, and writes the record's table."""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from ab_record import Turn, figures_from, table
from pydantic import Field

from dispatcher.document.notation import Name, Strict
from dispatcher.document.reading import read_document
from dispatcher.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[1]
WORDS = ("before", "after")


class _Repository(Strict):
    path: str
    github_url: str | None = None


class QuestionSet(Strict):
    """Conversations to ask, each a list of turns, of one repository; its path is relative to the file."""

    schema_: Literal[1] = Field(alias="schema")
    tenant: Name
    repository: _Repository
    conversations: list[Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class ArmSpec:
    """A variant, the checkout whose code runs it, and the folder of its policies."""

    variant: str
    checkout: Path
    policies: Path

    @classmethod
    def parse(cls, text: str) -> ArmSpec:
        """Read VARIANT or VARIANT@FOLDER."""
        variant, separator, folder = text.partition("@")
        place = Path(folder).resolve() if separator else ROOT
        if (place / "dispatcher" / "__init__.py").is_file():
            return cls(variant, place, place / "policies")
        if (place / "agent_research.yml").is_file():
            return cls(variant, ROOT, place)
        raise SystemExit(f"{text}: {place} is neither a checkout of this project nor a folder of its policies")


class Arm:
    """A running arm, with a log of its own."""

    def __init__(self, spec: ArmSpec, base_url: str, folder: Path, word: str) -> None:
        self.spec = spec
        log = folder / f"{word}.db"
        environment = {
            **os.environ,
            "PYTHONPATH": str(spec.checkout),
            "ANTHROPIC_BASE_URL": base_url,
            "DISPATCHER_POLICIES_DIR": str(spec.policies),
            "DISPATCHER_DATABASE_URL": f"sqlite:///{log}",
            "AB_LOG": str(log),
        }
        # A simulated provider keeps its cache by key, so neither arm reads what the other wrote.
        environment.setdefault("ANTHROPIC_API_KEY", f"simulated-{word}")
        command = [sys.executable, "-P", str(ROOT / "scripts" / "ab_arm.py")]
        self._process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Have one turn answered."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**asked, "variant": self.spec.variant}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the arm {self.spec.variant} of {self.spec.checkout} ended, see its error above")
        said: dict[str, Any] = json.loads(line)
        if said["variant"] != self.spec.variant:
            went = f"{said['variant']}, reason {said['reason']}"
            advice = f"dispatcher explain --tenant {asked['tenant']} --variant {self.spec.variant}"
            raise SystemExit(f"the arm {self.spec.variant} was routed to {went}: see `{advice}`")
        return said

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


@contextmanager
def provider(repository: _Repository, checkout: Path, time_scale: float) -> Iterator[str]:
    """The base URL to ask: the environment's, else that of a simulator which ends with the block."""
    named = os.environ.get("ANTHROPIC_BASE_URL")
    if named:
        yield named
        return
    mounted = [] if repository.github_url is None else ["--repository", f"{repository.github_url}={checkout}"]
    command = [sys.executable, "-m", "dispatcher", "simulator", "--time-scale", str(time_scale), *mounted]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as simulator:
        assert simulator.stdout is not None
        try:
            yield simulator.stdout.readline().strip()
        finally:
            simulator.terminate()


def asked_turns(
    questions: QuestionSet, commit: str | None, checkout: Path, runs: int
) -> Iterator[tuple[int, list[Any]]]:
    """Every conversation of every run, with which arm goes first: it alternates from one to the next."""
    marked = secrets.token_hex(4)
    repository = {"path": str(checkout), "github_url": questions.repository.github_url, "commit": commit}
    for run in range(runs):
        for number, turns in enumerate(questions.conversations):
            asked = [
                {
                    "number": number,
                    "run": run,
                    "turn": turn,
                    "conversation": f"ab-{marked}-{run}-{number}",
                    "question": question,
                    "tenant": questions.tenant,
                    "repository": repository,
                }
                for turn, question in enumerate(turns, 1)
            ]
            yield (run + number) % 2, asked


def compare(
    arms: Sequence[Arm], conversations: Iterator[tuple[int, list[Any]]], lines: Callable[[str], Sequence[str]]
) -> tuple[list[list[Turn]], list[dict[str, Any]]]:
    """The figures of every turn, by arm, and what each arm said last; a failed turn ends its conversation."""
    found: list[list[Turn]] = [[], []]
    said_by: list[dict[str, Any]] = [{}, {}]
    for first, asked in conversations:
        for place in (first, 1 - first):
            for turn in asked:
                said = said_by[place] = arms[place].ask(turn)
                found[place].append(figures_from(turn, said, lines))
                print(
                    f"{WORDS[place]:<6} {turn['conversation']} turn {turn['turn']}: {said['status']}", file=sys.stderr
                )
                if said["status"] != "success":
                    break
    return found, said_by


def _git(checkout: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def lines_at(checkout: Path, commit: str | None) -> Callable[[str], Sequence[str]]:
    """Reads the lines of the repository's files, at the commit or as they are; a file that isn't there has none."""

    @cache
    def lines(name: str) -> tuple[str, ...]:
        if commit is not None:
            return tuple((_git(checkout, "show", f"{commit}:{name}") or "").splitlines())
        path = checkout / name
        inside = path.resolve().is_relative_to(checkout) and path.is_file()
        return tuple(path.read_text(errors="replace").splitlines()) if inside else ()

    return lines


_NOTES = (
    "Intervals are 95 %: Wilson's of a share, Newcombe's of a difference. They take conversations and reports as "
    "independent; those of one question aren't quite, so the intervals are somewhat too narrow.\n"
    "An overlap is the Jaccard index of the files that two answers to the same turn cite; one between the arms is to "
    "be held against that within an arm, which chance alone gives.\n"
    "Percentiles are nearest-rank. The arms took turns in going first."
).splitlines()


def record(
    specs: Sequence[ArmSpec],
    revisions: Sequence[str],
    said: Sequence[dict[str, Any]],
    found: Sequence[Sequence[Turn]],
    about: str,
    turns_of: dict[int, int],
) -> str:
    """The record's section: what was compared and how, the table, and what its figures mean."""
    simulated = any(one["origin"] == "simulated" for one in said)
    scales = sorted({one["time_scale"] for one in said})
    arms = [
        f"- {word}: variant `{spec.variant}`, definition {one['variant_hash']}, code {revision}"
        for word, spec, one, revision in zip(WORDS, specs, said, revisions, strict=True)
    ]
    notes = list(_NOTES)
    if scales != [1.0]:
        notes.append(f"The waits ran on a time scale of {', '.join(f'{scale:g}' for scale in scales)}: no real times.")
    if simulated:
        notes.append("A simulated model answered: this shows that the comparison works, and nothing about a real one.")
    title = f"## A/B of {specs[0].variant} and {specs[1].variant}{' (SIMULATED)' if simulated else ''}"
    return "\n".join(
        [title, "", about, "", *arms, "", table(found[0], found[1], turns_of), "", *(f"- {n}" for n in notes), ""]
    )


def _revision(checkout: Path) -> str:
    commit = (_git(checkout, "rev-parse", "--short=12", "HEAD") or "of no commit").strip()
    changed = _git(checkout, "status", "--porcelain", "--", "dispatcher", "policies")
    return f"{commit}{' with uncommitted changes' if changed else ''}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/ab", description=__doc__)
    parser.add_argument("questions", type=Path)
    parser.add_argument("before", type=ArmSpec.parse)
    parser.add_argument("after", type=ArmSpec.parse)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--time-scale", type=float, default=0.01, help="of the simulator that is started")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    try:
        questions = read_document(given.questions, QuestionSet, InvalidInput, typed=True)
    except InvalidInput as error:
        raise SystemExit(str(error)) from None
    checkout = (given.questions.parent / questions.repository.path).resolve()
    commit = (_git(checkout, "rev-parse", "HEAD") or "").strip() or None
    specs = (given.before, given.after)
    revisions = [_revision(spec.checkout) for spec in specs]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="dispatcher-ab-")))
        base_url = stack.enter_context(provider(questions.repository, checkout, given.time_scale))
        arms = [Arm(spec, base_url, folder, word) for spec, word in zip(specs, WORDS, strict=True)]
        conversations = asked_turns(questions, commit, checkout, given.runs)
        found, said = compare(arms, conversations, lines_at(checkout, commit))
        for arm in arms:
            arm.stop()
    digest = hashlib.sha256(given.questions.read_bytes()).hexdigest()[:16]
    about = (
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}: {given.runs} runs of {len(questions.conversations)} conversations from "
        f"`{given.questions.name}` ({digest}), repository at {commit[:12] if commit else 'no commit'}."
    )
    turns_of = {number: len(turns) for number, turns in enumerate(questions.conversations)}
    text = record(specs, revisions, said, found, about, turns_of)
    print(text)
    if given.output:
        given.output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
