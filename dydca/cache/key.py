"""The key of a compiled network: everything that decides what the compiler makes of it."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import torch

from dydca.cache.digest import Digest, UndigestedError
from dydca.extensions import offered

_CPU_LINES = ("vendor_id", "cpu family", "model", "model name", "cache size", "flags", "Features", "CPU part")
_VARIABLES = ("CC", "PATH", "TVM_NDK_CC", "ANDROID_NDK_HOME", "ANDROID_NDK_ROOT")
"""Of the environment: they choose the tool chain."""


def key_of(*request: object) -> str | None:
    """The key of a request to the compiler; None if something in it cannot be read.

    Besides the request it covers this compiler and those it stands on, packages that extend it, and this machine.
    """
    digest = Digest()
    try:
        digest.add([_compiler(), _machine(), [os.environ.get(name) for name in _VARIABLES]])
        digest.add([offered(group) for group in ("dydca.passes", "dydca.rules")])
        digest.add([torch.get_default_dtype(), *request])
    except (UndigestedError, RecursionError):
        return None
    return digest.text


@lru_cache
def _compiler() -> str:
    """The sources of dydca, and the versions of what it stands on."""
    found = sha256(repr([platform.python_version(), *map(version, ("apache-tvm", "numpy", "sympy", "torch"))]).encode())
    root = Path(__file__).parent.parent
    for folder in (root, root / "passes", root / "runtime"):  # these two are links in a checkout
        for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".c", ".h")):
            found.update(path.read_bytes())
    return found.hexdigest()


@lru_cache
def _machine() -> list[str]:
    lines = Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines()
    first = lines[: lines.index("")] if "" in lines else lines
    return [platform.platform(), *(line for line in first if line.partition(":")[0].strip() in _CPU_LINES)]
