"""Results stored over an operand that dies: the same numbers, less memory, and never over what is still needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import dydca
from dydca.lower.kernels.epilogue import Operand, Step
from dydca.lower.kernels.layer import Layer
from dydca.lower.kernels.move import Move
from dydca.lower.kernels.rows import RowKernel
from dydca.lower.layout import Layout
from dydca.lower.lower import lower
from dydca.lower.targets import find_target
from dydca.passes import default_passes, run_passes
from tests.lower.native_kernel import compile_kernels, pointers

TOLERANCE = 1e-5
"""Of the reference's largest value: up to four layers of F(6)."""

WIDTHS = (48, 29, 5)
"""Whole tiles of F(6) and whole vectors, tiles moved in from the edge, and a picture narrower than a tile."""


def conv(inputs: int, outputs: int, kernel: int = 3, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups)


class Net(nn.Module):
    def __init__(self, body: Callable[[nn.ModuleList, Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.body, self.head, self.layers, self.tail = body, conv(3, 20), nn.ModuleList(layers), conv(20, 20)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.tail(self.body(self.layers, self.head(x)))[:, :12], 2)


def channel_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],)).permute(0, 3, 1, 2)


NETWORKS = {
    "Winograd": (1, Net(lambda m, x: x + m[1](F.relu(m[0](x))), conv(20, 20), conv(20, 20))),
    "direct": (1, Net(lambda m, x: x - m[1](F.relu(m[0](x))), conv(20, 20), conv(20, 20, 5))),
    "depthwise": (1, Net(lambda m, x: x * m[1](F.relu(m[0](x))), conv(20, 20), conv(20, 20, 3, groups=20))),
    "normalised": (1, Net(lambda m, x: x + channel_norm(m[0](x)), conv(20, 20))),
    "read by the convolution itself": (0, Net(lambda m, x: x + m[0](x), conv(20, 20))),
    "read once more": (1, Net(lambda m, x: F.relu(m[0](x + m[1](x))) * x, conv(20, 20), conv(20, 20))),
}
"""With the number of calls that store over an operand."""


def stored_over(model: nn.Module, patch: tuple[int, ...]) -> int:
    (variant,) = run_passes(dydca.capture(model, [patch]), default_passes()).variants
    (calls,) = lower({"p": [variant]}, find_target("host"))
    return sum(isinstance(call.kernel, RowKernel) and call.kernel.over is not None for call in calls.calls)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_stored_over_an_operand_is_what_eager_computes(name: str) -> None:
    count, model = NETWORKS[name]
    patches = [(1, 3, 23, width) for width in WIDTHS]
    assert stored_over(model.eval(), patches[0]) == count
    with dydca.compile(model, patches, threads=2) as network, torch.no_grad():
        for x in map(torch.rand, patches):
            want = model(x)
            assert (network(x) - want).abs().max() <= TOLERANCE * want.abs().max()


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("over", ["x", "operand0"])
@pytest.mark.parametrize("width", [5, 8])
def test_elementwise_chains_store_over_what_they_read(block: int, over: str, width: int) -> None:
    shape, lies = (2, 8, 3, width), Layout(block, 1)
    layer = Layer(lies, shape, lies, shape, 1, (Step("relu"), Step("add", (), 0)), (Operand(lies, shape),))
    kernel = Move(layer, 4, over=over)
    assert over in kernel.beside
    assert kernel.stores_once == (block > 1 or width == 8)
    if kernel.stores_once:
        x, beside = (np.random.default_rng(seed).standard_normal(shape, np.float32) for seed in (0, 1))
        buffers = {"x": lies.packed(x), "operand0": lies.packed(beside)}
        buffers["y"] = buffers.pop(over)
        (function,) = compile_kernels([kernel])
        function(*pointers({name: buffers[name] for name in kernel.parameters()}), 0, kernel.extent)
        assert np.array_equal(buffers["y"], lies.packed(np.maximum(x, 0) + beside))
