"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def describe_machine() -> dict[str, object]:
    """Processor, cores, load when called, and versions of what was measured."""
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    named = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    flags = set(named.get("flags", named.get("Features", "")).split())
    return {
        "processor": named.get("model name", platform.machine()),
        "vectors": next((name for name in ("avx512f", "avx2", "asimd") if name in flags), "none"),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": version("torch"),
        "tvm": version("apache-tvm"),
    }
