"""Who compiles for a target, and what is refused of what a linker makes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dydca.errors import BuildError
from dydca.lower.build import EXPORT_MAP
from dydca.lower.linking import toolchain
from dydca.lower.linking.elf import EXPORTS, check_library
from dydca.lower.linking.toolchain import find_toolchain
from dydca.lower.targets import find_target

GOOD = ["-Wl,-z,relro", "-Wl,-z,noexecstack", "-Wl,--hash-style=both", "-Wl,--build-id=sha1", "-Wl,-soname,libnet.so"]


def linked(folder: Path, *options: str, source: str = "") -> bytes:
    """A library with the interface's names, linked well but for `options`."""
    (folder / "a.c").write_text("".join(f"void {name}(void) {{}}\n" for name in sorted(EXPORTS)) + source)
    command = ["gcc", "-shared", "-fPIC", *GOOD, *options, "a.c", "-o", "a.so"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return (folder / "a.so").read_bytes()


def test_a_good_library_passes(tmp_path: Path) -> None:
    check_library(linked(tmp_path), "x86_64-linux-gnu", "libnet.so", 4096)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["-Wl,-z,norelro"], "tables of addresses stay writable"),
        (["-Wl,-z,execstack"], "an executable stack"),
        (["-Wl,--build-id=none"], "no section .note.gnu.build-id"),
        (["-Wl,--hash-style=gnu"], "not both kinds of hash tables"),
        (["-Wl,-soname,other.so"], "another soname"),
        (["-Wl,--no-as-needed", "-lresolv"], "needs libresolv.so.2"),
    ],
)
def test_a_bad_library_is_refused(tmp_path: Path, options: list[str], fault: str) -> None:
    with pytest.raises(BuildError, match=f"(?s)DYD506.*{fault}"):
        check_library(linked(tmp_path, *options), "x86_64-linux-gnu", "libnet.so", 4096)


def test_exports_pages_and_machines_are_compared(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="exports extra differently from the interface"):
        check_library(linked(tmp_path, source="void extra(void) {}\n"), "x86_64-linux-gnu", "libnet.so", 4096)
    with pytest.raises(BuildError, match="segments aligned to 4096 bytes, wanted 16384"):
        check_library(linked(tmp_path), "x86_64-linux-gnu", "libnet.so", 16384)
    with pytest.raises(BuildError, match="ET_DYN of EM_X86_64"):
        check_library(linked(tmp_path), "aarch64-linux-gnu", "libnet.so", 4096)
    with pytest.raises(BuildError, match="no ELF file"):
        check_library(b"text", "aarch64-linux-gnu", "libnet.so", 4096)


def test_the_version_script_names_the_interface() -> None:
    assert set(EXPORT_MAP.split("{ global: ")[1].split("; local")[0].split("; ")) == EXPORTS


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no NDK."""
    for variable in ("TVM_NDK_CC", "ANDROID_NDK_HOME", "ANDROID_NDK_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


@pytest.mark.parametrize("variable", ["ANDROID_NDK_HOME", "ANDROID_NDK_ROOT"])
def test_the_ndk_comes_first(bare: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    clang = tmp_path / "toolchains/llvm/prebuilt/linux-x86_64/bin/aarch64-linux-android24-clang"
    clang.parent.mkdir(parents=True)
    bare.setenv(variable, str(tmp_path))
    with pytest.raises(BuildError, match="DYD505"):
        find_toolchain(find_target("android-aarch64"))
    clang.touch(0o755)
    assert find_toolchain(find_target("android-aarch64")).compiler == (str(clang),)
    assert find_toolchain(find_target("host")).compiler != (str(clang),)


def test_the_compiler_that_tvm_is_told_of(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("TVM_NDK_CC", str(tmp_path / "clang"))
    with pytest.raises(BuildError, match="DYD505"):
        find_toolchain(find_target("android-aarch64"))
    (tmp_path / "clang").touch(0o755)
    assert find_toolchain(find_target("android-aarch64")).compiler == (str(tmp_path / "clang"),)


@pytest.mark.parametrize("target", ["android-aarch64", "linux-aarch64-musl"])
def test_a_missing_tool_is_named(bare: pytest.MonkeyPatch, target: str) -> None:
    bare.setattr(toolchain, "find_spec", lambda _name: None)
    with pytest.raises(BuildError, match=r"DYD504: .*(?s:.*)pip install 'dydca\[android\]'"):
        find_toolchain(find_target(target))


def test_a_failing_tool_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "bad.c").write_text("no C\n")
    with pytest.raises(BuildError, match=r"(?s)DYD501.*no C"):
        find_toolchain(find_target("host")).compile([tmp_path / "bad.c"], tmp_path)


@pytest.mark.parametrize(
    ("target", "cpu", "words"),
    [
        ("android-aarch64", "cortex-a87", "want cortex-a78"),
        ("android-aarch64", "haswell", "the processor 'haswell' is unknown"),
        ("x86-64-v4", "haswell", "avx512f"),
        ("z80", None, "want host, x86-64-v3, "),
    ],
)
def test_unknown_processors(target: str, cpu: str | None, words: str) -> None:
    with pytest.raises(BuildError) as refusal:
        find_target(target, cpu)
    assert refusal.value.code == "DYD503"
    assert words in str(refusal.value)


def test_a_processor_brings_what_it_needs() -> None:
    assert find_target("android-aarch64").requires == ("asimd",)
    assert {"asimddp", "atomics"} <= set(find_target("android-aarch64", "cortex-a78").requires)
    assert "sve" not in find_target("android-aarch64", "cortex-x2").requires
    assert {"avx2", "fma"} <= set(find_target("x86-64-v3").requires)
