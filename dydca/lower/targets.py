"""The processors a network is compiled for, as far as kernels and linking need to know them."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass

from dydca.errors import BuildError
from dydca.lower.tvm_api import host_cpu, known_cpu
from dydca.runtime.machine import cpu_features


@dataclass(frozen=True)
class Target:
    """A processor family and its register file.

    Attributes:
        name: What a user asks for.
        triple: LLVM's and the C compiler's name of the platform.
        cpu: LLVM's name of the processor.
        features: LLVM feature switches.
        lanes: Floats of a vector register.
        registers: Vector registers.
        requires: Processor flags, as /proc/cpuinfo names them, without which the library must not be run.
    """

    name: str
    triple: str
    cpu: str
    features: tuple[str, ...]
    lanes: int
    registers: int
    requires: tuple[str, ...] = ()

    @property
    def llvm(self) -> dict[str, object]:
        """The target as TVM wants it."""
        return {"kind": "llvm", "mtriple": self.triple, "mcpu": self.cpu, "mattr": list(self.features)}


_AVX2 = ("avx2", "fma", "bmi1", "bmi2", "f16c")
_AVX512 = (*_AVX2, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")


def _x86(name: str, cpu: str, wide: bool) -> Target:
    # LLVM shuns 512-bit registers on some processors; the kernels' vector types are meant as written.
    features = ("-prefer-256-bit",) if wide else ()
    lanes, registers, requires = (16, 32, _AVX512) if wide else (8, 16, _AVX2)
    return Target(name, "x86_64-linux-gnu", cpu, features, lanes, registers, requires)


def _host() -> Target:
    if platform.machine() == "aarch64":
        return Target("host", "aarch64-linux-gnu", host_cpu(), (), 4, 32)
    flags = cpu_features()
    if flags.issuperset(_AVX512):
        cpu = host_cpu()
        return _x86("host", cpu if known_cpu(cpu, "x86_64-linux-gnu") else "x86-64-v4", wide=True)
    if flags.issuperset(_AVX2):
        return _x86("host", "x86-64-v3", wide=False)
    fix = "compile on a machine with AVX2, or for another target"
    raise BuildError("DYD503", "this processor has neither AVX2 nor NEON", got=platform.machine(), fix=fix)


_TARGETS: dict[str, Callable[[], Target]] = {
    "host": _host,
    "x86-64-v3": lambda: _x86("x86-64-v3", "x86-64-v3", wide=False),
    "x86-64-v4": lambda: _x86("x86-64-v4", "x86-64-v4", wide=True),
}


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        BuildError: DYD503, the name is unknown or this machine cannot be used as `host`.
    """
    if name not in _TARGETS:
        raise BuildError("DYD503", f"the target {name!r} is unknown", got=name, want=", ".join(_TARGETS))
    return _TARGETS[name]()
