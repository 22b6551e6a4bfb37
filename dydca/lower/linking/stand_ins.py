"""Stand-ins for the C library of platforms that are not here: its names and nothing behind them.

A linker wants to see every function that a library leaves undefined in some other one. zig has nothing of Android's
C library, so libraries of the same names are made that define what compiled networks may call; on the device the
real ones take their place. musl's loader takes the same names for itself.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from dydca.lower.linking.toolchain import Toolchain, run

_THREADS = ("create", "join", "self", "mutex_init", "mutex_destroy", "mutex_lock", "mutex_unlock")
_CONDITIONS = ("cond_init", "cond_destroy", "cond_wait", "cond_broadcast")
_LIBC = (
    "posix_memalign",
    "free",
    "memcpy",
    "memmove",
    "memset",
    *(f"pthread_{name}" for name in _THREADS + _CONDITIONS),
)
_TRIGONOMETRY = ("acos", "asin", "atan", "atan2", "cos", "cosh", "sin", "sincos", "sinh", "tan", "tanh")
_POWERS = (
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "hypot",
    "ldexp",
    "log",
    "log10",
    "log1p",
    "log2",
    "pow",
    "sqrt",
    "cbrt",
)
_ROUNDING = ("ceil", "floor", "fma", "fmax", "fmin", "fmod", "nearbyint", "remainder", "rint", "round", "trunc")
_LIBM = tuple(f"{name}{kind}" for name in _TRIGONOMETRY + _POWERS + _ROUNDING for kind in ("", "f"))

_LIBRARIES = {"libc.so": _LIBC, "libm.so": _LIBM}


@lru_cache
def make_stand_ins(toolchain: Toolchain) -> dict[str, bytes]:
    """The libraries by name; empty where the tool chain has the real ones.

    Raises:
        BuildError: DYD501, the tool chain fails.
    """
    if toolchain.linker is None:
        return {}
    made = {}
    with TemporaryDirectory(prefix="dydca-") as name:
        folder = Path(name)
        for library, functions in _LIBRARIES.items():
            source = folder / "names.c"
            source.write_text("".join(f"void {function}(void) {{}}\n" for function in functions))
            (compiled,) = toolchain.compile([source], folder, "-w", "-fno-builtin", "-fvisibility=default")
            command = [*toolchain.linker, "-shared", "-soname", library, "-o", library, str(compiled)]
            run(command, folder)
            made[library] = (folder / library).read_bytes()
    return made
