"""Builds the runtime around the hand-written network `fixture.c`, as a library or as an executable with a driver."""

from __future__ import annotations

import functools
import json
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import dydca.runtime
from dydca.runtime import Network
from dydca.runtime.artifact import library_name

HERE = Path(__file__).parent
NATIVE = Path(dydca.runtime.__file__).parent / "native"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-fPIC", "-fvisibility=hidden", f"-I{NATIVE}")
TRIPLE = f"{platform.machine()}-linux-gnu"
BYTES = ("-DFIXTURE_ELEMENT=unsigned char", "-DFIXTURE_TYPE=DYDCA_UINT8")
"""Flags of the fixture over uint8."""

SHAPES = ((1, 3, 4, 8), (1, 3, 32, 64), (1, 3, 5, 7))

Array = npt.NDArray[np.float32]


@functools.cache
def folder() -> Path:
    """A folder for this test process, gone with it."""
    made = tempfile.TemporaryDirectory(prefix="dydca-tests-")
    _kept.append(made)
    return Path(made.name)


_kept: list[object] = []


def gcc(*arguments: str | Path) -> None:
    """Run the C compiler; the test fails with its message, or is skipped where there is none."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    result = subprocess.run(["gcc", *map(str, arguments)], capture_output=True, text=True, check=False)
    if "cannot find" in result.stderr and "san" in result.stderr:
        pytest.skip("this gcc has no sanitizer library")
    assert result.returncode == 0, result.stderr


@functools.cache
def runtime_objects(*flags: str) -> tuple[Path, ...]:
    """The runtime's own files, compiled as strictly as promised."""
    out = folder() / f"runtime{len(list(folder().iterdir()))}"
    out.mkdir()
    for source in sorted(NATIVE.glob("*.c")):
        gcc(*STRICT, "-O2", *flags, "-c", source, "-o", out / f"{source.stem}.o")
    return tuple(out.glob("*.o"))


@functools.cache
def library(*flags: str) -> Path:
    """The fixture as a shared library; `flags` are its macros."""
    path = folder() / f"fixture{len(list(folder().iterdir()))}.so"
    said = f"-DFIXTURE_MANIFEST={json.dumps(json.dumps(own_manifest(*flags)))}"
    gcc(*STRICT, "-O2", *flags, said, "-shared", HERE / "fixture.c", *runtime_objects(), "-o", path, "-lpthread")
    return path


@functools.cache
def driver(*flags: str) -> Path:
    """The driver as an executable, everything in it compiled with `flags`."""
    path = folder() / f"driver{len(list(folder().iterdir()))}"
    fixture = path.with_suffix(".o")
    gcc(*STRICT, "-O2", *flags, "-c", HERE / "fixture.c", "-o", fixture)
    wraps = ("-Wl,--wrap=pthread_create", "-Wl,--wrap=posix_memalign")
    objects = runtime_objects(*flags)
    gcc("-O2", "-g", *flags, *wraps, f"-I{NATIVE}", HERE / "driver.c", fixture, *objects, "-o", path, "-lpthread")
    return path


def manifest(*flags: str) -> dict[str, object]:
    """The compiler's description of the fixture."""
    count = 2 if "-DFIXTURE_TWO" in flags else 1
    tensors = [
        {"name": f"t{number}", "type": "uint8" if set(BYTES) & set(flags) else "float32"} for number in range(count)
    ]
    patches: list[dict[str, object]] = [
        {"route": "all", "inputs": [list(shape)] * count, "outputs": [list(shape)] * count} for shape in SHAPES
    ]
    if "-DFIXTURE_VARIES" in flags:
        patches = [
            patch | {"results": [[list(shape)], [[shape[-1]]]]} for patch, shape in zip(patches, SHAPES, strict=True)
        ]
    return {"targets": {TRIPLE: {}}, "inputs": tensors, "outputs": tensors, "patches": patches}


def own_manifest(*flags: str) -> dict[str, object]:
    """The same as it stands in the library."""
    described = manifest(*flags) | {"target": {}}
    del described["targets"]
    return described


def members(*flags: str) -> dict[str, bytes]:
    """The content of the fixture's artifact."""
    report = {"report.json": b'{"kernels": 2}', "report.txt": b"the report"}
    return {library_name(TRIPLE): library(*flags).read_bytes(), **report}


def network(*flags: str, threads: int = 2) -> Network:
    """The fixture as a network: y = 2x + 1; with ``-DFIXTURE_TWO`` also the difference of two inputs."""
    return Network(manifest(*flags), members(*flags), threads)


def patch(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Whole numbers, so that results are exact."""
    return np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.float32)
