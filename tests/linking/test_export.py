"""The exported folder, and files with libraries for several machines."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dydca
from dydca.cli import main
from dydca.compiled import CompiledNetwork
from dydca.errors import DydcaError
from dydca.lower.build import ANDROID_PAGE
from dydca.lower.linking.elf import check_library
from dydca.runtime import load

SHAPE = (1, 3, 6, 10)
FILES = {"libnet.so", "net.h", "dydca.h", "dydca-run", "net.json", "report.txt", "export.json"}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2), nn.Sigmoid()).eval()


@pytest.fixture(scope="module")
def both(model: nn.Module) -> CompiledNetwork:
    return dydca.compile(model, [SHAPE], target=["host", "android-aarch64"], threads=2)


@pytest.fixture(scope="module")
def exported(both: CompiledNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "out"
    both.export(folder)
    return folder


def test_the_folder(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == FILES | {"src"}
    check_library((exported / "libnet.so").read_bytes(), "x86_64-linux-gnu", "libnet.so", 4096)
    listed = set(json.loads((exported / "export.json").read_text()))
    assert listed == {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()}


def test_the_header_tells_what_was_compiled(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "use.c").write_text("""
#include "net.h"
#include <string.h>
int main(void) {
  const dydca_tensor x = NET_PATCH0_INPUT_INPUT, y = NET_PATCH0_OUTPUT_SIGMOID;
  return !(NET_INPUTS == 1 && NET_OUTPUTS == 1 && NET_PATCHES == 1 && NET_SCALE == 2 && NET_THREADS == 2 &&
           x.shape[3] == 10 && y.shape[3] == 20 && y.bytes == 4 * 3 * 12 * 20 &&
           !strcmp(NET_TRIPLE, "x86_64-linux-gnu"));
}
""")
    for language in ("-std=c99", "-xc++"):
        command = ["gcc", language, "-Wall", "-Wextra", "-Werror", f"-I{exported}", "use.c", "-o", "use"]
        done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
        if "cc1plus" in done.stderr:
            continue
        assert done.returncode == 0, done.stderr
        subprocess.run([tmp_path / "use"], check=True)


def test_the_sources_link_anew(exported: Path, both: CompiledNetwork, tmp_path: Path) -> None:
    source = exported / "src"
    options = [
        "-O2",
        "-fPIC",
        "-fvisibility=hidden",
        "-Iruntime",
        "-Wl,--version-script=exports.map",
        "-Wl,--no-undefined",
    ]
    files = ["plan.c", "weights.c", *map(str, (source / "runtime").glob("*.c")), "kernels.o", "-lpthread", "-lm"]
    subprocess.run(["gcc", "-shared", *options, *files, "-o", tmp_path / "anew.so"], cwd=source, check=True)
    manifest = json.loads((exported / "net.json").read_text())
    target = manifest.pop("target")
    members = {f"lib/{target['triple']}/libnet.so": (tmp_path / "anew.so").read_bytes()}
    x = np.random.default_rng(0).random(SHAPE, np.float32)
    with dydca.Network({**manifest, "targets": {target["triple"]: target}}, members) as network:
        assert np.array_equal(np.asarray(network(x)), np.asarray(both(x)))


def run(exported: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([exported / "dydca-run", *words], capture_output=True, text=True, check=False)


def test_the_program_reads_and_writes_pictures(exported: Path, both: CompiledNetwork, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)
    (tmp_path / "in.ppm").write_bytes(b"P6\n10 6\n255\n" + picture.tobytes())
    done = run(exported, "-t", "2", "-n", "3", tmp_path / "in.ppm", "-o", tmp_path / "out.ppm")
    assert (done.returncode, done.stderr) == (0, "")
    assert "median" in done.stdout
    assert "output float32 1x3x12x20" in done.stdout
    x = np.ascontiguousarray(np.moveaxis(picture, 2, 0)[None].astype(np.float32) / np.float32(255))
    want = np.floor(np.clip(np.moveaxis(np.asarray(both(x))[0], 0, 2) * np.float32(255) + np.float32(0.5), 0, 255))
    content = (tmp_path / "out.ppm").read_bytes()
    assert content.startswith(b"P6\n20 12\n255\n")
    assert np.array_equal(np.frombuffer(content[13:], np.uint8).reshape(12, 20, 3), want)


def test_the_program_describes_and_times(exported: Path) -> None:
    assert run(exported).stdout == "route0_6x10: float32 1x3x6x10 -> float32 1x3x12x20\n"
    assert "route0_6x10: median" in run(exported, "-n", "2").stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["absent.raw"], 1, "cannot read"),
        (["short.raw"], 1, "no declared patch has the size"),
        (["bad.ppm"], 1, "no binary PPM"),
        (["huge.ppm"], 1, "no binary PPM"),
        (["-s", "1x3x6x11", "short.raw"], 1, "no plan for these input shapes"),
        (["-s", "1x3x6x10", "short.raw"], 1, "input 0 has 5 bytes, wanted 720"),
        (["-s", "3by4", "short.raw"], 1, "-s is no shape"),
        (["-t", "65", "good.raw"], 1, "a thread count that is not 1..64"),
        (["good.raw", "-o", "absent/out.raw"], 1, "cannot write"),
        (["good.raw", "good.raw"], 1, "another number of inputs"),
        (["-n"], 2, "usage"),
        (["--help"], 2, "usage"),
        (["-n", "0"], 2, "usage"),
        (["x"] * 40, 2, "usage"),
    ],
)
def test_the_program_refuses(exported: Path, tmp_path: Path, words: list[str], code: int, message: str) -> None:
    (tmp_path / "short.raw").write_bytes(b"12345")
    (tmp_path / "good.raw").write_bytes(bytes(720))
    (tmp_path / "bad.ppm").write_bytes(b"P3\n1 1\n255\n0 0 0\n")
    (tmp_path / "huge.ppm").write_bytes(b"P6\n99999 99999\n255\n" + bytes(100))
    done = run(exported, *(tmp_path / word if "." in word else word for word in words))
    assert done.returncode == code
    assert message in done.stderr


def test_a_file_with_two_libraries(both: CompiledNetwork, model: nn.Module, tmp_path: Path) -> None:
    both.save(tmp_path / "both.dydca")
    x = torch.rand(SHAPE)
    with load(tmp_path / "both.dydca") as network:
        assert network.threads == 2
        assert set(network.manifest["targets"]) == {"x86_64-linux-gnu", "aarch64-linux-android"}  # type: ignore[call-overload]
        assert (network(x) - model(x)).abs().max() <= 1e-4
        assert network.report().count("library for") == 2
    with pytest.raises(DydcaError, match="DYD507"):
        dydca.compile(model, [SHAPE], target=["x86-64-v3", "host"])


def test_a_network_for_other_machines(model: nn.Module, tmp_path: Path) -> None:
    network = dydca.compile(model, [SHAPE], target="android-aarch64", cpu="cortex-a78")
    with network:
        for call in (lambda: network(torch.rand(SHAPE)), lambda: network.run_many([torch.rand(SHAPE)])):
            with pytest.raises(DydcaError, match="DYD607"):
                call()
    assert "checked: the same plan was compiled for this machine" in network.report()
    network.save(tmp_path / "arm.dydca")
    with pytest.raises(DydcaError, match="DYD704: compiled for other machines"):
        load(tmp_path / "arm.dydca")
    network.export(tmp_path / "out", name="upscale")
    check_library((tmp_path / "out/libupscale.so").read_bytes(), "aarch64-linux-android", "libupscale.so", ANDROID_PAGE)


def test_what_is_in_the_folder_is_not_lost(
    both: CompiledNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(DydcaError, match=r"(?s)DYD608.*thesis\.txt"):
        both.export(folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    (folder / "thesis.txt").unlink()
    both.export(folder)
    both.export(folder, name="other")
    assert (folder / "libother.so").is_file()
    assert not (folder / "libnet.so").exists()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(DydcaError, match="DYD608"):
        both.export(folder)
    (folder / "thesis.txt").unlink()
    before = sorted(folder.rglob("*"))

    write = Path.write_bytes

    def fail(path: Path, content: bytes) -> int:
        if path.name == "report.txt":
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(DydcaError, match="DYD705"):
        both.export(folder)
    assert sorted(folder.rglob("*")) == before
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["", "1net", "a-b", "net.so", "näh", "../x"])
def test_names_that_are_no_identifier(both: CompiledNetwork, tmp_path: Path, name: str) -> None:
    with pytest.raises(DydcaError, match="DYD609"):
        both.export(tmp_path / "out", name=name)
    assert not list(tmp_path.iterdir())


def test_the_command(model: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(model, tmp_path / "sr-2x.pt")
    given = ["compile", str(tmp_path / "sr-2x.pt"), "--patch", "1x3x6x10", "--target", "android-aarch64"]
    assert main([*given, "--cpu", "cortex-a78", "-o", str(tmp_path / "out")]) == 0
    assert "android-aarch64, cortex-a78" in capsys.readouterr().out
    assert (tmp_path / "out" / "libsr_2x.so").is_file()
    assert main([*given, "--cpu", "cortex-a87", "-o", str(tmp_path / "new")]) == 1
    assert "cortex-a78" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
