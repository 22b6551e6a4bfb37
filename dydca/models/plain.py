"""The baselines: a plain chain, ESPCN, FSRCNN and bicubic interpolation.

Papers: Shi et al., CVPR 2016 (ESPCN); Dong et al., ECCV 2016 (FSRCNN); the RGB forms are those compared in ETDS (CVPR
2023). Written from the description in the specification sheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models.blocks import conv
from dydca.models.registry import Entry, Facts


class Plain(nn.Module):
    """3x3 convolutions with ReLU, a linear one, a pixel shuffle; no residual.

    Args:
        scale: Upscaling factor.
        blocks: Hidden layers.
        channels: Their width.
    """

    author_names: ClassVar = ((r"^conv_(first|last)", r"\1"), (r"^backbone_convs", "layers"))

    def __init__(self, scale: int, blocks: int, channels: int) -> None:
        super().__init__()
        self.first, self.last = conv(3, channels), conv(channels, 3 * scale * scale)
        self.layers = nn.ModuleList(conv(channels, channels) for _ in range(blocks))
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped."""
        y = functional.relu(self.first(x))
        for layer in self.layers:
            y = functional.relu(layer(y))
        picture: Tensor = self.shuffle(self.last(y))
        return picture


class ESPCN(nn.Module):
    """Three convolutions with tanh, the pixel shuffle, and a sigmoid on the picture.

    Args:
        scale: Upscaling factor.
        colours: Channels of the picture.
    """

    def __init__(self, scale: int, colours: int = 3) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(colours, 64, 5), conv(64, 32)
        self.conv3 = conv(32, colours * scale * scale)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, colours, H, W]`` in 0..1 to float ``[N, colours, scale * H, scale * W]`` in 0..1."""
        y = torch.tanh(self.conv2(torch.tanh(self.conv1(x))))
        return torch.sigmoid(self.shuffle(self.conv3(y)))


class FSRCNN(nn.Module):
    """Shrink, four thin layers, expand, and a 9x9 transposed convolution that enlarges.

    Args:
        scale: Upscaling factor.
        channels: Width outside the thin layers.
        thin: Width of the thin layers.
        colours: Channels of the picture.
    """

    author_names: ClassVar = ((r"^first_part", "first"), (r"^mid_part", "middle"), (r"^last_part", "last"))

    def __init__(self, scale: int, channels: int = 56, thin: int = 12, colours: int = 3) -> None:
        super().__init__()
        self.first = nn.Sequential(conv(colours, channels, 5), nn.PReLU(channels))
        layers = chain.from_iterable((conv(thin, thin), nn.PReLU(thin)) for _ in range(4))
        self.middle = nn.Sequential(
            *(conv(channels, thin, 1), nn.PReLU(thin)), *layers, *(conv(thin, channels, 1), nn.PReLU(channels))
        )
        self.last = nn.ConvTranspose2d(channels, colours, 9, stride=scale, padding=4, output_padding=scale - 1)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        for layer in (*self.first, *self.middle):
            if isinstance(layer, nn.Conv2d):
                window = layer.kernel_size[0] * layer.kernel_size[1]
                nn.init.normal_(layer.weight, std=(2 / (layer.out_channels * window)) ** 0.5)
                if layer.bias is not None:
                    layer.bias.zero_()
        nn.init.normal_(self.last.weight, std=0.001)
        if self.last.bias is not None:
            self.last.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, colours, H, W]`` in 0..1 to float ``[N, colours, scale * H, scale * W]``, not clamped."""
        picture: Tensor = self.last(self.middle(self.first(x)))
        return picture


class Bicubic(nn.Module):
    """PyTorch's bicubic interpolation, pixel centres at halves.

    Args:
        scale: Upscaling factor.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to float ``[N, C, scale * H, scale * W]``; it can overshoot the range of `x`."""
        return functional.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)


_ESPCN = {2: (26_796, 6.149, 36.87), 3: (31_131, 7.144, 32.85), 4: (37_200, 8.538, 30.66)}
_FSRCNN = {2: 37.00, 3: 33.01, 4: 30.76}
_DECONVOLUTION = "Multiply-adds of the transposed convolution are counted per input pixel."


def _entries() -> Iterator[Entry]:
    yield Entry(Facts("plain_m6c32", 4, "ETDS, CVPR 2023", 70_256, gmacs=16.124), partial(Plain, 4, 6, 32))
    for scale in (2, 3, 4):
        parameters, gmacs, psnr = _ESPCN[scale]
        espcn = Facts("espcn", scale, "ESPCN, CVPR 2016", parameters, gmacs=gmacs, psnr=psnr)
        yield Entry(espcn, partial(ESPCN, scale))
        fsrcnn = Facts(
            "fsrcnn", scale, "FSRCNN, ECCV 2016", 24_683, gmacs=5.607, psnr=_FSRCNN[scale], note=_DECONVOLUTION
        )
        yield Entry(fsrcnn, partial(FSRCNN, scale))
        yield Entry(Facts("bicubic", scale, "Keys, 1981", 0, gmacs=0.0), partial(Bicubic, scale))


ENTRIES = tuple(_entries())
