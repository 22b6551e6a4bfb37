"""The folder of compiled networks: ``.dydca`` files named by their keys.

A file appears whole or not at all, so processes may share the folder. One that is damaged, or of another version, is
taken as absent, and replaced.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

from dydca.errors import FileError
from dydca.runtime import artifact

LIMIT = 1 << 30
"""Bytes of all files; beyond it, those go that were not used for longest."""


def find_folder() -> Path | None:
    """The folder that ``DYDCA_CACHE`` names, by default ``~/.cache/dydca``; None if the variable is empty."""
    named = os.environ.get("DYDCA_CACHE")
    if named is not None:
        return Path(named).expanduser() if named else None
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dydca"


class Store:
    """Packages by key.

    Args:
        folder: Made when something is stored.
        limit: See `LIMIT`.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit

    def get(self, key: str) -> tuple[artifact.Manifest, dict[str, bytes]] | None:
        """Manifest and members of what was stored, None if there is nothing sound."""
        path = self._path(key)
        try:
            found = artifact.read(path)
        except FileError:
            return None
        with contextlib.suppress(OSError):  # of another user, say; then it only seems unused
            os.utime(path)
        return found

    def put(self, key: str, manifest: Mapping[str, object], members: Mapping[str, bytes]) -> None:
        """Stores a package; where that cannot be done, a warning says so, for nothing depends on it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            artifact.save(self._path(key), manifest, members)
            self._shrink()
        except (FileError, OSError) as error:
            warnings.warn(f"the compiled network is not kept: {error}", stacklevel=2)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.dydca"

    def _shrink(self) -> None:
        files = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process shrinks it as well
                files.append((path.stat(), path))
        excess = sum(stat.st_size for stat, _ in files) - self.limit
        for stat, path in sorted(files, key=lambda file: file[0].st_mtime):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= stat.st_size
