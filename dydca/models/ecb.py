"""The edge-oriented convolution block: five parallel branches that equal one 3x3 convolution, borders included.

Paper: Zhang, Zeng and Zhang, "Edge-oriented Convolution Block for Real-time Super Resolution on Mobile Devices", ACM MM
2021. Written from the description in the specification sheet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models.blocks import conv

_SOBEL_X = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))
_SOBEL_Y = ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0))
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


def activation(name: str, channels: int) -> nn.Module:
    """The activations the authors offer: ``prelu``, ``relu``, ``rrelu``, ``softplus`` or ``linear``."""
    choices: dict[str, Callable[[], nn.Module]] = {
        "prelu": partial(nn.PReLU, channels),
        "relu": nn.ReLU,
        "rrelu": partial(nn.RReLU, -0.05, 0.05),
        "softplus": nn.Softplus,
        "linear": nn.Identity,
    }
    return choices[name]()


def pad_with_bias(y: Tensor, bias: Tensor) -> Tensor:
    """A frame of one pixel holding `bias` around ``[N, C, H, W]``: what a 1x1 convolution makes of zero padding."""
    y = functional.pad(y, (1, 1, 1, 1))
    frame = bias.view(1, -1, 1, 1)
    y[:, :, 0:1, :] = frame
    y[:, :, -1:, :] = frame
    y[:, :, :, 0:1] = frame
    y[:, :, :, -1:] = frame
    return y


class ExpandSqueeze(nn.Module):
    """The branch that widens by a 1x1 convolution before its 3x3 one.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        multiplier: The inner layer has ``int(multiplier * outputs)`` channels.
    """

    def __init__(self, inputs: int, outputs: int, multiplier: float) -> None:
        super().__init__()
        inner = int(multiplier * outputs)
        self.point, self.window = nn.Conv2d(inputs, inner, 1), nn.Conv2d(inner, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, inputs, H, W]`` to float ``[N, outputs, H, W]``."""
        assert self.point.bias is not None
        y: Tensor = self.window(pad_with_bias(self.point(x), self.point.bias))
        return y

    def merged(self) -> tuple[Tensor, Tensor]:
        """Kernel and bias of the one 3x3 convolution it equals."""
        point, window = self.point, self.window
        assert point.bias is not None
        assert window.bias is not None
        kernel = functional.conv2d(window.weight, point.weight.transpose(0, 1))
        return kernel, window.bias + (window.weight.sum((2, 3)) @ point.bias)


class Edge(nn.Module):
    """A branch that sees edges only: a 1x1 convolution, then a fixed 3x3 mask times a learned factor per channel.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        mask: Sobel or Laplace, 3x3.
    """

    def __init__(self, inputs: int, outputs: int, mask: tuple[tuple[float, ...], ...]) -> None:
        super().__init__()
        self.point = nn.Conv2d(inputs, outputs, 1)
        self.scale = nn.Parameter(torch.randn(outputs, 1, 1, 1) * 1e-3)
        self.bias = nn.Parameter(torch.randn(outputs) * 1e-3)
        # The authors keep the mask as a frozen parameter, and their parameter counts contain it.
        self.mask = nn.Parameter(torch.tensor(mask).repeat(outputs, 1, 1, 1), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, inputs, H, W]`` to float ``[N, outputs, H, W]``."""
        assert self.point.bias is not None
        y = pad_with_bias(self.point(x), self.point.bias)
        return functional.conv2d(y, self.scale * self.mask, self.bias, groups=len(self.bias))

    def merged(self) -> tuple[Tensor, Tensor]:
        """Kernel and bias of the one 3x3 convolution it equals; each mask sums to 0, so the 1x1 bias falls out."""
        return self.scale * self.mask * self.point.weight, self.bias


class ECB(nn.Module):
    """The edge-oriented block: the sum of five branches, then the activation.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        act: See `activation`.
        identity: Add the input as a sixth branch, where `inputs` equals `outputs`.
        multiplier: See `ExpandSqueeze`.
        merge_in_eval: In eval mode compute the merged kernel anew at each call and run one convolution, as the
            authors' code does. The default runs the branches in both modes, so that a compiler sees them.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        act: str = "prelu",
        *,
        identity: bool = False,
        multiplier: float = 2.0,
        merge_in_eval: bool = False,
    ) -> None:
        super().__init__()
        self.identity = identity and inputs == outputs
        self.merge_in_eval = merge_in_eval
        self.plain = conv(inputs, outputs)
        self.wide = ExpandSqueeze(inputs, outputs, multiplier)
        self.sobel_x = Edge(inputs, outputs, _SOBEL_X)
        self.sobel_y = Edge(inputs, outputs, _SOBEL_Y)
        self.laplacian = Edge(inputs, outputs, _LAPLACIAN)
        self.act = activation(act, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, inputs, H, W]`` to float ``[N, outputs, H, W]``."""
        if self.merge_in_eval and not self.training:
            y = functional.conv2d(x, *self._merged(), padding=1)
        else:
            y = self.plain(x) + self.wide(x) + self.sobel_x(x) + self.sobel_y(x) + self.laplacian(x)
            if self.identity:
                y = y + x
        out: Tensor = self.act(y)
        return out

    def _merged(self) -> tuple[Tensor, Tensor]:
        parts = [part.merged() for part in (self.wide, self.sobel_x, self.sobel_y, self.laplacian)]
        assert self.plain.bias is not None
        kernel = self.plain.weight + torch.stack([part[0] for part in parts]).sum(0)
        if self.identity:
            centre = torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)[:, :, None, None]
            kernel = kernel + functional.pad(centre, (1, 1, 1, 1))
        return kernel, self.plain.bias + torch.stack([part[1] for part in parts]).sum(0)
