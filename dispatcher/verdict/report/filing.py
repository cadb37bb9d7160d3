"""Reports as files: each whole or not there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from dispatcher.audit.record import Origin
from dispatcher.document.whole_file import replace_file
from dispatcher.errors import InvalidInput
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.report.document import as_json
from dispatcher.verdict.report.page.page import as_page
from dispatcher.verdict.report.prose import as_text


def file_reports(directory: Path, verdicts: Sequence[Verdict]) -> list[Path]:
    """Write each verdict as Markdown, canonical JSON and a page; the pages' paths, in the order of the verdicts.

    A file is named by record, moment and, where it isn't production, origin, so that another week's stays and the same
    verdict replaces itself. Raises InvalidInput where the directory can't be written to.
    """
    pages = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for verdict in verdicts:
            stem = directory / _name(verdict)
            replace_file(stem.with_suffix(".md"), as_text(verdict))
            replace_file(stem.with_suffix(".json"), as_json([verdict]) + "\n")
            replace_file(stem.with_suffix(".html"), as_page(verdict))
            pages.append(stem.with_suffix(".html"))
    except OSError as error:
        raise InvalidInput(str(directory), [f"the reports can't be written there: {error.strerror or error}"]) from None
    return pages


def _name(verdict: Verdict) -> str:
    origin = "" if verdict.origin is Origin.PRODUCTION else f"-{verdict.origin.value}"
    return f"{verdict.record.id}-{verdict.as_of.astimezone(dt.UTC):%Y-%m-%dT%H%M%SZ}{origin}"
