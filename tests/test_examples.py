"""The examples and the programs in docs/c_abi.md build and do what they say; the Android project's C compiles."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import dydca

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
TILE = (1, 3, 6, 8)
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-O1")
JNI = Path("/usr/include/android/nativehelper")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2), nn.Sigmoid()).eval()


@pytest.fixture(scope="module")
def folder(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("examples")
    with dydca.compile(model, [TILE], threads=2) as network:
        network.export(made / "out")
        network.save(made / "net.dydca")
    pixels = np.random.default_rng(0).integers(0, 256, (15, 21, 3), np.uint8)
    Image.fromarray(pixels).save(made / "in.ppm")
    return made


def expected(model: nn.Module, folder: Path) -> np.ndarray:
    """The picture upscaled tile by tile in eager."""
    pixels = np.asarray(Image.open(folder / "in.ppm"), np.float32).transpose(2, 0, 1) / np.float32(255)
    x, (_, _, height, width) = torch.from_numpy(pixels)[None], TILE
    result: Tensor = torch.empty(1, 3, 30, 42)
    for y in (0, 6, 9):
        for left in (0, 8, 13):
            with torch.no_grad():
                tile = model(x[:, :, y : y + height, left : left + width])
            result[:, :, 2 * y : 2 * (y + height), 2 * left : 2 * (left + width)] = tile
    return (result[0].numpy().transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8)


def agree(path: Path, want: np.ndarray) -> None:
    have = np.asarray(Image.open(path))
    assert have.shape == want.shape
    assert np.abs(have.astype(int) - want.astype(int)).max() <= 1  # a value on the edge of rounding


def build(source: Path, folder: Path, program: str) -> Path:
    link = ["-L", str(folder / "out"), "-lnet", f"-Wl,-rpath,{folder / 'out'}"]
    command = ["gcc", *STRICT, f"-I{folder / 'out'}", str(source), *link, "-o", str(folder / program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / program


def test_the_c_program(model: nn.Module, folder: Path) -> None:
    program = build(EXAMPLES / "c" / "upscale.c", folder, "upscale")
    subprocess.run([program, folder / "in.ppm", folder / "c.ppm"], check=True)
    agree(folder / "c.ppm", expected(model, folder))
    assert subprocess.run([program, folder / "absent", "y"], capture_output=True, check=False).returncode == 1


def test_the_python_program_needs_no_torch(model: nn.Module, folder: Path) -> None:
    program = "\n".join(
        [
            "import runpy, sys",
            "sys.argv = sys.argv[1:]",
            "runpy.run_path(sys.argv[0], run_name='__main__')",
            "assert not {'torch', 'tvm'} & {*sys.modules}",
        ]
    )
    words = [str(EXAMPLES / "python" / "upscale.py"), "net.dydca", "in.ppm", "python.png"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    agree(folder / "python.png", expected(model, folder))


def test_the_document_s_program(folder: Path) -> None:
    (program,) = re.findall(r"```c\n(.*?)```", (ROOT / "docs" / "c_abi.md").read_text("utf-8"), re.DOTALL)
    (folder / "document.c").write_text(program)
    done = subprocess.run(
        [build(folder / "document.c", folder, "document")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "12 x 16\n"


def test_the_document_names_every_code() -> None:
    header = (ROOT / "runtime" / "native" / "dydca.h").read_text("utf-8")
    codes = re.findall(r"(DYDCA_ERROR_\w+) = (\d)", header)
    text = (ROOT / "docs" / "c_abi.md").read_text("utf-8")
    assert len(codes) == 8
    assert all(f"| {number} | `{name}` |" in text for name, number in codes)


@pytest.mark.skipif(not (JNI / "jni.h").is_file(), reason="no jni.h; apt-get install android-libnativehelper-dev")
def test_the_jni_wrapper_compiles(folder: Path) -> None:
    source = EXAMPLES / "android/app/src/main/cpp/upscaler_jni.c"
    command = ["gcc", *STRICT, f"-I{folder / 'out'}", f"-I{JNI}", "-c", str(source), "-o", str(folder / "jni.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listing = subprocess.run(["nm", folder / "jni.o"], capture_output=True, text=True, check=True).stdout
    kotlin = (EXAMPLES / "android/app/src/main/java/dydca/example/Upscaler.kt").read_text("utf-8")
    native = re.findall(r"external fun (\w+)", kotlin)
    assert native
    assert all(f"T Java_dydca_example_Upscaler_{name}" in listing for name in native)
