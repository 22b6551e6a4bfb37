"""The small parts that several networks share: convolutions, norms, gates and attention over channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv(inputs: int, outputs: int, kernel: int = 3, *, bias: bool = True, groups: int = 1) -> nn.Conv2d:
    """A ``same`` convolution: the zero padding is ``kernel // 2``."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias, groups=groups)


def repeat_colours(x: Tensor, scale: int) -> Tensor:
    """Each channel ``scale ** 2`` times: float ``[N, C, H, W]`` to ``[N, C * scale**2, H, W]``.

    After a pixel shuffle this is the nearest-neighbour enlargement of `x`; the field calls it the anchor.
    """
    return x.repeat_interleave(scale * scale, dim=1)


class NearestConv(nn.Module):
    """The anchor as a fixed 1x1 convolution without bias: bit-equal to `repeat_colours`.

    Args:
        scale: Upscaling factor.
        colours: Channels of the picture.
    """

    weight: Tensor

    def __init__(self, scale: int, colours: int = 3) -> None:
        super().__init__()
        kernel = torch.eye(colours).repeat_interleave(scale * scale, dim=0)
        self.register_buffer("weight", kernel[:, :, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, colours, H, W]`` to float ``[N, colours * scale**2, H, W]``."""
        return functional.conv2d(x, self.weight)


class BSConvU(nn.Sequential):
    """A blueprint-separable convolution: pointwise, then depthwise (Haase and Amthor, CVPR 2020, BSConv-U).

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        kernel: Odd side of the depthwise window.
        pointwise_bias: The paper's pointwise convolution has none; the mobile-VSR work log counts one.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, *, pointwise_bias: bool = False) -> None:
        super().__init__(
            conv(inputs, outputs, 1, bias=pointwise_bias),
            conv(outputs, outputs, kernel, groups=outputs),
        )


class BSConvS(nn.Module):
    """BSConv-S: the pointwise part is itself split into two of low rank.

    Args:
        inputs: Channels of the input; the rank is a quarter of them, at least 4 and at most `inputs`.
        outputs: Channels of the output.
        kernel: Odd side of the depthwise window.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        rank = min(inputs, max(4, math.ceil(inputs / 4)))
        self.reduce = conv(inputs, rank, 1, bias=False)
        self.expand = conv(rank, outputs, 1, bias=False)
        self.spread = conv(outputs, outputs, kernel, groups=outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, inputs, H, W]`` to float ``[N, outputs, H, W]``."""
        y: Tensor = self.spread(self.expand(self.reduce(x)))
        return y

    def orthogonality_loss(self) -> Tensor:
        """The penalty of the paper: squared distance of the first kernel's Gram matrix from the identity."""
        rows = self.reduce.weight.flatten(1)
        return (rows @ rows.T - torch.eye(len(rows), dtype=rows.dtype, device=rows.device)).square().sum()


class PixelNorm(nn.Module):
    """LayerNorm over the channels at each pixel, with a learned gain and offset per channel.

    Args:
        channels: Channels of the input.
        eps: Added to the (biased) variance.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, channels, H, W]`` to the same shape."""
        rows = x.permute(0, 2, 3, 1)
        return functional.layer_norm(rows, rows.shape[-1:], self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class ECA(nn.Module):
    """Efficient channel attention (Wang et al., CVPR 2020): a gate from a small convolution along the channels.

    Args:
        channels: Channels of the input.
        gamma: The window is the odd number at or above ``(log2(channels) + 1) / gamma``.
    """

    def __init__(self, channels: int, gamma: float = 2.0) -> None:
        super().__init__()
        size = int(abs((math.log2(channels) + 1) / gamma))
        size += 1 - size % 2
        self.mix = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to the same shape."""
        mean = functional.adaptive_avg_pool2d(x, 1)
        gate = self.mix(mean.squeeze(-1).transpose(1, 2)).transpose(1, 2).unsqueeze(-1)
        return x * torch.sigmoid(gate)


class CCA(nn.Module):
    """Contrast-aware channel attention (IMDN): a gate from the deviation plus the mean of each channel.

    Args:
        channels: Channels of the input.
        reduction: The gate's hidden layer has ``channels // reduction`` channels.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.gate = nn.Sequential(conv(channels, hidden, 1), nn.ReLU(), conv(hidden, channels, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to the same shape."""
        pixels = x.size(2) * x.size(3)
        mean = x.sum(3, keepdim=True).sum(2, keepdim=True) / pixels
        variance = (x - mean).square().sum(3, keepdim=True).sum(2, keepdim=True) / pixels
        gated: Tensor = x * self.gate(variance.sqrt() + mean)
        return gated


class NAFBlock(nn.Module):
    """A block without activation functions (Chen et al., ECCV 2022): gates are products of two halves.

    Args:
        channels: Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = PixelNorm(channels), PixelNorm(channels)
        self.expand = conv(channels, 2 * channels, 1)
        self.spread = conv(2 * channels, 2 * channels, 3, groups=2 * channels)
        self.attend = conv(channels, channels, 1)
        self.reduce = conv(channels, channels, 1)
        self.feed, self.project = conv(channels, 2 * channels, 1), conv(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to the same shape."""
        left, right = self.spread(self.expand(self.norm1(x))).chunk(2, dim=1)
        gated = left * right
        gated = gated * self.attend(functional.adaptive_avg_pool2d(gated, 1))
        y: Tensor = x + self.beta * self.reduce(gated)
        left, right = self.feed(self.norm2(y)).chunk(2, dim=1)
        out: Tensor = y + self.gamma * self.project(left * right)
        return out


class PConv(nn.Module):
    """A partial convolution (FasterNet, Chen et al., CVPR 2023): the first channels convolved, the others copied.

    Args:
        channels: Channels of input and output.
        part: One in this many channels is convolved.
        slicing: Write into a clone, as the authors do for inference, instead of splitting and concatenating.
    """

    def __init__(self, channels: int, part: int = 4, *, slicing: bool = False) -> None:
        super().__init__()
        self.touched, self.slicing = channels // part, slicing
        self.convolve = conv(self.touched, self.touched, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to the same shape."""
        if self.slicing:
            x = x.clone()
            x[:, : self.touched] = self.convolve(x[:, : self.touched])
            return x
        return torch.cat((self.convolve(x[:, : self.touched]), x[:, self.touched :]), dim=1)


class FasterNetBlock(nn.Module):
    """A partial convolution, then two pointwise ones with batch norm between, and the input added.

    Args:
        channels: Channels of input and output.
        part: See `PConv`.
        widen: The inner layer has ``widen * channels`` channels.
        slicing: See `PConv`.
    """

    def __init__(self, channels: int, part: int = 4, widen: int = 2, *, slicing: bool = False) -> None:
        super().__init__()
        inner = widen * channels
        self.mix = PConv(channels, part, slicing=slicing)
        self.body = nn.Sequential(
            conv(channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(), conv(inner, channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to the same shape."""
        out: Tensor = x + self.body(self.mix(x))
        return out
