"""The command line: results to stdout, refusals to stderr with a code and no traceback, telling exit codes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import dydca
from dydca.cli import main
from dydca.errors import CODES
from dydca.models import DynamicWDSR


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(DynamicWDSR(scale=2), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_compile_writes_what_load_runs(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", str(model), "--patch", "20x18", "-o", str(tmp_path / "net.dydca")]) == 0
    printed = capsys.readouterr()
    assert "20x18" in printed.out
    assert printed.err == ""
    x = torch.rand(1, 3, 20, 18)
    with torch.no_grad():
        expected = torch.load(model, weights_only=False)(x.clone())
    with dydca.load(tmp_path / "net.dydca") as network:
        result = network(x.numpy())
    assert isinstance(result, np.ndarray)
    assert np.abs(result - expected.numpy()).max() <= 1e-4 * float(expected.abs().max())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["compile", "absent.pt", "--patch", "8x8", "-o", "net.dydca"], "DYD701"),
        (["compile", "MODEL", "--patch", "8x8", "--target", "z80", "-o", "net.dydca"], "DYD503"),
        (["compile", "MODEL", "--patch", "20x18", "--memory", "9KB", "-o", "net.dydca"], "DYD420"),
        (["compile", "MODEL", "--patch", "20x18", "-o", "absent/net.dydca"], "DYD705"),
        (["analyze", "absent.pt", "--patch", "8x8"], "DYD701"),
        (["errors", "DYD999"], "DYD901"),
    ],
)
def test_refusals_are_told_without_a_traceback(
    arguments: list[str], code: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(model) if word == "MODEL" else word for word in arguments]
    given = [str(tmp_path / word) if word.endswith(".dydca") else word for word in given]
    assert main(given) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(code)
    assert "Traceback" not in printed.err
    assert not list(tmp_path.glob("*.dydca"))


def test_every_code_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for code, explanation in CODES.items():
        assert main(["errors", code.lower()]) == 0
        assert explanation.remedy in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["compile"], ["compile", "m.pt", "--patch", "8by8", "-o", "n"], ["nonsense"]]
)
def test_a_wrong_command_line_exits_with_two(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "dydca.cli", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage:" in done.stderr
