"""Who compiles C and links for a target: the first tool chain found that can."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dydca.errors import BuildError
from dydca.lower.targets import Target

COMPILE = ("-O2", "-fPIC", "-fvisibility=hidden")

_SAFE = ("-z", "relro", "-z", "now", "-z", "noexecstack", "--no-undefined", "--as-needed", "-Bsymbolic")
_LINK = (*_SAFE, "--hash-style=both", "--build-id=sha1", "-s")
_ANDROID_API = "24"
"""Android 7; older phones with 64-bit processors are gone."""


@dataclass(frozen=True)
class Toolchain:
    """The commands of a target.

    Attributes:
        name: For reports.
        compiler: A C compiler with its options for the platform.
        program: A C compiler that links programs.
        linker: A bare linker for libraries, where the compiler has no C library of the platform to link with.
        static: Whether programs contain their C library.
    """

    name: str
    compiler: tuple[str, ...]
    program: tuple[str, ...]
    linker: tuple[str, ...] | None = None
    static: bool = False

    def compile(self, sources: Sequence[Path], folder: Path, *options: str) -> list[Path]:
        """One object file in `folder` for each source, named after it.

        Raises:
            BuildError: DYD501, the compiler refuses.
        """
        objects = [folder / f"{source.stem}.o" for source in sources]
        for source, made in zip(sources, objects, strict=True):
            run([*self.compiler, *COMPILE, *options, "-c", str(source), "-o", str(made)], folder)
        return objects

    def link(self, objects: Sequence[Path], stand_ins: Sequence[Path], exports: Path, library: Path, page: int) -> None:
        """A shared library that exports what the version script `exports` names.

        Raises:
            BuildError: DYD501, the linker refuses.
        """
        options = [*_LINK, f"--version-script={exports}", "-soname", library.name]
        options += ["-z", f"max-page-size={page}"] if page else []
        inputs = [*map(str, objects), *map(str, stand_ins)]
        if self.linker:
            run([*self.linker, "-shared", *options, "-o", str(library), *inputs], library.parent)
        else:
            passed = [word for option in options for word in ("-Xlinker", option)]
            run([*self.compiler, "-shared", *passed, "-o", str(library), *inputs, "-lpthread", "-lm"], library.parent)

    def link_program(self, sources: Sequence[Path], objects: Sequence[Path], program: Path, *options: str) -> None:
        """An executable.

        Raises:
            BuildError: DYD501, the linker refuses.
        """
        how = ("-static",) if self.static else ()
        inputs = [*map(str, sources), *map(str, objects)]
        run(
            [*self.program, "-O2", *how, "-s", *options, "-o", str(program), *inputs, "-lpthread", "-lm"],
            program.parent,
        )


def find_toolchain(target: Target) -> Toolchain:
    """The tool chain of a target: the machine's own, the NDK, a cross compiler, or ziglang.

    Raises:
        BuildError: DYD502, no compiler for this machine; DYD504, none for the target; DYD505, the NDK that the
            environment names has no compiler.
    """
    arch, _, libc = target.triple.split("-")
    if libc == "android":
        return _android(arch)
    if libc == "gnu" and arch == platform.machine():
        compiler = find_compiler()
        return Toolchain(Path(compiler).name, (compiler,), (compiler,))
    if libc == "gnu" and (cross := shutil.which(f"{target.triple}-gcc")):
        return Toolchain(Path(cross).name, (cross,), (cross,), static=True)
    if libc == "musl":
        driver = _zig("cc", target.triple)
        return Toolchain("zig", driver, driver, _zig("ld.lld"), static=True)
    compiler_of = _zig("cc", f"{target.triple}.2.28")  # the C library of Debian 10, and of all that is younger
    return Toolchain("zig", compiler_of, _zig("cc", f"{arch}-linux-musl"), static=True)


def _android(arch: str) -> Toolchain:
    if named := os.environ.get("TVM_NDK_CC"):
        if not shutil.which(named):
            raise BuildError("DYD505", "TVM_NDK_CC names no compiler", got=named)
        return Toolchain("NDK", (named,), (named,))
    for variable in ("ANDROID_NDK_HOME", "ANDROID_NDK_ROOT"):
        if root := os.environ.get(variable):
            compiler = f"toolchains/llvm/prebuilt/*/bin/{arch}-linux-android{_ANDROID_API}-clang"
            found = sorted(Path(root).glob(compiler))
            if not found:
                raise BuildError("DYD505", f"{variable} names no NDK with a compiler", got=root, want=compiler)
            return Toolchain("NDK", (str(found[0]),), (str(found[0]),))
    # For Android itself zig calls atomics from a library that is not there; register x18 belongs to the system.
    compiler_of = (*_zig("cc", f"{arch}-linux-musl"), "-ffixed-x18")
    return Toolchain("zig", compiler_of, _zig("cc", f"{arch}-linux-musl"), _zig("ld.lld"), static=True)


def _zig(tool: str, triple: str = "") -> tuple[str, ...]:
    if find_spec("ziglang") is None:
        raise missing(f"a linker for {triple}" if triple else "a linker")
    return (sys.executable, "-m", "ziglang", tool, *(("-target", triple) if triple else ()))


def missing(what: str) -> BuildError:
    """The refusal where no tool chain can do something."""
    fix = "pip install 'dydca[android]', which brings ziglang, or set ANDROID_NDK_HOME to an NDK"
    return BuildError("DYD504", f"nothing here makes {what}", fix=fix)


def find_compiler() -> str:
    """The C compiler of this machine: $CC, else cc, gcc or clang."""
    candidates = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    found = next(filter(None, map(shutil.which, candidates)), None)
    if found is None:
        raise BuildError("DYD502", "no C compiler", got=" ".join(candidates))
    return found


def run(command: Sequence[str], folder: Path) -> None:
    """Runs a tool in a folder.

    Raises:
        BuildError: DYD501, it fails.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        where = " ".join(word for word in command[:5] if "/" not in word or word == command[0])
        raise BuildError("DYD501", "the native tool chain failed", where=where, got=done.stderr.strip()[-2000:])
