"""The generated C with the runtime: clean under every sanitizer, and without an allocation after create."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dydca
from dydca.models import DynamicWDSR
from tests.lower.test_edges import ScaledExits
from tests.runtime.native import NATIVE, gcc
from tests.runtime.test_driver import ADDRESS, THREAD

NETWORKS: dict[str, tuple[nn.Module, list[tuple[int, ...]]]] = {
    "by size": (DynamicWDSR(scale=2).eval(), [(1, 3, 71, 10), (1, 3, 9, 14)]),
    "by value": (ScaledExits().eval(), [(1, 3, 12, 10), (1, 3, 7, 9)]),
}


@pytest.fixture(scope="module", params=NETWORKS)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[tuple[int, ...]]]:
    torch.manual_seed(1)
    model, patches = NETWORKS[request.param]
    folder = tmp_path_factory.mktemp("generated") / "out"
    with dydca.compile(model, patches) as network:
        network.export(folder)
    return folder, patches


@pytest.mark.parametrize("flags", [ADDRESS, THREAD], ids=["address", "thread"])
def test_sanitizers_find_nothing(
    exported: tuple[Path, list[tuple[int, ...]]],
    flags: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, patches = exported
    monkeypatch.chdir(folder / "src")  # where the assembler finds the weights
    sources: list[str | Path] = [
        "dydca_run.c",
        "plan.c",
        "weights.c",
        "kernels.o",
        *(folder / "src" / "runtime").glob("*.c"),
    ]
    gcc("-O1", *flags, "-Iruntime", *sources, "-o", tmp_path / "run", "-lpthread", "-lm")
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    for patch in patches:
        for number, mean in enumerate((-1.0, 0.1, 1.0)):
            x = np.random.default_rng(number).standard_normal(patch, np.float32) * np.float32(0.1) + np.float32(mean)
            x.tofile(tmp_path / "x.raw")
            for program, output in ((tmp_path / "run", "y.raw"), (folder / "dydca-run", "z.raw")):
                words = ["-t", str(number + 1), "-n", "3", str(tmp_path / "x.raw"), "-o", str(tmp_path / output)]
                done = subprocess.run([program, *words], capture_output=True, text=True, check=False, env=environment)
                assert (done.returncode, done.stderr) == (0, "")
            assert (tmp_path / "y.raw").read_bytes() == (tmp_path / "z.raw").read_bytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_nothing_is_allocated_after_create(
    exported: tuple[Path, list[tuple[int, ...]]], threads: int, tmp_path: Path
) -> None:
    folder, patches = exported
    gcc("-O1", f"-I{NATIVE}", Path(__file__).parent / "allocations.c", "-o", tmp_path / "count", "-ldl", "-lpthread")
    for patch in patches:
        words = [str(folder / "libnet.so"), str(threads), "50", "x".join(map(str, patch)), "1"]
        done = subprocess.run([tmp_path / "count", *words], capture_output=True, text=True, check=True)
        created, ran = map(int, done.stdout.split())
        assert created >= 1
        assert ran == 0
