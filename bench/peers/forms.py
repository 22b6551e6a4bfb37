"""Networks in the best form a user could hand to an engine."""

from __future__ import annotations

from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models import WDSR, Block, WeightNormConv2d, ecb


class FoldedWDSR(nn.Module):
    """`WDSR` with every weight norm folded into a plain convolution, and its input left as it is."""

    def __init__(self, network: WDSR) -> None:
        super().__init__()
        self.image_mean = network.image_mean
        self.head, self.tail, self.skip = _folded(network.head), _folded(network.tail), _folded(network.skip)
        self.body = nn.Sequential(*(_folded_body(block) for block in network.body))
        self.shuffle = network.shuffle

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]``."""
        x = x - self.image_mean
        y = self.head(x)
        for block in self.body:
            y = block(y) + y
        picture: Tensor = self.shuffle(self.tail(y) + self.skip(x)) + self.image_mean
        return picture


def _folded_body(block: nn.Module) -> nn.Sequential:
    assert isinstance(block, Block)
    return nn.Sequential(*map(_folded, block.body))


def _folded(layer: nn.Module) -> nn.Module:
    if not isinstance(layer, WeightNormConv2d):
        return nn.ReLU()
    kernel = layer.kernel_size[0]
    plain = nn.Conv2d(layer.in_channels, layer.out_channels, kernel, padding=kernel // 2)
    plain.weight = nn.Parameter(torch._weight_norm(layer.weight_v, layer.weight_g, 0).detach())
    plain.bias = layer.bias
    return plain


class PaddedFrames(nn.Module):
    """A network whose blocks pad with a bias, by one padding in place of writes to the four borders of a copy."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Whatever the network computes."""
        with mock.patch.object(ecb, "pad_with_bias", _pad_at_once):
            picture: Tensor = self.network(x)
        return picture


def _pad_at_once(x: Tensor, bias: Tensor) -> Tensor:
    shaped = bias.view(1, -1, 1, 1)
    return functional.pad(x - shaped, (1, 1, 1, 1)) + shaped
