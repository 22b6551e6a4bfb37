"""One block of the field at a time: a head, two such blocks, and a pixel shuffle.

These are no networks of any paper. They let a compiler meet each block alone, and a user try one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from dydca.models.blocks import CCA, ECA, BSConvS, BSConvU, FasterNetBlock, NAFBlock, PixelNorm, conv
from dydca.models.registry import Entry, Facts


class BlockChain(nn.Module):
    """A 3x3 head, blocks, the head's features added, a 3x3 tail and a pixel shuffle.

    Args:
        scale: Upscaling factor.
        block: Makes a block of a number of channels.
        channels: Width.
        blocks: Number of blocks.
    """

    def __init__(self, scale: int, block: Callable[[int], nn.Module], channels: int = 16, blocks: int = 2) -> None:
        super().__init__()
        self.head, self.tail = conv(3, channels), conv(channels, 3 * scale * scale)
        self.body = nn.Sequential(*(block(channels) for _ in range(blocks)))
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]``, not clamped."""
        shallow = self.head(x)
        picture: Tensor = self.shuffle(self.tail(self.body(shallow) + shallow))
        return picture


def _and_conv(block: Callable[[int], nn.Module], channels: int) -> nn.Module:
    return nn.Sequential(conv(channels, channels), nn.ReLU(), block(channels))


def _square(block: Callable[[int, int], nn.Module], channels: int) -> nn.Module:
    return nn.Sequential(block(channels, channels), nn.ReLU())


# name -> block, parameters of two such blocks of 16 channels
_BLOCKS: dict[str, tuple[Callable[[int], nn.Module], int]] = {
    "naf": (NAFBlock, 2 * 2_320),
    "bsconv_u": (partial(_square, BSConvU), 2 * (256 + 160)),
    "bsconv_s": (partial(_square, BSConvS), 2 * (64 + 64 + 160)),
    "fasternet": (FasterNetBlock, 2 * (144 + 512 + 64 + 512)),
    "fasternet_slicing": (partial(FasterNetBlock, slicing=True), 2 * (144 + 512 + 64 + 512)),
    "eca": (partial(_and_conv, ECA), 2 * (2_320 + 3)),
    "cca": (partial(_and_conv, partial(CCA, reduction=2)), 2 * (2_320 + 280)),
    "pixel_norm": (partial(_and_conv, PixelNorm), 2 * (2_320 + 32)),
}
_AROUND = 448 + 1_740  # head and tail at scale 2

ENTRIES = tuple(
    Entry(
        Facts(f"block_{name}", 2, "none; one block alone", _AROUND + own, origin="counted"),
        partial(BlockChain, 2, block),
    )
    for name, (block, own) in _BLOCKS.items()
)
