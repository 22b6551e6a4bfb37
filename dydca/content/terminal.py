"""Progress on stderr: a bar where someone watches, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from dydca.content.files import json_text, write_whole

LINE_SECONDS = 10.0


def write_json(path: Path | None, values: object) -> None:
    """Write values as JSON where a file is named.

    Raises:
        FileError: DYD705, it cannot be written.
    """
    if path:
        write_whole(path, lambda partial: partial.write_text(json_text(values) + "\n"))


class Bar(Protocol):
    """How far a piece of work is."""

    def __call__(self, done: int, total: int | None, note: str) -> None:
        """Show that `done` of `total` is done, and a few words on how it goes; another total begins another stage."""


@contextmanager
def progress_bar(title: str) -> Iterator[Bar]:
    """A bar with elapsed and remaining time on a terminal if rich is installed, else lines."""
    if sys.stderr.isatty():
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError:
            pass
        else:
            columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
            note_column = TextColumn("{task.fields[note]}")
            with Progress(*columns, note_column, console=Console(stderr=True)) as progress:
                task = progress.add_task(title, total=None, note="")

                def show(done: int, total: int | None, note: str) -> None:
                    if total != progress.tasks[task].total:  # another stage begins, whose speed is another one
                        progress.reset(task, total=total)
                    progress.update(task, completed=done, total=total, note=note)

                yield show
            return
    yield _Lines(title)


class _Lines:
    """At most one line in `LINE_SECONDS`, and one at the end."""

    def __init__(self, title: str) -> None:
        self._title, self._shown = title, 0.0
        self._first, self._begun, self._total = 0, time.monotonic(), -1

    def __call__(self, done: int, total: int | None, note: str) -> None:
        now = time.monotonic()
        if (total or 0) != self._total:  # another stage begins, whose speed is another one
            self._first, self._begun, self._total = done, now, total or 0
        if now - self._shown < LINE_SECONDS and done != total:
            return
        self._shown = now
        of = f"{done}/{total}" if total else str(done)
        print("  ".join(filter(None, (f"{self._title} {of}", self._left(done, total, now), note))), file=sys.stderr)

    def _left(self, done: int, total: int | None, now: float) -> str:
        gained = done - self._first
        if not total or gained <= 0 or done == total:
            return ""
        return f"{(now - self._begun) / gained * (total - done):.0f} s left"
