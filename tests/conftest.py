"""What every test shares: one thread for torch, repeatable randomness, and skips for what the machine lacks."""

from __future__ import annotations

import os
import random
import shutil
import sys
import zlib

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the test processes share few processors
os.environ["DYDCA_CACHE"] = ""  # what is tested is the compiler

import pytest
from hypothesis import settings

pytest_plugins = ["dydca.testing.golden"]

# The same examples every time, so that a red run is about the change; `--hypothesis-profile fresh` draws new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.register_profile("fresh", deadline=None)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `qemu` where there is none."""
    if shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static"):
        return
    for item in items:
        if item.get_closest_marker("qemu"):
            item.add_marker(pytest.mark.skip(reason="no qemu-aarch64 on this machine"))


@pytest.fixture(autouse=True)
def _seed(request: pytest.FixtureRequest) -> None:
    """Seed the global generators from the test's own name, so that a test draws the same numbers in any order."""
    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
