"""Whether a library built for a target can run on this machine."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from dydca.errors import FileError

_SAME_MACHINE = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


def runnable_triple(manifest: Mapping[str, object]) -> str:
    """The manifest's target triple, if this machine can run it; the alternative is to die from an illegal instruction.

    Args:
        manifest: Its ``target`` has ``triple``, and optionally ``features``, a list of names as in /proc/cpuinfo.

    Raises:
        FileError: DYD704, another processor or operating system; DYD702, the target is malformed.
    """
    target = manifest.get("target")
    if not isinstance(target, dict):
        raise FileError("DYD702", "the manifest has no target", got=target)
    triple, features = target.get("triple"), target.get("features", [])
    if not isinstance(triple, str) or not isinstance(features, list):
        raise FileError("DYD702", "the manifest's target is malformed", got=target)
    arch, _, system = triple.partition("-")
    here = platform.machine().lower()
    here = _SAME_MACHINE.get(here, here)
    wanted = "android" if "android" in system else "linux"
    if arch != here or "linux" not in system or sys.platform != wanted:
        raise FileError("DYD704", "compiled for another machine", got=triple, want=f"{here}, {sys.platform}")
    missing = {str(feature) for feature in features} - cpu_features() if features else set()
    if missing:
        raise FileError("DYD704", "this processor lacks instructions", got=f"no {', '.join(sorted(missing))}")
    return triple


def cpu_features() -> set[str]:
    """The names on the first ``flags`` (x86) or ``Features`` (ARM) line of /proc/cpuinfo."""
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features"):
                    return set(value.split())
    except OSError:
        pass
    return set()
