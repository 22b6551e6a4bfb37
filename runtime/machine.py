"""Whether a library built for a target can run on this machine."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from dydca.errors import FileError

_SAME_MACHINE = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


def runnable_triple(manifest: Mapping[str, object]) -> str:
    """The platform whose library this machine can run; the alternative is to die from an illegal instruction.

    Args:
        manifest: See `Package`.

    Raises:
        FileError: DYD704, other processors or operating systems; DYD702, the targets are malformed.
    """
    targets = manifest.get("targets")
    if not isinstance(targets, dict) or not targets:
        raise FileError("DYD702", "the manifest has no targets", got=targets)
    here = _platforms()
    for triple in here:
        if triple in targets:
            _check_features(targets[triple])
            return triple
    raise FileError("DYD704", "compiled for other machines", got=", ".join(map(str, targets)), want=here[0])


def is_runnable(manifest: Mapping[str, object]) -> bool:
    """Whether there is such a library."""
    try:
        runnable_triple(manifest)
    except FileError:
        return False
    return True


def _platforms() -> list[str]:
    """The triples of this machine, the C library that Python itself runs on first."""
    arch = platform.machine().lower()
    arch = _SAME_MACHINE.get(arch, arch)
    if sys.platform == "android":
        return [f"{arch}-linux-android"]
    libraries = ("gnu", "musl") if platform.libc_ver()[0] == "glibc" else ("musl", "gnu")
    return [f"{arch}-{sys.platform}-{library}" for library in libraries]


def _check_features(target: object) -> None:
    features = target.get("features", []) if isinstance(target, dict) else None
    if not isinstance(features, list):
        raise FileError("DYD702", "a target of the manifest is malformed", got=target)
    missing = set(map(str, features)) - cpu_features() if features else set()
    if missing:
        raise FileError("DYD704", "this processor lacks instructions", got=f"no {', '.join(sorted(missing))}")


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
