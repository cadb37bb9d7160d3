"""How far a long verb is, drawn for a person who waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(doing: str) -> Iterator[Callable[[float], None]]:
    """What is told how much is done, from 0 to 1.

    It draws on standard error, so that what is printed can be piped, and nothing where that isn't a terminal.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(doing, total=1.0)
        yield lambda done: progress.update(task, completed=done)
