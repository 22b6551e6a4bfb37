"""The norm over channels against layer_norm in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dydca.lower.kernels.channel_norm import ChannelNorm
from dydca.lower.kernels.epilogue import Operand, Step
from dydca.lower.kernels.layer import Layer
from dydca.lower.layout import Layout, PictureShape
from tests.lower.native_kernel import HOST
from tests.lower.native_rows import NativeRows

TOLERANCE = 1e-5
"""Largest error relative to the largest output, for a mean ten times the deviation."""


def norm(
    shape: PictureShape, *, halos: tuple[int, int] = (0, 0), lanes: int = HOST.lanes, **epilogue: object
) -> ChannelNorm:
    source, target = (Layout(lanes, halo) for halo in halos)
    return ChannelNorm(Layer(source, shape, target, shape, **epilogue), lanes, 1e-6)  # type: ignore[arg-type]


def normalised(x: torch.Tensor) -> torch.Tensor:
    rows = x.double().permute(0, 2, 3, 1)
    return F.layer_norm(rows, rows.shape[-1:], eps=1e-6).permute(0, 3, 1, 2)


def picture(shape: PictureShape) -> torch.Tensor:
    return torch.randn(shape) + 10


@pytest.mark.parametrize("channels", [1, 7, 16, 24, 33, 64])
@pytest.mark.parametrize("width", [1, 15, 16, 17, 37])
def test_channels_and_widths(channels: int, width: int) -> None:
    shape = 2, channels, 3, width
    native, x = NativeRows(norm(shape)), picture(shape)
    native.put(x.numpy())
    want = normalised(x)
    for got in native.every_cut():
        assert np.abs(got - want.numpy()).max() <= TOLERANCE * max(want.abs().max().item(), 1e-3)


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_halos_epilogue_and_every_vector_length(lanes: int) -> None:
    shape = 1, 21, 4, 19
    gain, offset, residual = torch.randn(21), torch.randn(21), torch.randn(shape)
    steps = Step("multiply", (), 0), Step("add", (), 1), Step("gelu"), Step("add", (), 2)
    channels = Operand(Layout(lanes, 0), (1, 21, 1, 1))
    operands = channels, channels, Operand(Layout(lanes, 1), shape)
    native = NativeRows(norm(shape, halos=(2, 1), lanes=lanes, steps=steps, operands=operands))
    x = picture(shape)
    native.put(x.numpy(), [gain.numpy(), offset.numpy(), residual.numpy()])
    scaled = normalised(x) * gain.view(-1, 1, 1) + offset.view(-1, 1, 1)
    want = (F.gelu(scaled) + residual).numpy()
    first, *others = native.every_cut()
    assert np.abs(first - want).max() <= TOLERANCE * np.abs(want).max()
    assert all(np.array_equal(other, first) for other in others)


def test_equal_channels_are_zero_not_nan() -> None:
    native = NativeRows(norm((1, 20, 1, 5)))
    native.put(np.full((1, 20, 1, 5), 3e4, np.float32))
    assert np.abs(native.run()).max() <= 1e-2  # 3e4 rounds, and the deviation is next to nothing
