"""A virtual environment for every engine, outside the repository, from a full list of pinned packages."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dydca" / "peers"


class NotInstalledError(Exception):
    """An engine's packages cannot be installed here; the message is the last line of pip's."""


def interpreter(name: str | None) -> Path:
    """The Python of an environment, which is made if there is none for this list of packages.

    Packages are installed without their dependencies, because the lists are complete: what a list leaves out on
    purpose (telemetry, CUDA libraries) stays out.

    Args:
        name: A file in ``requirements``; None for the running Python.

    Raises:
        NotInstalledError: pip refuses.
    """
    if name is None:
        return Path(sys.executable)
    wanted = REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE / "environments" / f"{name}-{digest}"
    done, python = folder / "done", folder / "bin" / "python"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        made = subprocess.run([*pip, "-r", str(wanted)], capture_output=True, text=True, check=False)
        if made.returncode:
            raise NotInstalledError((made.stderr.strip().splitlines() or ["pip failed"])[-1])
        done.touch()
    return python


def packages(name: str) -> dict[str, str]:
    """The pinned packages of an environment and their versions."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    pairs = (line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
    return dict(pairs)
