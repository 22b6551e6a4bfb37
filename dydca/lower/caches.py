"""The caches of processors, as far as choosing kernels needs them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

KIB, MIB = 1 << 10, 1 << 20


class Caches(NamedTuple):
    """Bytes of the second-level cache, and of the last-level one divided by the cores that share it."""

    second: int
    last: int


SMALLEST = Caches(256 * KIB, MIB)
"""What a processor that is not known has at least."""

OF_CPU = {
    "x86-64-v3": Caches(256 * KIB, 2 * MIB),
    "x86-64-v4": Caches(MIB, 2 * MIB),
    "cortex-a55": Caches(128 * KIB, 512 * KIB),
    "cortex-a76": Caches(256 * KIB, MIB),
    "cortex-a78": Caches(512 * KIB, MIB),
    "cortex-x2": Caches(MIB, 2 * MIB),
    "neoverse-n1": Caches(MIB, MIB),
}
"""By LLVM's name of the processor: what usual systems with it have."""


def host_caches(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> Caches:
    """This machine's caches, read from sysfs; `SMALLEST` where it does not tell."""
    sizes: dict[int, int] = {}
    for index in folder.glob("index*"):
        try:
            level, kind, size, sharing = (
                (index / name).read_text("ascii").strip() for name in ("level", "type", "size", "shared_cpu_map")
            )
        except OSError:
            continue
        if kind in ("Data", "Unified") and size.endswith("K"):
            cores = int(sharing.replace(",", ""), 16).bit_count()
            sizes[int(level)] = int(size[:-1]) * KIB // (cores if int(level) > 2 else 1)
    second = sizes.get(2, SMALLEST.second)
    return Caches(second, max(sizes.get(3, 0), second)) if sizes else SMALLEST
