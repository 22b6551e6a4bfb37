"""From kernels and plan to native files: TVM's object, the generated C, the runtime, one linker call, one check."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import dydca.runtime
from dydca.lower.linking.elf import EXPORTS, check_library
from dydca.lower.linking.stand_ins import make_stand_ins
from dydca.lower.linking.toolchain import Toolchain, find_toolchain
from dydca.lower.plan import Plan
from dydca.lower.targets import Target
from dydca.lower.tvm_api import compile_object

NATIVE = Path(dydca.runtime.__file__).parent / "native"
PROGRAM = Path(dydca.runtime.__file__).parent / "program" / "dydca_run.c"

WEIGHTS = """\
/* The network's constants, each stored once; plan.c names them by their offset. */
__asm__(
    ".section .rodata\\n.balign 64\\n.hidden dydca_weights\\n.global dydca_weights\\n"
    "dydca_weights:\\n.incbin \\"weights.bin\\"\\n.byte 0\\n.previous\\n");
"""

EXPORT_MAP = f"{{ global: {' '.join(f'{symbol};' for symbol in sorted(EXPORTS))} local: *; }};\n"
"""The linker's version script."""

ANDROID_PAGE = 16384
"""Android 15 refuses libraries whose segments are aligned to less."""

SMALLEST_PAGE = 4096


@dataclass(frozen=True)
class Parts:
    """What a network's library is linked from.

    Attributes:
        plan: The generated C, its weights and kernels.
        target: What it is for.
        kernels: The object file of the kernels.
    """

    plan: Plan
    target: Target
    kernels: bytes


def compile_kernels(plan: Plan, target: Target) -> Parts:
    """Compiles the kernels of a plan."""
    functions = {name: kernel.emit() for name, kernel in plan.kernels.items()}
    return Parts(plan, target, compile_object(functions, target.llvm))


def link_library(parts: Parts, name: str = "libnet.so") -> bytes:
    """The network as a shared library of this name.

    Raises:
        BuildError: DYD501 a tool failed, DYD502 or DYD504 there is none, DYD506 it made something else.
    """
    toolchain = find_toolchain(parts.target)
    page = ANDROID_PAGE if parts.target.triple.endswith("android") else 0
    with tempfile.TemporaryDirectory(prefix="dydca-") as temporary:
        folder = Path(temporary)
        objects = _compile(parts, toolchain, folder)
        exports = folder / "exports.map"
        exports.write_text(EXPORT_MAP)
        stand_ins = _write(folder, make_stand_ins(toolchain))
        toolchain.link(objects, stand_ins, exports, folder / name, page)
        library = (folder / name).read_bytes()
    check_library(library, parts.target.triple, name, page or SMALLEST_PAGE)
    return library


def link_program(parts: Parts, source: Path = PROGRAM) -> bytes:
    """The network with a ``main``, as an executable that needs no other file where the tool chain can make one.

    Raises:
        BuildError: DYD501 a tool failed, DYD502 or DYD504 there is none.
    """
    toolchain = find_toolchain(parts.target)
    with tempfile.TemporaryDirectory(prefix="dydca-") as temporary:
        folder = Path(temporary)
        objects = _compile(parts, toolchain, folder)
        toolchain.link_program([source], objects, folder / "program", f"-I{NATIVE}")
        return (folder / "program").read_bytes()


def _compile(parts: Parts, toolchain: Toolchain, folder: Path) -> list[Path]:
    """All object files of a network, in a folder."""
    (folder / "plan.c").write_text(parts.plan.text)
    (folder / "weights.c").write_text(WEIGHTS)
    (folder / "weights.bin").write_bytes(parts.plan.weights)
    own = toolchain.compile([folder / "plan.c", folder / "weights.c"], folder, f"-I{NATIVE}")
    return own + _write(folder, {"kernels.o": parts.kernels, **_runtime_objects(toolchain)})


@lru_cache
def _runtime_objects(toolchain: Toolchain) -> dict[str, bytes]:
    """The runtime's own sources, compiled; the same for every network, so compiled once a process."""
    with tempfile.TemporaryDirectory(prefix="dydca-") as name:
        objects = toolchain.compile(sorted(NATIVE.glob("*.c")), Path(name))
        return {path.name: path.read_bytes() for path in objects}


def _write(folder: Path, files: dict[str, bytes]) -> list[Path]:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]
