"""Files that appear whole or not at all, and folders in which interrupted work waits for the next run."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from dydca.errors import ContentError, FileError

if TYPE_CHECKING:
    from types import TracebackType

JOB = "job.json"


@contextmanager
def refuse_writing(path: Path) -> Iterator[None]:
    """Turns an `OSError` into a refusal that names `path`.

    Raises:
        FileError: DYD705.
    """
    try:
        yield
    except OSError as error:
        got = error.strerror or str(error)
        raise FileError("DYD705", f"cannot write {path.name}", where=str(path), got=got) from error


@contextmanager
def refuse_reading(path: Path) -> Iterator[None]:
    """Turns an `OSError` into a refusal that names `path`.

    Raises:
        FileError: DYD701.
    """
    try:
        yield
    except OSError as error:
        got = error.strerror or str(error)
        raise FileError("DYD701", f"cannot read {path.name}", where=str(path), got=got) from error


def publish(partial: Path, path: Path) -> None:
    """Give a finished file its name, after its content has reached the disk; what had the name is replaced."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` write to a temporary name beside `path`, then publish it.

    Raises:
        FileError: DYD705, the file cannot be written; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.partial")
    with refuse_writing(path):
        try:
            write(partial)
            publish(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def json_text(values: object) -> str:
    """Values as JSON; numbers that are not finite, which it does not have, become null."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not isfinite(value) else value

    return json.dumps(plain(values), indent=1)


class WorkFolder:
    """A hidden folder beside the file that is being made; it outlives a killed process, and one process has it.

    To be used in a ``with``; it stays, unless `remove` is called or there is no work in it.

    Args:
        output: The file or folder in the making.
        job: What determines the result, as JSON values; work of another job is not continued.
        restart: Discard work of another job instead of refusing.

    Attributes:
        path: The folder.

    Raises:
        ContentError: DYD806, work of another job waits there, or another process is at it.
        FileError: DYD705, it cannot be written.
    """

    def __init__(self, output: Path, job: Mapping[str, object], restart: bool = False) -> None:
        self.path = output.with_name(f".{output.name}.work")
        self._job = json.loads(json.dumps(job))
        with refuse_writing(self.path):
            self.path.mkdir(exist_ok=True)
            self._lock = os.open(self.path, os.O_RDONLY)
            try:
                self._claim(restart)
            except BaseException:
                os.close(self._lock)
                raise

    def _claim(self, restart: bool) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            got = "another process works there"
            raise ContentError("DYD806", "the work folder is taken", where=str(self.path), got=got) from error
        waiting = self._read_job()
        if waiting is not None and waiting != self._job and not restart:
            keys = sorted(key for key in {*waiting, *self._job} if waiting.get(key) != self._job.get(key))
            got = f"differences in {', '.join(keys)}"
            raise ContentError("DYD806", "work of another job waits there", where=str(self.path), got=got)
        if waiting != self._job:
            for entry in self.path.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            text = json.dumps(self._job, indent=1)
            write_whole(self.path / JOB, lambda partial: partial.write_text(text))

    def _read_job(self) -> dict[str, object] | None:
        try:
            job = json.loads((self.path / JOB).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return job if isinstance(job, dict) else None

    def remove(self) -> None:
        """Delete the folder: the work is done."""
        shutil.rmtree(self.path)

    def __enter__(self) -> WorkFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if all(path.is_dir() or path.name == JOB for path in self.path.rglob("*")):
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
