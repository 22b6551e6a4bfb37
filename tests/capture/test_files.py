"""Model files: what is read, what is refused, and that a hostile file runs nothing."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional

from dydca.capture.files import read_model
from dydca.errors import CODES, CaptureError, DydcaError, FileError
from dydca.models import DynamicWDSR


class Own(nn.Module):
    """A class that nobody has allowed yet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        """One convolution."""
        y: Tensor = self.conv(x)
        return y


class Hostile:
    """An object whose pickle writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.system, (f"touch {self.path}",)


def saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


def refusal(path: Path, **options: Any) -> DydcaError:
    with pytest.raises(DydcaError) as caught:
        read_model(path, **options)
    assert caught.value.code in CODES
    return caught.value


def test_a_module_of_dydca_models(tmp_path: Path) -> None:
    model = DynamicWDSR()
    again = read_model(saved(tmp_path / "model.pt", model))
    assert isinstance(again, DynamicWDSR)
    x = torch.rand(1, 3, 12, 10)
    assert torch.equal(again(x.clone()), model(x.clone()))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_every_layer_of_torch_nn_that_networks_use(tmp_path: Path) -> None:
    layers = [
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.PReLU(4),
        nn.utils.weight_norm(nn.Conv2d(4, 4, 1)),
        nn.ModuleDict({"a": nn.GELU(), "b": nn.ParameterList([nn.Parameter(torch.ones(1))])}),
        nn.MultiheadAttention(4, 2),
        nn.TransformerEncoderLayer(4, 2),
        nn.LSTM(4, 4),
        nn.PixelShuffle(2),
        nn.Upsample(scale_factor=2),
    ]
    model = nn.Sequential(*layers)
    model.activation = functional.relu  # type: ignore[assignment]  # torch expects a module
    again = read_model(saved(tmp_path / "model.pt", model))
    assert str(again) == str(model)


def test_an_unknown_class_is_refused_by_name_and_read_when_allowed(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt", nn.Sequential(Own(), nn.ReLU()))
    error = refusal(path)
    assert (error.code, error.got) == ("DYD703", f"{Own.__module__}.Own")
    assert f"--allow {Own.__module__}.Own" in str(error)
    for allowed in (f"{Own.__module__}.Own", Own.__module__, Own.__module__.split(".")[0]):
        assert isinstance(read_model(path, allow=[allowed]), nn.Sequential)
    assert refusal(path, allow=["othermodule", f"{Own.__module__}.Ow"]).code == "DYD703"


def test_an_allowed_class_that_cannot_be_imported(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt", Own())
    renamed = tmp_path / "renamed.pt"
    _rewrite(path, renamed, Own.__module__.encode(), b"x" * len(Own.__module__))
    error = refusal(renamed, allow=["x" * len(Own.__module__)])
    assert error.code == "DYD703"
    assert "cannot be imported" in str(error)


def _rewrite(source: Path, target: Path, old: bytes, new: bytes) -> None:
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as after:
        for name in before.namelist():
            after.writestr(name.replace(source.stem, target.stem, 1), before.read(name).replace(old, new))


def test_a_hostile_pickle_runs_nothing_unless_trusted(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    model = nn.ReLU()
    model.extra = Hostile(mark)  # type: ignore[assignment]  # torch expects a module
    path = saved(tmp_path / "model.pt", model)
    error = refusal(path)
    assert error.code == "DYD703"
    assert str(error.got) in ("posix.system", "nt.system")
    assert "--allow" not in error.fix or "posix" in error.fix
    assert refusal(path, allow=["posix"]).code == "DYD703"  # torch never calls into posix
    assert not mark.exists()
    read_model(path, trust_pickle=True)
    assert mark.exists()


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (nn.Conv2d(3, 3, 1).state_dict(), "a state_dict of 2 tensors"),
        ({"state_dict": nn.ReLU().state_dict(), "epoch": 3}, "an object of type dict"),
        (torch.ones(3), "an object of type Tensor"),
    ],
    ids=["state_dict", "checkpoint", "tensor"],
)
def test_a_file_without_a_network(tmp_path: Path, value: object, got: str) -> None:
    error = refusal(saved(tmp_path / "weights.pt", value))
    assert isinstance(error, CaptureError)
    assert (error.code, error.got) == ("DYD102", got)
    assert "--factory package.module:callable" in error.fix


def test_torchscript(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(nn.ReLU()), tmp_path / "model.pt")
    error = refusal(tmp_path / "model.pt")
    assert error.code == "DYD102"
    assert "torch.export.export" in error.fix


@pytest.mark.parametrize("content", [b"", b"no model at all" * 20, None], ids=["empty", "text", "cut"])
def test_damaged_files(tmp_path: Path, content: bytes | None) -> None:
    path = saved(tmp_path / "model.pt", DynamicWDSR())
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    assert refusal(path).code == "DYD702"


def test_missing_files(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.pt").code == "DYD701"
    assert refusal(tmp_path).code == "DYD701"


def test_an_exported_program_whatever_its_name(tmp_path: Path) -> None:
    free = {2: Dim.AUTO, 3: Dim.AUTO}
    program = torch.export.export(DynamicWDSR().eval(), (torch.zeros(1, 3, 80, 24),), dynamic_shapes=(free,))
    torch.export.save(program, tmp_path / "model.pt2")
    (tmp_path / "model.pt2").rename(tmp_path / "model.pt")
    assert isinstance(read_model(tmp_path / "model.pt"), ExportedProgram)


def exported(tmp_path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """An exported program whose members went through `change`."""
    program = torch.export.export(nn.Conv2d(3, 3, 3), (torch.zeros(1, 3, 8, 8),), dynamic_shapes=({2: Dim.AUTO},))
    torch.export.save(program, tmp_path / "good.pt2")
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(tmp_path / "good.pt2") as before, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as after:
        for name in before.namelist():
            inner = name.partition("/")[2]
            after.writestr(f"model/{inner}", change(inner, before.read(name)))
    return path


def test_an_unchanged_program_passes_the_screening(tmp_path: Path) -> None:
    assert isinstance(read_model(exported(tmp_path, lambda _, content: content)), ExportedProgram)


def _operator(name: str, content: bytes) -> bytes:
    return content.replace(b"torch.ops.aten.conv2d.default", b"torch.os.system")


def _expression(name: str, content: bytes) -> bytes:
    return content.replace(b"Symbol('", b"exec('") if name == "models/model.json" else content


def _guard(name: str, content: bytes) -> bytes:
    if name != "models/model.json":
        return content
    return json.dumps({**json.loads(content), "guards_code": ["__import__('os').system('true')"]}).encode()


def _payload(name: str, content: bytes) -> bytes:
    return content.replace(b'"use_pickle": false', b'"use_pickle": true').replace(
        b'"use_pickle":false', b'"use_pickle":true'
    )


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (_operator, "the operator 'torch.os.system'"),
        (_expression, "the expression \"exec('"),
        (_guard, "the expression \"__import__('os').system('true')\""),
        (_payload, "the pickled payload"),
    ],
    ids=["operator", "expression", "guard", "payload"],
)
def test_a_hostile_program_is_refused(tmp_path: Path, change: Callable[[str, bytes], bytes], got: str) -> None:
    error = refusal(exported(tmp_path, change))
    assert isinstance(error, FileError)
    assert error.code == "DYD703"
    assert got in str(error)


def test_hostile_sample_inputs_are_not_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save(((Hostile(mark),), {}), tmp_path / "inputs.pt")
    hostile = (tmp_path / "inputs.pt").read_bytes()
    path = exported(tmp_path, lambda name, content: hostile if "sample_inputs" in name else content)
    assert refusal(path).code == "DYD703"
    assert not mark.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_a_damaged_program(tmp_path: Path) -> None:
    path = exported(tmp_path, lambda name, content: b"{" if name == "models/model.json" else content)
    assert refusal(path).code == "DYD702"
