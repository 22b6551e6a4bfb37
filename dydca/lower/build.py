"""From kernels and plan to one shared library: TVM's object, the generated C, the runtime, one linker call."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import dydca.runtime
from dydca.errors import BuildError
from dydca.lower.plan import Plan
from dydca.lower.targets import Target
from dydca.lower.tvm_api import compile_object

NATIVE = Path(dydca.runtime.__file__).parent / "native"

_FLAGS = ("-O2", "-fPIC", "-fvisibility=hidden", f"-I{NATIVE}")

_WEIGHTS = """\
__asm__(
    ".section .rodata\\n.balign 64\\n.hidden dydca_weights\\n.global dydca_weights\\n"
    "dydca_weights:\\n.incbin \\"weights.bin\\"\\n.byte 0\\n.previous\\n");
"""


def build_library(plan: Plan, target: Target) -> bytes:
    """Compiles and links a plan.

    Raises:
        BuildError: DYD501 the C compiler failed, DYD502 there is none.
    """
    compiler = find_compiler()
    functions = {name: kernel.emit() for name, kernel in plan.kernels.items()}
    with tempfile.TemporaryDirectory(prefix="dydca-") as name:
        folder = Path(name)
        (folder / "kernels.o").write_bytes(compile_object(functions, target.llvm))
        (folder / "plan.c").write_text(plan.text)
        (folder / "weights.bin").write_bytes(plan.weights)
        (folder / "weights.c").write_text(_WEIGHTS)
        (folder / "runtime.o").write_bytes(_runtime_object(compiler))
        linking = ["-shared", "-s", "-Wl,-z,noexecstack,-z,now,-Bsymbolic"]
        inputs = ["plan.c", "weights.c", "runtime.o", "kernels.o", "-lpthread", "-lm"]
        _run([compiler, *_FLAGS, *linking, "-o", "net.so", *inputs], folder)
        return (folder / "net.so").read_bytes()


@lru_cache
def _runtime_object(compiler: str) -> bytes:
    """The runtime's sources as one object; the same for every network, so compiled once a process."""
    with tempfile.TemporaryDirectory(prefix="dydca-") as name:
        sources = [str(path) for path in sorted(NATIVE.glob("*.c"))]
        _run([compiler, *_FLAGS, "-r", "-nostdlib", "-o", "runtime.o", *sources], Path(name))
        return (Path(name) / "runtime.o").read_bytes()


def find_compiler() -> str:
    """The C compiler: $CC, else cc, gcc or clang."""
    candidates = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    found = next(filter(None, map(shutil.which, candidates)), None)
    if found is None:
        raise BuildError("DYD502", "no C compiler", got=" ".join(candidates))
    return found


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(
            "DYD501", "the C compiler failed", where=" ".join(command[:1]), got=done.stderr.strip()[-2000:]
        )
