"""IMDN: information distillation in steps, with contrast-aware channel attention; and its real-time forms.

Paper: Hui et al., "Lightweight Image Super-Resolution with Information Multi-distillation Network", ACM MM 2019.
Written from the description in the specification sheet. Of RTC and RTE it states sizes and parameter counts alone:
their wiring here is recalled, not looked up, and meets the counts exactly, which does not prove it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from dydca.models.blocks import CCA, conv
from dydca.models.registry import Entry, Facts

PAPER = "IMDN, ACM MM 2019"


class IMDB(nn.Module):
    """Four convolutions, of which each but the last sets a quarter of the channels aside; the quarters are fused.

    Args:
        channels: Channels of input and output.
        attention: `CCA` on the four quarters before the fusion.
    """

    def __init__(self, channels: int, *, attention: bool = True) -> None:
        super().__init__()
        self.kept = channels // 4
        rest = channels - self.kept
        self.steps = nn.ModuleList([conv(channels, channels), conv(rest, channels), conv(rest, channels)])
        self.last = conv(rest, self.kept)
        self.attention = CCA(channels) if attention else nn.Identity()
        self.fuse = conv(channels, channels, 1)
        self.act = nn.LeakyReLU(0.05)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to the same shape."""
        parts: list[Tensor] = []
        rest = x
        for step in self.steps:
            y = self.act(step(rest))
            part, rest = torch.split(y, [self.kept, y.shape[1] - self.kept], dim=1)
            parts.append(part)
        parts.append(self.last(rest))
        out: Tensor = self.fuse(self.attention(torch.cat(parts, dim=1))) + x
        return out


class IMDN(nn.Module):
    """All blocks' results are concatenated, fused, and added to the head's features.

    Args:
        scale: Upscaling factor of the shuffle.
        channels: Width.
        blocks: Number of blocks.
        shrink: Two stride-2 convolutions as head, so that a picture keeps its size at ``scale=4``: IMDN_AS.
    """

    def __init__(self, scale: int, channels: int = 64, blocks: int = 6, *, shrink: bool = False) -> None:
        super().__init__()
        halve = partial(nn.Conv2d, kernel_size=3, stride=2, padding=1)
        self.head = (
            nn.Sequential(halve(3, channels), nn.LeakyReLU(0.05), halve(channels, channels))
            if shrink
            else conv(3, channels)
        )
        self.body = nn.ModuleList(IMDB(channels) for _ in range(blocks))
        self.fuse = nn.Sequential(conv(channels * blocks, channels, 1), nn.LeakyReLU(0.05), conv(channels, channels))
        self.tail = nn.Sequential(conv(channels, 3 * scale * scale), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to a picture of `scale` times the head's size, not clamped."""
        y = shallow = self.head(x)
        parts: list[Tensor] = []
        for block in self.body:
            y = block(y)
            parts.append(y)
        picture: Tensor = self.tail(self.fuse(torch.cat(parts, dim=1)) + shallow)
        return picture


class IMDNRealTime(nn.Module):
    """IMDN_RTC: blocks without attention in a chain, a pointwise layer, and the head's features added.

    Args:
        scale: Upscaling factor.
        channels: Width.
        blocks: Number of blocks.
    """

    def __init__(self, scale: int, channels: int = 12, blocks: int = 5) -> None:
        super().__init__()
        self.head = conv(3, channels)
        self.body = nn.Sequential(*(IMDB(channels, attention=False) for _ in range(blocks)))
        self.fuse = conv(channels, channels, 1)
        self.tail = nn.Sequential(conv(channels, 3 * scale * scale), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]``, not clamped."""
        shallow = self.head(x)
        picture: Tensor = self.tail(self.fuse(self.body(shallow)) + shallow)
        return picture


class LongIMDB(nn.Module):
    """A block of six distilling convolutions without bias, the later ones thinner: that of IMDN_RTE.

    Args:
        channels: Channels of input and output, divisible by 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kept = part = channels // 4
        widths = [(4, 4), (3, 4), (3, 4), (3, 3), (2, 2), (1, 1)]
        self.steps = nn.ModuleList(conv(a * part, b * part, bias=False) for a, b in widths)
        self.fuse = conv(6 * part, channels, 1, bias=False)
        self.act = nn.LeakyReLU(0.05)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to the same shape."""
        parts: list[Tensor] = []
        rest = x
        for step in self.steps:
            y = self.act(step(rest))
            part, rest = y[:, : self.kept], y[:, self.kept :]
            parts.append(part)
        out: Tensor = self.fuse(torch.cat(parts, dim=1)) + x
        return out


class IMDNEnhance(nn.Module):
    """IMDN_RTE: works at half the picture's size, so its shuffle of ``2 * scale`` gives `scale` times the picture.

    Args:
        scale: Upscaling factor.
        channels: Width.
        blocks: Number of blocks.
    """

    def __init__(self, scale: int, channels: int = 20, blocks: int = 6) -> None:
        super().__init__()
        factor = 2 * scale
        self.head = nn.Sequential(
            conv(3, channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False)
        )
        self.body = nn.Sequential(*(LongIMDB(channels) for _ in range(blocks)))
        self.fuse = conv(channels, channels, 1, bias=False)
        self.tail = nn.Sequential(conv(channels, 3 * factor * factor), nn.PixelShuffle(factor))

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1, H and W even, to float ``[N, 3, scale * H, scale * W]``."""
        shallow = self.head(x)
        picture: Tensor = self.tail(self.fuse(self.body(shallow)) + shallow)
        return picture


_WIRING = "The wiring is recalled and unproven; the parameter count is met exactly."


def _entries() -> Iterator[Entry]:
    facts = partial(Facts, paper=PAPER, lr_size=(180, 320))
    table = {2: (694_404, 39.69, 38.00), 3: (703_059, 40.19, 34.36), 4: (715_176, 40.89, 32.21)}
    for scale, (parameters, gmacs, psnr) in table.items():
        yield Entry(facts("imdn", scale, parameters=parameters, gmacs=gmacs, psnr=psnr), partial(IMDN, scale))
    yield Entry(facts("imdn_as", 1, parameters=752_104, multiple_of=4), partial(IMDN, 4, shrink=True))
    rtc = Facts("imdn_rtc", 2, PAPER, 20_190, gmacs=1.719, lr_size=(240, 360), psnr=37.31, note=_WIRING)
    yield Entry(rtc, partial(IMDNRealTime, 2))
    rte = Facts("imdn_rte", 2, PAPER, 89_748, multiple_of=2, note=_WIRING)
    yield Entry(rte, partial(IMDNEnhance, 2))


ENTRIES = tuple(_entries())
