"""A folder with all that another build needs: the library, its header, a program, and the sources of both."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from dydca.errors import FileError, RunError
from dydca.lower.build import EXPORT_MAP, NATIVE, PROGRAM, WEIGHTS, Parts, link_library, link_program
from dydca.lower.calls import Calls

LISTING = "export.json"
"""Names every file of an export, so that the next one may replace these and nothing else."""

_CMAKE = """\
# Links lib{name}.so anew, e.g. with the NDK: cmake -DCMAKE_TOOLCHAIN_FILE=$NDK/build/cmake/android.toolchain.cmake \\
#   -DANDROID_ABI=arm64-v8a -DANDROID_PLATFORM=android-24 -B build && cmake --build build
cmake_minimum_required(VERSION 3.13)
project({name} C)
file(GLOB runtime ${{CMAKE_CURRENT_SOURCE_DIR}}/runtime/*.c)
add_library({name} SHARED plan.c weights.c ${{runtime}} kernels.o)
set_source_files_properties(weights.c PROPERTIES OBJECT_DEPENDS ${{CMAKE_CURRENT_SOURCE_DIR}}/weights.bin)
target_include_directories({name} PRIVATE runtime)
target_compile_options({name} PRIVATE -O2 -fvisibility=hidden -Wa,-I${{CMAKE_CURRENT_SOURCE_DIR}})
target_link_options({name} PRIVATE -Wl,--version-script=${{CMAKE_CURRENT_SOURCE_DIR}}/exports.map -Wl,--no-undefined
  -Wl,-z,max-page-size=16384)
target_link_libraries({name} PRIVATE m)
"""


def export(
    folder: Path, name: str, parts: Parts, calls: Sequence[Calls], manifest: Mapping[str, object], report: str
) -> None:
    """Writes the folder whole or not at all.

    Args:
        folder: New, empty, or an earlier export, which is replaced.
        name: Of the library, an identifier of C.
        parts: What the library is linked from.
        calls: What each patch runs.
        manifest: The network's description.
        report: The compiler's report.

    Raises:
        BuildError: DYD501 a tool failed, DYD502 or DYD504 there is none, DYD506 it made something else.
        FileError: DYD705 the folder cannot be written, DYD608 it holds something else.
        RunError: DYD609, `name` is no identifier.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise RunError("DYD609", "the name is no identifier of C", got=name, want="letters, digits and _, e.g. net")
    _refuse_foreign(folder)
    library, program = link_library(parts, f"lib{name}.so"), link_program(parts)
    files = {
        f"lib{name}.so": library,
        f"{name}.h": _header(name, calls, manifest).encode(),
        "dydca.h": (NATIVE / "dydca.h").read_bytes(),
        "dydca-run": program,
        f"{name}.json": json.dumps(manifest, indent=1).encode(),
        "report.txt": report.encode(),
        **{f"src/{path}": content for path, content in _sources(name, parts).items()},
    }
    files[LISTING] = json.dumps(sorted([*files, LISTING]), indent=1).encode()
    try:
        _write(folder, files)
    except OSError as error:
        raise FileError("DYD705", "the export cannot be written", where=str(folder), got=error) from error


def _refuse_foreign(folder: Path) -> None:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    try:
        own = set(json.loads((folder / LISTING).read_bytes())) if found else set()
    except (OSError, ValueError, TypeError):
        own = set()
    if foreign := sorted(found - own):
        got = ", ".join(foreign[:5])
        raise FileError("DYD608", "the folder holds files that are no export", where=str(folder), got=got)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Beside the folder first, then in its place by two renames."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        made, old = Path(temporary) / "new", Path(temporary) / "old"
        for name, content in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (made / "dydca-run").chmod(0o755)
        if folder.exists():
            folder.rename(old)
        try:
            made.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise


def _sources(name: str, parts: Parts) -> dict[str, bytes]:
    runtime = {f"runtime/{path.name}": path.read_bytes() for path in (*NATIVE.glob("*.c"), *NATIVE.glob("*.h"))}
    return {
        "plan.c": parts.plan.text.encode(),
        "weights.c": WEIGHTS.encode(),
        "weights.bin": parts.plan.weights,
        "kernels.o": parts.kernels,
        "exports.map": EXPORT_MAP.encode(),
        PROGRAM.name: PROGRAM.read_bytes(),
        "CMakeLists.txt": _CMAKE.format(name=name).encode(),
        **runtime,
    }


def _header(name: str, calls: Sequence[Calls], manifest: Mapping[str, object]) -> str:
    prefix, target = name.upper(), manifest["target"]
    assert isinstance(target, dict)
    tensors = {side: _names(manifest[side]) for side in ("inputs", "outputs")}
    lines = [
        f"/* {name}.h: what was compiled into lib{name}.so. Written by dydca. */",
        f"#ifndef DYDCA_NETWORK_{prefix}_H",
        f"#define DYDCA_NETWORK_{prefix}_H",
        "",
        '#include "dydca.h"',
        "",
        f'#define {prefix}_TRIPLE "{target["triple"]}"',
        f'#define {prefix}_CPU "{target["cpu"]}"',
    ]
    for key, meaning in (("scale", "outputs are as many times as high and wide"), ("threads", "for dydca_create")):
        if manifest.get(key) is not None:
            lines.append(f"#define {prefix}_{key.upper()} {manifest[key]} /* {meaning} */")
    for side, names in tensors.items():
        lines += ["", f"enum {{ /* {side} by name */"]
        lines += [f"  {prefix}_{side[:-1].upper()}_{each} = {number}," for number, each in enumerate(names)]
        lines += [f"  {prefix}_{side.upper()} = {len(names)}", "};"]
    lines += [
        "",
        "/* Initialisers of a dydca_tensor for every declared patch, of the largest output; set data yourself. */",
    ]
    for number, each in enumerate(calls):
        lines.append(f"/* {each.name} */")
        for side, described in (("INPUT", each.inputs), ("OUTPUT", each.largest)):
            for tensor_name, tensor in zip(tensors[f"{side.lower()}s"], described, strict=True):
                lines.append(f"#define {prefix}_PATCH{number}_{side}_{tensor_name} {tensor.initialiser}")
            if len(described) == 1:
                lines.append(f"#define {prefix}_PATCH{number}_{side} {described[0].initialiser}")
    return "\n".join([*lines, f"#define {prefix}_PATCHES {len(calls)}", "", "#endif", ""])


def _names(tensors: object) -> list[str]:
    """Names as parts of C's constants, told apart by number where they would fall together."""
    assert isinstance(tensors, list)
    names = [re.sub(r"\W", "_", tensor["name"], flags=re.ASCII).upper() for tensor in tensors]
    return [f"{name}_{number}" if names.count(name) > 1 else name for number, name in enumerate(names)]
