"""A state_dict with the factory of its network: read as PyTorch reads it, and refused by code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import dydca
from dydca.bisection import bisect
from dydca.capture.files import read_model
from dydca.cli import main
from dydca.errors import CODES, CaptureError, DydcaError, FileError

NETS = """
import sys

from torch import nn


def net(width=4, *, blocks=1, scale=2):
    body = [layer for _ in range(blocks) for layer in (nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))]
    tail = nn.Conv2d(width, 3 * scale**2, 3, padding=1)
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), *body, tail, nn.PixelShuffle(scale))


class Nets:
    @staticmethod
    def wrapped():
        return nn.DataParallel(net())


def leaves():
    sys.exit(3)


def returns_none():
    return None


WIDTH = 4
"""


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package `userpack` of a user, importable, with a module that works and two that do not."""
    package = tmp_path / "userpack"
    package.mkdir()
    modules = {"__init__": "", "nets": NETS, "broken": "\nraise RuntimeError('no licence')\n", "syntax": "def f(:\n"}
    for name, text in modules.items():
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "userpack"]:
        del sys.modules[name]


def network(width: int = 4, *, blocks: int = 1, scale: int = 2) -> nn.Module:
    from userpack.nets import net  # type: ignore[import-not-found]  # written by the fixture

    torch.manual_seed(0)
    made: nn.Module = net(width, blocks=blocks, scale=scale)
    for name, buffer in made.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return made


def weights(path: Path, state: object = None) -> Path:
    torch.save(network().state_dict() if state is None else state, path)
    return path


def refusal(path: Path, factory: str) -> DydcaError:
    with pytest.raises(DydcaError) as caught:
        read_model(path, factory=factory)
    assert caught.value.code in CODES
    return caught.value


def same(one: object, other: nn.Module) -> bool:
    assert isinstance(one, nn.Module)
    x = torch.rand(1, 3, 9, 7)
    return torch.equal(one.eval()(x), other.eval()(x))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_the_network_has_the_tensors_of_the_file(tmp_path: Path, suffix: str) -> None:
    own = network(6, blocks=2, scale=3)
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save(own.state_dict(), path)
    else:
        save_file(own.state_dict(), path)
    assert same(read_model(path, factory="userpack.nets:net(6, blocks=2, scale=3)"), own)


def test_a_factory_without_arguments(tmp_path: Path) -> None:
    path = weights(tmp_path / "weights.pt")
    for factory in ("userpack.nets:net", "userpack.nets:net()"):
        assert same(read_model(path, factory=factory), network())


def test_safetensors_are_known_by_content(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "weights.bin")
    assert same(read_model(tmp_path / "weights.bin", factory="userpack.nets:net"), network())
    with pytest.raises(CaptureError) as caught:
        read_model(tmp_path / "weights.bin")
    assert (caught.value.code, caught.value.got) == ("DYD102", "a state_dict of 11 tensors")
    assert "--factory" in caught.value.fix


def test_damaged_safetensors(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "weights.safetensors")
    (tmp_path / "cut").write_bytes((tmp_path / "weights.safetensors").read_bytes()[:-5])
    error = refusal(tmp_path / "cut", "userpack.nets:net")
    assert isinstance(error, FileError)
    assert error.code == "DYD702"


def test_the_prefix_of_data_parallel_is_taken_off_and_said(tmp_path: Path) -> None:
    path = weights(tmp_path / "weights.pt", nn.DataParallel(network()).state_dict())
    with pytest.warns(UserWarning, match=r"begin with module\."):
        assert same(read_model(path, factory="userpack.nets:net"), network())
    wrapped = read_model(path, factory="userpack.nets:Nets.wrapped")  # which has these names: nothing to say
    assert isinstance(wrapped, nn.DataParallel)
    assert same(wrapped.module, network())


def test_the_only_state_dict_of_a_checkpoint(tmp_path: Path) -> None:
    state = network().state_dict()
    optimizer = torch.optim.Adam(network().parameters()).state_dict()
    path = weights(tmp_path / "checkpoint.pt", {"params": state, "optimizer": optimizer, "epoch": 3})
    assert same(read_model(path, factory="userpack.nets:net"), network())
    error = refusal(weights(tmp_path / "two.pt", {"params": state, "params_ema": state}), "userpack.nets:net")
    assert (error.code, error.got) == ("DYD102", "state_dicts under 'params', 'params_ema'")


@pytest.mark.parametrize("value", [nn.ReLU(), torch.ones(3), {"a": 1}, {}], ids=["module", "tensor", "dict", "empty"])
def test_a_file_without_a_state_dict(tmp_path: Path, value: object) -> None:
    error = refusal(weights(tmp_path / "weights.pt", value), "userpack.nets:net")
    assert (error.code, error.got) == ("DYD102", f"an object of type {type(value).__name__}")


