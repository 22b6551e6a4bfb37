"""ABPN: an anchor-based plain network, before and after equivalent transformation.

Paper: Du et al., "Anchor-based Plain Net for Mobile Image Super-Resolution", CVPR Workshops 2021. The PyTorch forms and
the transformed one are those compared in ETDS (CVPR 2023). Written from the description in the specification sheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from dydca.models.blocks import NearestConv, conv, repeat_colours
from dydca.models.registry import Entry, Facts

PAPER = "ABPN, CVPR Workshops 2021"


def _with_relu(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv(inputs, outputs), nn.ReLU())


class ABPN(nn.Module):
    """3x3 convolutions with ReLU, a linear one at the end, and the anchor added before the pixel shuffle.

    The first version is a TensorFlow network on values of 0..255 which clips its result and reads the channels before
    the shuffle in another order: ``(dy * scale + dx) * 3 + c`` where PyTorch reads ``c * scale**2 + dy * scale + dx``.
    This is the PyTorch version; `clip` gives the other one's range.

    Args:
        scale: Upscaling factor.
        blocks: Hidden layers.
        channels: Their width.
        nearest: Compute the anchor by a fixed 1x1 convolution instead of repeating channels; the values are the same.
        clip: Clip the result to 0..255, as the TensorFlow network does.
    """

    author_names: ClassVar = ((r"^backbone", "body"),)

    def __init__(self, scale: int, blocks: int, channels: int, *, nearest: bool = False, clip: bool = False) -> None:
        super().__init__()
        outputs = 3 * scale * scale
        self.scale, self.clip = scale, clip
        self.nearest = NearestConv(scale) if nearest else None
        self.body = nn.Sequential(
            conv(3, channels),
            nn.ReLU(),
            *(_with_relu(channels, channels) for _ in range(blocks)),
            conv(channels, outputs),
            nn.ReLU(),
            conv(outputs, outputs),
        )
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch of RGB pictures.

        Args:
            x: float ``[N, 3, H, W]``, values in 0..1, or in 0..255 with `clip`.

        Returns:
            float ``[N, 3, scale * H, scale * W]`` in the range of `x`, clipped only with `clip`.
        """
        anchor = repeat_colours(x, self.scale) if self.nearest is None else self.nearest(x)
        picture: Tensor = self.shuffle(self.body(x) + anchor)
        return picture.clamp(0, 255) if self.clip else picture


class ABPNEquivalent(nn.Module):
    """The same after equivalent transformation: the picture travels in 4 more channels and is clipped by two ReLUs.

    Args:
        scale: Upscaling factor.
        blocks: Hidden layers.
        channels: Width before the transformation.
    """

    author_names: ClassVar = ((r"^backbone", "body"),)

    def __init__(self, scale: int, blocks: int, channels: int) -> None:
        super().__init__()
        self.wanted = 3 * scale * scale
        wide, outputs = channels + 4, self.wanted + self.wanted % 2
        # An odd count is brought to 28 = 27 + 1; there 3 colours go along, elsewhere 3 and a spare channel.
        inner = self.wanted + (3 if self.wanted % 2 else 4)
        self.body = nn.Sequential(
            conv(3, wide),
            nn.ReLU(),
            *(_with_relu(wide, wide) for _ in range(blocks)),
            conv(wide, inner),
            nn.ReLU(),
            conv(inner, outputs),
            nn.ReLU(),
            conv(outputs, outputs, 1),
            nn.ReLU(),
        )
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]`` in 0..1."""
        y = self.body(x)
        if y.shape[1] > self.wanted:
            y = y[:, : self.wanted]
        picture: Tensor = self.shuffle(y)
        return picture


# (blocks, channels) -> per scale 2, 3, 4: parameters, GMAC, published PSNR, parameters after transformation
_TABLE = {
    (4, 28): ((33_464, 7.672, 37.36, 44_408), (42_539, 9.756, 33.53, 54_958), (62_048, 14.242, 31.32, 77_780)),
    (6, 40): ((93_400, 21.449, 37.58, 114_288), (104_095, 23.907, 33.71, 126_350), (125_872, 28.914, 31.62, 151_548)),
}


def _entries() -> Iterator[Entry]:
    for (blocks, channels), rows in _TABLE.items():
        name = f"abpn_m{blocks}c{channels}"
        for scale, (parameters, gmacs, psnr, after) in zip((2, 3, 4), rows, strict=True):
            facts = partial(Facts, scale=scale, paper=PAPER)
            build = partial(ABPN, scale, blocks, channels)
            yield Entry(facts(name, parameters=parameters, form="training", gmacs=gmacs, psnr=psnr), build)
            et = facts(f"{name}_et", parameters=after, form="ET", psnr=psnr, note="Exact for inputs of 0 or more.")
            yield Entry(et, partial(ABPNEquivalent, scale, blocks, channels))
            nearest = facts(f"{name}_nearest", parameters=parameters, form="training", psnr=psnr)
            yield Entry(nearest, partial(build, nearest=True))
    clipped = Facts("abpn_tf", 3, PAPER, 42_539, "training", 9.756, input_range=(0.0, 255.0))
    yield Entry(clipped, partial(ABPN, 3, 4, 28, clip=True))


ENTRIES = tuple(_entries())
