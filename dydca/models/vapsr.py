"""VapSR: large-kernel attention between pointwise layers, normalised over channels at each pixel.

Paper: Zhou et al., "Efficient Image Super-Resolution using Vast-Receptive-Field Attention", ECCV Workshops 2022.
Written from the description in the specification sheet.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from dydca.models.blocks import PixelNorm, conv
from dydca.models.registry import Entry, Facts


class VastAttention(nn.Module):
    """The input times a pointwise, a 5x5 and a dilated 5x5 depthwise convolution of it; 17x17 pixels are seen.

    Args:
        channels: Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.point = conv(channels, channels, 1)
        self.window = conv(channels, channels, 5, groups=channels)
        self.spread = nn.Conv2d(channels, channels, 5, padding=6, dilation=3, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to the same shape."""
        gated: Tensor = x * self.spread(self.window(self.point(x)))
        return gated


class VAB(nn.Module):
    """The block: widen, GELU, attention, back, add the input, then norm; the skip lies inside the norm.

    Args:
        channels: Channels of input and output.
        inner: Channels of the attention.
    """

    def __init__(self, channels: int, inner: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(channels, inner, 1), nn.GELU(), VastAttention(inner), conv(inner, channels, 1))
        self.norm = PixelNorm(channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to the same shape."""
        out: Tensor = self.norm(x + self.body(x))
        return out


class VapSR(nn.Module):
    """A head, a chain of `VAB`, a convolution with the long skip, and an upsampler.

    Args:
        scale: 2, 3 or 4.
        blocks: Number of blocks.
        channels: Width.
        groups: Groups of the convolution after the blocks; 2 in VapSR-S.
    """

    def __init__(self, scale: int, blocks: int, channels: int, groups: int = 1) -> None:
        super().__init__()
        self.head = conv(3, channels)
        self.body = nn.Sequential(*(VAB(channels) for _ in range(blocks)))
        self.fuse = conv(channels, channels, groups=groups)
        self.tail = self._tail(scale, channels)

    @staticmethod
    def _tail(scale: int, channels: int) -> nn.Sequential:
        act = nn.LeakyReLU(0.1)
        if scale == 4:
            double = nn.PixelShuffle(2)
            return nn.Sequential(conv(channels, 64), double, act, conv(16, 12), double)
        return nn.Sequential(conv(channels, 56), act, conv(56, 3 * scale * scale), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped."""
        shallow = self.head(x)
        picture: Tensor = self.tail(self.fuse(self.body(shallow)) + shallow)
        return picture


_facts = partial(Facts, paper="VapSR, ECCV Workshops 2022", lr_size=(180, 320))
ENTRIES = (
    Entry(_facts("vapsr", 2, parameters=329_236, gmacs=18.494, psnr=38.11), partial(VapSR, 2, 20, 48)),
    Entry(_facts("vapsr", 3, parameters=336_811, gmacs=18.929, psnr=34.53), partial(VapSR, 3, 20, 48)),
    Entry(_facts("vapsr", 4, parameters=342_220, gmacs=19.517, psnr=32.38), partial(VapSR, 4, 21, 48)),
    Entry(_facts("vapsr_s", 4, parameters=154_956, gmacs=8.993, psnr=32.14), partial(VapSR, 4, 11, 32, groups=2)),
)