def test_what_does_not_fit_is_listed_as_torch_lists_it(tmp_path: Path) -> None:
    state = network().state_dict()
    state["extra"] = torch.ones(2)
    state["0.bias"] = torch.ones(5)
    del state["3.weight"]
    error = refusal(weights(tmp_path / "weights.pt", state), "userpack.nets:net")
    assert (error.code, error.where) == ("DYD116", str(tmp_path / "weights.pt"))
    assert error.got == "0.bias is (5,), not (4,); 3.weight is missing; extra is unexpected"
    many = refusal(weights(tmp_path / "weights.pt"), "userpack.nets:net(blocks=30)")
    assert str(many.got).count(";") == 10
    assert str(many.got).endswith("more")


class Particular(nn.Conv2d):
    """A layer that loads its tensors itself, and fails."""

    def _load_from_state_dict(self, *arguments: object, **options: object) -> None:
        raise KeyError("scale")


def test_a_layer_that_fails_to_load(tmp_path: Path) -> None:
    path = weights(tmp_path / "weights.pt", Particular(3, 3, 1).state_dict())
    sys.modules["userpack.particular"] = sys.modules[__name__]
    error = refusal(path, "userpack.particular:Particular(3, 3, 1)")
    assert (error.code, error.got) == ("DYD116", "KeyError: 'scale'")


@pytest.mark.parametrize(
    "factory",
    [
        "", "userpack.nets", "userpack.nets:", ":net", "userpack.nets:net(", "userpack.nets:net(scale=size)",
        "userpack.nets:net(*[1])", "userpack.nets:net(**{'a': 1})", "userpack.nets:net(scale=1, scale=2)",
        "userpack.nets:net()()", "userpack.nets:net; x", "userpack.nets:net({[]: 1})", "userpack/nets.py:net",
        "userpack.nets:net(__import__('os').system('true'))", "userpack.nets:" + "(" * 3000, "userpack.nets:net\0",
    ],
)  # fmt: skip
def test_a_factory_that_is_not_understood(tmp_path: Path, factory: str) -> None:
    error = refusal(weights(tmp_path / "weights.pt"), factory)
    assert (error.code, error.got) == ("DYD113", repr(factory))


@pytest.mark.parametrize(
    ("factory", "code", "got", "where"),
    [
        ("userpack.absent:net", "DYD114", "ModuleNotFoundError: No module named 'userpack.absent'", None),
        ("userpack.nets:absent", "DYD114", "AttributeError: module 'userpack.nets' has no attribute 'absent'", None),
        ("userpack.broken:net", "DYD114", "RuntimeError: no licence", "broken.py:2"),
        ("userpack.syntax:net", "DYD114", "SyntaxError: invalid syntax (syntax.py, line 1)", None),
        ("userpack.nets:WIDTH", "DYD114", "WIDTH of type int", None),
        ("userpack.nets:net(depth=3)", "DYD115", "TypeError: net() got an unexpected keyword argument 'depth'", None),
        ("userpack.nets:net('wide')", "DYD115", "TypeError: ", "nets.py:8"),
        ("userpack.nets:leaves", "DYD115", "SystemExit: 3", "nets.py:20"),
        ("userpack.nets:returns_none", "DYD115", "an object of type NoneType", None),
    ],
)
def test_a_factory_that_makes_no_network(tmp_path: Path, factory: str, code: str, got: str, where: str | None) -> None:
    error = refusal(weights(tmp_path / "weights.pt"), factory)
    assert isinstance(error, CaptureError)
    assert error.code == code
    assert str(error.got).startswith(got)
    if where:
        assert str(error.where).endswith(where)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = weights(tmp_path / "weights.pt")
    command = ["analyze", str(path), "--patch", "1x3x8x8", "--factory"]
    assert main([*command, "userpack.nets:net(blocks=1)"]) == 0
    assert "[1, 3, 16, 16]" in capsys.readouterr().out
    for factory, code in {"nets": "DYD113", "no:net": "DYD114", "userpack.nets:leaves": "DYD115"}.items():
        assert main([*command, factory]) == 1
        printed = capsys.readouterr()
        assert printed.err.startswith(code)
        assert "Traceback" not in printed.err
        assert printed.out == ""


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_stands_for_the_network(tmp_path: Path, kind: type[str] | type[Path]) -> None:
    path = kind(weights(tmp_path / "model.pt", nn.Sequential(nn.Conv2d(3, 3, 1), nn.PixelShuffle(1))))
    patches = [(1, 3, 8, 8)]
    assert [route.name for route in dydca.capture(path, patches).routes] == ["route0"]
    assert dydca.explain(path, patches).model == "Sequential"
    with pytest.raises(FileError, match="DYD701"):
        dydca.compile(kind(tmp_path / "absent.pt"), patches)


def test_a_path_is_compiled_and_bisected(tmp_path: Path) -> None:
    own = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()).eval()
    path = weights(tmp_path / "model.pt", own)
    x = torch.rand(1, 3, 8, 8)
    with dydca.compile(path, [(1, 3, 8, 8)]) as compiled, torch.no_grad():
        expected = own(x)
        assert (compiled(x) - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert bisect(path, [(1, 3, 8, 8)], passes=[]) is None
