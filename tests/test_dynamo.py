"""The backend of torch.compile: equal to eager at every size, refusals with their own codes, weights that change."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dydca.dynamo import backend
from dydca.errors import CaptureError, LoweringError
from dydca.models import DynamicWDSR


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    with torch.inference_mode(False), torch.no_grad():
        yield
    torch.compiler.reset()


def test_the_entry_point_is_the_backend() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    named = project["entry-points"]["torch_dynamo_backends"]
    assert EntryPoint("dydca", named["dydca"], "torch_dynamo_backends").load() is backend


def test_every_route_and_size_is_eager() -> None:
    model = DynamicWDSR(scale=2).eval()
    compiled = torch.compile(model, backend=backend, options={"threads": 1})
    for size in ((20, 18), (72, 16), (22, 18)):  # the last has a size that TorchDynamo takes for one that changes
        x = torch.rand(1, 3, *size)
        mine = x.clone()
        expected, result = model(x), compiled(mine)
        assert float((result - expected).abs().max()) <= 1e-4 * float(expected.abs().max())
        torch.testing.assert_close(mine, x)  # the network overwrites its input, and so must the backend


class Statistics(nn.Module):
    """Has buffers, and returns numbers beside tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> dict[str, Tensor | int]:
        return {"y": self.norm(self.conv(x)), "doubled": 2 * x.shape[2], "x": x.relu()}


def test_numbers_beside_tensors_and_weights_that_change() -> None:
    model = Statistics().eval()
    compiled = torch.compile(model, backend=backend)
    for size in (8, 9, 10):
        x = torch.randn(1, 3, size, size)
        got, expected = compiled(x), model(x)
        assert got["doubled"] == 2 * size
        torch.testing.assert_close([got["y"], got["x"]], [expected["y"], expected["x"]])
    model.conv.weight.mul_(2)
    with pytest.raises(CaptureError, match="DYD853"):
        compiled(x)
    torch.compiler.reset()
    torch.testing.assert_close(compiled(x)["y"], model(x)["y"])


def test_what_cannot_be_lowered_is_refused() -> None:
    class Singular(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            values: Tensor = torch.linalg.svdvals(x)
            return values

    with pytest.raises(LoweringError, match="DYD401"):
        torch.compile(Singular(), backend=backend)(torch.rand(1, 3, 8, 8))


def test_no_gradients_are_recorded() -> None:
    compiled = torch.compile(nn.Conv2d(3, 4, 3), backend=backend)
    with torch.enable_grad(), pytest.raises(CaptureError, match="DYD852"):
        compiled(torch.rand(1, 3, 8, 8))
