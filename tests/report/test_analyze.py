"""``python -m dydca.analyze``, as a user runs it and called directly."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from dydca.analyze import main, parse_patch
from dydca.models import DynamicWDSR

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "model.pt"
    torch.save(DynamicWDSR(), path)
    return str(path)


def test_as_a_command(model: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "dydca.analyze",
        model,
        "--patch",
        "108x96",
        "--patch",
        "54x48",
        "--json",
        "report.json",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        re.sub(r"(?<=\.py:)\d+", lambda found: "#" * len(found[0]), done.stdout)
        == (ROOT / "tests/report/golden/wdsr.txt").read_text()
    )
    data = json.loads((tmp_path / "report.json").read_text())
    assert [route["predicate"] for route in data["routes"]] == ["H >= 70", "H < 70"]
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_json_to_stdout_is_nothing_but_json(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([model, "--patch", "1x3x12x8", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "DynamicWDSR"


def test_tensors(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [model, "--patch", "12x8"]
    assert main(arguments) == 0
    assert "%pixel_shuffle  " not in capsys.readouterr().out
    assert main([*arguments, "--tensors"]) == 0
    assert "%pixel_shuffle  " in capsys.readouterr().out


def test_the_expected_cost(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [model, "--patch", "108x96", "--patch", "54x48", "--frequency", "route0=1", "--frequency"]
    assert main([*arguments, "route1=3"]) == 0
    macs = (1 * 78948 * 108 * 96 + 3 * 152676 * 54 * 48) / 4
    assert f"expected cost of a patch: {macs / 1e9:.4f} GMAC" in capsys.readouterr().out
    assert main([*arguments, "route7=1"]) == 1
    assert capsys.readouterr().err.startswith("DYD850: ")
    assert main([*arguments, "route1=nan"]) == 1
    assert capsys.readouterr().err.startswith("DYD851: ")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--patch", "12x8x3"], "DYD101"), (["--patch", "8x8", "--json", "/no/such/f"], "DYD705")],
    ids=["rank", "unwritable"],
)
def test_refusals_are_one_coded_message_on_stderr(
    model: str, arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([model, *arguments]) == 1
    captured = capsys.readouterr()
    assert code in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "no.pt"), "--patch", "8x8"]) == 1
    assert capsys.readouterr().err.startswith("DYD701: ")


def test_a_class_is_allowed_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(Own(), tmp_path / "model.pt")
    arguments = [str(tmp_path / "model.pt"), "--patch", "1x3x8x8"]
    assert main(arguments) == 1
    assert f"got  {Own.__module__}.Own" in capsys.readouterr().err
    assert main([*arguments, "--allow", Own.__module__]) == 0
    assert main([*arguments, "--trust-pickle"]) == 0


class Own(nn.ReLU):
    """A class that nobody has allowed yet."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["m.pt"],
        ["m.pt", "--patch", "8y8"],
        ["m.pt", "--patch", "0x8"],
        ["--patch", "8x8"],
        ["m.pt", "--patch", "8x8", "--frequency", "0.5"],
    ],
)
def test_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_patches() -> None:
    assert parse_patch("108x96") == (108, 96)
    assert parse_patch("1x3x108x96") == (1, 3, 108, 96)
    assert parse_patch("x=1x3x8x8,state=4X32") == {"x": (1, 3, 8, 8), "state": (4, 32)}


def test_why_a_tensor_is_what_it_is(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([model, "--patch", "108x96", "--patch", "54x48", "--why", "%relu"]) == 0
    told = capsys.readouterr().out.split("why %relu, ")[1:]
    assert [text.splitlines()[0] for text in told] == ["route0", "route1"]
    assert re.search(r"%relu = relu \(dydca_wdsr\.py:\d+\): \[1, 64, H, W\] float32 in \[0, inf\]", told[0])
    assert "%x = placeholder" in told[0]
    assert "no range of its values is declared" in told[0]


def test_why_of_no_tensor(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([model, "--patch", "12x8", "--why", "nothing"]) == 1
    assert "DYD850" in capsys.readouterr().err


def test_an_interruption_is_no_traceback(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dydca.analyze.named_model", interrupted)
    assert main([model, "--patch", "12x8"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
