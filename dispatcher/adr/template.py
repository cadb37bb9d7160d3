"""A new record, and the banner that it puts on top of one that it corrects. Pure."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from dispatcher.adr.corrections import body_hash
from dispatcher.adr.document import Record
from dispatcher.errors import InvalidRecord

_ID = re.compile(r"(?:(?P<prefix>[A-Z][A-Z0-9]{0,9})-)?(?P<number>[0-9]{4})")
_LAST_NUMBER = 9999
_BASELINE_DAYS = dt.timedelta(days=30)

_BODY = """\
# {title}

## Context

What is decided, and what is known. Every table names the query behind it, every percentile its n, and what nobody
measured is called a hypothesis.

## Considered Options

1. **Ship as it is**, accepting what gets worse for what gets better.
2. **Ship side by side behind a dispatcher**: the control stays the default, tenants are moved by a flag, and
   figures are gathered from real traffic before anything is decided.
3. **Don't ship.**
4. **Redesign around another target**, which is another promise and so another record.

## Decision

Pending.

## Consequences

- What follows, wanted or not.

## Risks

- What could make the figures wrong, and what could go wrong although they are right.

## Sources

- Where the figures come from: address or query, window, n, and who allowed that they are read.
"""

_CONFIRMATION = """
## Confirmation

Weekly, from the log, once the record is registered.

- **AC-1** p95 wall time stays at or below 1.5 × that of production, as measured below.
- **AC-2** At least 95 % of the dispatches end with a valid report.

```yaml acceptance
schema: 1
feature: {feature}
candidate: {{variant: {candidate}}}
control: {{variant: {control}}}
tenants: {{{tenant}: 1.0}}
traffic: {{dispatches_per_month: 36, dispatches_per_conversation: 1}}
looks: {{cadence: weekly, method: anytime, alpha: 0.05, max_weeks: 52, settle: 24h}}
unit: {{by: conversation, window: 0d}}
assignment: {{kind: sticky_share, by: conversation, share: 0.67}}
max_unknown_share: 0.02
on_rollback: report
criteria:
  - id: AC-1
    says: p95 wall time stays at or below 1.5 × that of production, as measured below
    severity: gate
    measure: response_time_ms
    aggregate: p95
    at_most: {{times_baseline: 1.5}}
    baseline:
      source: production-telemetry
      from: {source}
      where: {{feature: {feature}, status: success, tenant: {tenant}}}
      window: [{first}, {last}]
      treat_as: contract
  - id: AC-2
    says: at least 95 % of the dispatches end with a valid report
    severity: guard
    measure: output_valid
    aggregate: rate
    at_least: {{value: 0.95}}
    baseline: {{source: own-target}}
```
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the block of a new record speaks of; `source` is where its baseline is to be measured."""

    feature: str
    candidate: str
    control: str
    tenant: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a new record is made of; `corrects` is the record that it corrects, None where there is none, and
    `supersedes` are those whose place it takes.

    Where `judged` is None, no telemetry judges it. Raises InvalidRecord for a name of more than one printable line.
    """

    id: str
    title: str
    date: dt.date
    deciders: tuple[str, ...]
    judged: Judged | None
    corrects: Record | None
    supersedes: tuple[Record, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no line of YAML and no heading can hold, and a place that is taken."""
        if not all(text.strip() and text.isprintable() for text in (self.title, *self.deciders)):
            raise InvalidRecord(self.id, ["the title and every decider are one line of printable text each"])
        replaced = {record.id: record.superseded_by for record in self.supersedes}
        problems = [f"{name} is superseded by {by} already" for name, by in replaced.items() if by is not None]
        if self.corrects is not None and self.corrects.id in replaced:
            problems.append(f"it either corrects {self.corrects.id}, which stays, or takes its place")
        if problems:
            raise InvalidRecord(self.id, problems)

    @property
    def file_name(self) -> str:
        """The name of its file: the id and the words of the title."""
        plain = unicodedata.normalize("NFKD", self.title).encode("ascii", "ignore").decode().lower()
        words = re.findall(r"[a-z0-9]+", plain)[:10]
        return f"{'-'.join([self.id, *(words or ['record'])])}.md"

    @property
    def text(self) -> str:
        """The content of its file."""
        front = ["---", f"id: {_scalar(self.id)}", f"title: {_scalar(self.title)}", "status: proposed"]
        front += [f"date: {self.date.isoformat()}", f"deciders: [{', '.join(map(_scalar, self.deciders))}]"]
        if self.judged is None:
            front.append("acceptance: none")
        if self.supersedes:
            front.append(f"supersedes: [{', '.join(_scalar(record.id) for record in self.supersedes)}]")
        if self.corrects is not None:
            front += ["corrects:", f"  {self.corrects.id}: {body_hash(self.corrects)}"]
        body = _BODY.format(title=self.title)
        if self.judged is not None:
            first, last = (self.date - _BASELINE_DAYS).isoformat(), self.date.isoformat()
            body += _CONFIRMATION.format(**asdict(self.judged), first=first, last=last)
        return "\n".join([*front, "---", "", body])


def next_id(taken: Iterable[str], prefix: str) -> str:
    """The id after the highest of a prefix, `KD-0651` after `KD-0650`. Raises ValueError where there is none left."""
    numbers = [
        int(match["number"])
        for match in map(_ID.fullmatch, taken)
        if match is not None and (match["prefix"] or "") == prefix
    ]
    number = max(numbers, default=0) + 1
    if number > _LAST_NUMBER:
        raise ValueError(f"{prefix or 'plain'} ids end at {_LAST_NUMBER}: state an id, or another prefix")
    return f"{prefix}-{number:04d}" if prefix else f"{number:04d}"


def superseded(old: Record, draft: Draft) -> str:
    """The text of a superseded record: as it was, but for the two lines of front matter that say so."""
    lines = old.text.replace("\r\n", "\n").split("\n")
    closing = next(i for i, line in enumerate(lines[1:], start=1) if line.rstrip() == "---")
    front = []
    for line in lines[:closing]:
        own = ["status: superseded", f"superseded_by: {_scalar(draft.id)}"]
        front += own if line.startswith("status:") else [line]
    return "\n".join([*front, *lines[closing:]])


def corrected(old: Record, draft: Draft) -> str:
    """The text of a corrected record: as it was, with a banner on top and a line of front matter that point here."""
    lines = old.text.replace("\r\n", "\n").split("\n")
    closing = next(i for i, line in enumerate(lines[1:], start=1) if line.rstrip() == "---")
    names = ", ".join([*map(_scalar, old.corrected_by), _scalar(draft.id)])
    front = [line for line in lines[:closing] if not line.startswith("corrected_by:")]
    body = lines[closing + 1 :]
    at = next((i + 1 for i, line in enumerate(body) if line.startswith("# ")), 0)
    banner = f"> **Corrected {draft.date.isoformat()}** by [{draft.id}]({draft.file_name}): {draft.title}"
    top = ["", banner] if at else [banner, ""]
    return "\n".join([*front, f"corrected_by: [{names}]", "---", *body[:at], *top, *body[at:]])


def _scalar(text: str) -> str:
    """A YAML scalar for a line of text: quoted, so that no word of it means anything to YAML."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9 _.-]*[A-Za-z0-9]|[A-Z]+-[0-9]{4}", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
