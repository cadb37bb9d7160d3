"""Reports as files: each whole or not there."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path

from dispatcher.audit.record import Origin
from dispatcher.errors import InvalidInput
from dispatcher.verdict.judge import Verdict
from dispatcher.verdict.page.page import as_page
from dispatcher.verdict.prose import as_text
from dispatcher.verdict.report import as_json


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
            _replace(stem.with_suffix(".md"), as_text(verdict))
            _replace(stem.with_suffix(".json"), as_json([verdict]) + "\n")
            _replace(stem.with_suffix(".html"), as_page(verdict))
            pages.append(stem.with_suffix(".html"))
    except OSError as error:
        raise InvalidInput(str(directory), [f"the reports can't be written there: {error.strerror or error}"]) from None
    return pages


def _name(verdict: Verdict) -> str:
    origin = "" if verdict.origin is Origin.PRODUCTION else f"-{verdict.origin.value}"
    return f"{verdict.record.id}-{verdict.as_of.astimezone(dt.UTC):%Y-%m-%dT%H%M%SZ}{origin}"


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
