"""Runs what was compiled for ARM under qemu: as a static program, and as Android's library with glibc for bionic."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import dydca.runtime
from dydca.checking import Emulated
from dydca.compiled import CompiledNetwork

LOADER = Path(__file__).parent / "load.c"
NATIVE = Path(dydca.runtime.__file__).parent / "native"
SYSROOT = Path("/usr/aarch64-linux-gnu")


HAS_GLIBC = shutil.which("aarch64-linux-gnu-gcc") is not None and SYSROOT.is_dir()
"""Whether Android's library can be run: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross."""


def program(network: CompiledNetwork, folder: Path, cpu: str = "max") -> Emulated:
    """The network's ``dydca-run``, which is linked with musl for Android, too; the folder serves this network alone."""
    _export(network, folder)
    return Emulated(["qemu-aarch64", "-cpu", cpu, str(folder / "net" / "dydca-run")], folder)


def library(network: CompiledNetwork, folder: Path, cpu: str = "max") -> Emulated:
    """The Android library, opened by a program of glibc, whose libraries stand under the names of bionic's."""
    _export(network, folder)
    bionic = folder / "bionic"
    bionic.mkdir(exist_ok=True)
    for name, real in (("libc.so", "libc.so.6"), ("libm.so", "libm.so.6"), ("libdl.so", "libdl.so.2")):
        link = bionic / name
        link.unlink(missing_ok=True)
        link.symlink_to(SYSROOT / "lib" / real)
    emulator = ["qemu-aarch64", "-cpu", cpu, "-L", str(SYSROOT), "-E", f"LD_LIBRARY_PATH={bionic}"]
    return Emulated([*emulator, str(loader()), str(folder / "net" / "libnet.so")], folder)


def _export(network: CompiledNetwork, folder: Path) -> None:
    if not (folder / "net").exists():
        network.export(folder / "net")


@functools.cache
def loader() -> Path:
    """The program that opens libraries, for ARM Linux with glibc."""
    made = tempfile.TemporaryDirectory(prefix="dydca-arm-")
    _kept.append(made)
    path = Path(made.name) / "load"
    subprocess.run(
        ["aarch64-linux-gnu-gcc", "-O1", "-Wall", f"-I{NATIVE}", str(LOADER), "-o", str(path), "-ldl"], check=True
    )
    return path


_kept: list[object] = []
