"""Writes every graph as text after every pass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dydca.errors import FileError
from dydca.passes.running.report import PassReport
from dydca.passes.running.subject import Subject


@dataclass(frozen=True)
class Dump:
    """An observer of `run_passes`: one file per pass and graph, ``03_drop_identity.route0.txt``.

    Attributes:
        folder: Is made if it is not there.
    """

    folder: Path

    def __call__(self, step: int, report: PassReport, subject: Subject) -> None:
        """Writes one graph.

        Raises:
            FileError: DYD705.
        """
        path = self.folder / f"{step:02}_{report.name}.{report.subject}.txt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(subject.text() + "\n", encoding="utf-8")
        except OSError as error:
            raise FileError("DYD705", "a graph cannot be dumped", where=str(path), got=error) from error
