"""Reads a library back after linking and refuses one that is not as promised."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from dydca.errors import BuildError

EXPORTS = frozenset(
    {"dydca_abi_version", "dydca_manifest", "dydca_input_count", "dydca_output_count", "dydca_create"}
    | {"dydca_destroy", "dydca_output_shapes", "dydca_run", "dydca_run_many", "dydca_last_error"}
)
"""The functions of ``dydca.h``; a library exports these and nothing else."""

_NEEDED = frozenset({"libc", "libm", "libdl", "libpthread"})
_MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}


def check_library(content: bytes, triple: str, soname: str, page: int) -> None:
    """Checks machine, name, pages, protection, what is exported and what is asked of other libraries.

    Args:
        content: The library.
        triple: Its platform.
        soname: The name it must have.
        page: Least alignment of its segments, in bytes.

    Raises:
        BuildError: DYD506, with all that is wrong.
    """
    try:
        wrong = list(_faults(ELFFile(io.BytesIO(content)), triple, soname, page))
    except ELFError as error:
        wrong = [f"no ELF file: {error}"]
    if wrong:
        raise BuildError("DYD506", "the linked library is not as promised", where=soname, got="; ".join(wrong))


def _faults(elf: ELFFile, triple: str, soname: str, page: int) -> Iterator[str]:
    arch, _, libc = triple.split("-")
    if (elf.elfclass, elf["e_machine"], elf["e_type"]) != (64, _MACHINES[arch], "ET_DYN"):
        yield f"{elf['e_type']} of {elf['e_machine']}, {elf.elfclass} bits"
    segments: dict[str, Any] = {}
    for segment in elf.iter_segments():
        segments.setdefault(segment["p_type"], segment)
        if segment["p_type"] == "PT_LOAD" and segment["p_align"] < page:
            yield f"segments aligned to {segment['p_align']} bytes, wanted {page}"
    if "PT_GNU_RELRO" not in segments:
        yield "tables of addresses stay writable"
    if "PT_GNU_STACK" not in segments or segments["PT_GNU_STACK"]["p_flags"] & 1:
        yield "an executable stack"
    if not any(note["n_type"] == "NT_GNU_BUILD_ID" for note in _section(elf, ".note.gnu.build-id").iter_notes()):
        yield "no build id"
    yield from _dynamic_faults(elf, soname, libc)


def _dynamic_faults(elf: ELFFile, soname: str, libc: str) -> Iterator[str]:
    tags = list(_section(elf, ".dynamic").iter_tags())
    names = {tag.entry.d_tag for tag in tags}
    if "DT_TEXTREL" in names:
        yield "code that is written to"
    if not {"DT_HASH", "DT_GNU_HASH"} <= names:
        yield "not both kinds of hash tables"
    if soname not in [tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"]:
        yield "another soname"
    needed = {tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"}
    foreign = {name for name in needed if name.partition(".so")[0] not in _NEEDED and not name.startswith("ld-linux")}
    if libc == "android":
        foreign |= {name for name in needed if not name.endswith(".so")}
    if foreign:
        yield f"needs {', '.join(sorted(foreign))}"
    symbols = list(_section(elf, ".dynsym").iter_symbols())
    exported = {symbol.name for symbol in symbols if symbol["st_shndx"] != "SHN_UNDEF" and symbol.name}
    if exported != EXPORTS:
        yield f"exports {', '.join(sorted(exported ^ EXPORTS))} differently from the interface"


def _section(elf: ELFFile, name: str) -> Any:
    found = elf.get_section_by_name(name)
    if found is None:
        raise ELFError(f"no section {name}")
    return found
