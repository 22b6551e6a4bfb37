"""The processors a network is compiled for, as far as kernels and linking need to know them."""

from __future__ import annotations

import difflib
import platform
from dataclasses import dataclass

from dydca.errors import BuildError
from dydca.lower.caches import OF_CPU, SMALLEST, Caches, host_caches
from dydca.lower.tvm_api import cpu_features as llvm_features
from dydca.lower.tvm_api import cpu_names, host_cpu, is_cpu
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
        caches: Those of a core.
    """

    name: str
    triple: str
    cpu: str
    features: tuple[str, ...]
    lanes: int
    registers: int
    requires: tuple[str, ...] = ()
    caches: Caches = SMALLEST

    @property
    def llvm(self) -> dict[str, object]:
        """The target as TVM wants it."""
        return {"kind": "llvm", "mtriple": self.triple, "mcpu": self.cpu, "mattr": list(self.features)}


class _Family:
    """Processors of one instruction set and register file."""

    def __init__(self, triple: str, cpu: str, switches: tuple[str, ...], lanes: int, registers: int) -> None:
        self.triple, self.cpu, self.switches, self.lanes, self.registers = triple, cpu, switches, lanes, registers

    def target(self, name: str, cpu: str | None) -> Target:
        """For a processor; None for the least that the family has."""
        cpu = cpu or self.cpu
        if not is_cpu(cpu, self.triple):  # LLVM itself would only log an error and build for the least
            names = cpu_names(self.triple)
            near = difflib.get_close_matches(cpu, names, 5, 0.5) or names
            raise BuildError("DYD503", f"the processor {cpu!r} is unknown", got=cpu, want=", ".join(near))
        has, needs = (self._flags(each) for each in (cpu, self.cpu))
        if not needs <= has:
            want = f"one with {', '.join(sorted(needs - has))}, or another target"
            raise BuildError("DYD503", f"{cpu!r} is no processor of the target {name!r}", got=cpu, want=want)
        caches = host_caches() if name == "host" else OF_CPU.get(cpu, SMALLEST)
        return Target(name, self.triple, cpu, self.switches, self.lanes, self.registers, tuple(sorted(has)), caches)

    def _flags(self, cpu: str) -> set[str]:
        has = llvm_features(self.triple, cpu, self.switches)
        return {flag for feature, flag in _FLAGS.items() if feature in has}


_SAME = "avx avx2 fma fma4 f16c bmi2 movbe gfni vaes vpclmulqdq xop sse4a avx512f avx512bw avx512cd avx512dq avx512vl"
_OTHER = "bmi:bmi1 lzcnt:abm avxvnni:avx_vnni neon:asimd lse:atomics rdm:asimdrdm dotprod:asimddp fullfp16:asimdhp"
_FLAGS = {
    **{flag: flag for flag in (*_SAME.split(), "avx512ifma", "avx512vbmi", "i8mm", "bf16")},
    **{f"avx512{part}": f"avx512_{part}" for part in ("vnni", "bf16", "vbmi2", "bitalg", "vpopcntdq", "fp16")},
    **dict(pair.split(":") for pair in (*_OTHER.split(), "fp16fml:asimdfhm", "jsconv:jscvt", "complxnum:fcma")),
}
"""What /proc/cpuinfo calls LLVM's features, of those that decide which instructions computing code is made of."""

# LLVM shuns 512-bit registers on some processors; the kernels' vector types are meant as written.
_WIDE = ("-prefer-256-bit",)
# The kernels are written for vectors of one known length, and phones whose cores have SVE may not offer it.
_FIXED = ("-sve",)

_FAMILIES = {
    "x86-64-v3": _Family("x86_64-linux-gnu", "x86-64-v3", (), 8, 16),
    "x86-64-v4": _Family("x86_64-linux-gnu", "x86-64-v4", _WIDE, 16, 32),
    "linux-aarch64": _Family("aarch64-linux-gnu", "generic", _FIXED, 4, 32),
    "linux-aarch64-musl": _Family("aarch64-linux-musl", "generic", _FIXED, 4, 32),
    "android-aarch64": _Family("aarch64-linux-android", "generic", _FIXED, 4, 32),
}


def find_target(name: str, cpu: str | None = None) -> Target:
    """The target of that name.

    Args:
        name: ``host`` for this machine, or one of the families.
        cpu: LLVM's name of a processor, e.g. ``cortex-a78``; by default the least of the family, and this machine's
            own for ``host``.

    Raises:
        BuildError: DYD503, the name or the processor is unknown, or this machine cannot be used as `host`.
    """
    if name == "host":
        family, own = _host()
        return family.target(name, cpu or own)
    if name not in _FAMILIES:
        raise BuildError("DYD503", f"the target {name!r} is unknown", got=name, want=", ".join(["host", *_FAMILIES]))
    return _FAMILIES[name].target(name, cpu)


def _host() -> tuple[_Family, str]:
    """This machine's family, and its processor as far as LLVM knows it and the system offers all that it has."""
    flags = cpu_features()
    for name in ("x86-64-v4", "x86-64-v3", "linux-aarch64"):
        family = _FAMILIES[name]
        if family.triple.startswith(platform.machine()) and family._flags(family.cpu) <= flags:
            cpu = host_cpu()
            is_whole = is_cpu(cpu, family.triple) and family._flags(cpu) <= flags
            return family, cpu if is_whole else family.cpu
    fix = "compile on a machine with AVX2, or for another target"
    raise BuildError("DYD503", "this processor has neither AVX2 nor NEON", got=platform.machine(), fix=fix)
