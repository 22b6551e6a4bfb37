"""Networks that pad the picture to what their insides can divide, and cut the result back.

They behave as SwinIR (Liang et al., ICCV Workshops 2021) and NAFNet (Chen et al., ECCV 2022) do and are like them in
structure only: sizes are ours, and no published weights fit. Written from the description in the specification sheet.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models.blocks import NAFBlock, conv
from dydca.models.registry import Entry, Facts


def to_windows(x: Tensor, side: int) -> Tensor:
    """Float ``[N, H, W, C]`` to ``[N * H/side * W/side, side * side, C]``; `side` divides H and W."""
    batch, height, width, channels = x.shape
    cut = x.view(batch, height // side, side, width // side, side, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(-1, side * side, channels)


def from_windows(windows: Tensor, side: int, height: int, width: int) -> Tensor:
    """The inverse of `to_windows`."""
    cut = windows.view(-1, height // side, width // side, side, side, windows.shape[-1])
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, windows.shape[-1])


class WindowBlock(nn.Module):
    """Attention inside square windows, then a perceptron, each with norm in front and the input added.

    Args:
        channels: Channels, divisible by `heads`.
        side: Side of a window.
        heads: Attention heads.
        shift: The picture is rolled by this many pixels first; pixels that were not neighbours do not see each other.
    """

    def __init__(self, channels: int, side: int, heads: int, shift: int) -> None:
        super().__init__()
        self.side, self.heads, self.shift = side, heads, shift
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv, self.project = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.bias = nn.Parameter(torch.zeros(heads, side * side, side * side))
        self.feed = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, H, W, C]`` to the same shape; `side` divides H and W."""
        height, width = x.shape[1], x.shape[2]
        y = self.norm1(x)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), dims=(1, 2))
        y = from_windows(self._attend(to_windows(y, self.side), height, width), self.side, height, width)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), dims=(1, 2))
        x = x + y
        out: Tensor = x + self.feed(self.norm2(x))
        return out

    def _attend(self, windows: Tensor, height: int, width: int) -> Tensor:
        count, pixels, channels = windows.shape
        split = self.qkv(windows).view(count, pixels, 3, self.heads, channels // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-2, -1) * (channels // self.heads) ** -0.5 + self.bias
        if self.shift:
            mask = self._mask(height, width, windows)
            scores = scores.view(-1, mask.shape[0], self.heads, pixels, pixels) + mask[:, None]
            scores = scores.view(count, self.heads, pixels, pixels)
        mixed = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2).reshape(count, pixels, channels)
        out: Tensor = self.project(mixed)
        return out

    def _mask(self, height: int, width: int, like: Tensor) -> Tensor:
        """-100 between pixels of a window that come from different parts of the rolled picture, else 0."""
        rows, columns = (torch.arange(size, device=like.device) for size in (height, width))
        row_part = (rows >= height - self.side).long() + (rows >= height - self.shift).long()
        column_part = (columns >= width - self.side).long() + (columns >= width - self.shift).long()
        part = (3 * row_part[:, None] + column_part)[None, :, :, None]
        parts = to_windows(part, self.side).squeeze(-1)
        return (parts[:, None, :] != parts[:, :, None]).to(like.dtype) * -100.0


class WindowSR(nn.Module):
    """Reflects the picture up to a multiple of the window, attends within windows, and cuts the result, as SwinIR.

    Args:
        scale: Upscaling factor.
        channels: Width.
        blocks: Number of blocks; every second one is shifted by half a window.
        side: Side of a window.
        heads: Attention heads.
    """

    def __init__(self, scale: int, channels: int = 24, blocks: int = 2, side: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.scale, self.side = scale, side
        self.head = conv(3, channels)
        self.body = nn.Sequential(
            *(WindowBlock(channels, side, heads, shift=(index % 2) * (side // 2)) for index in range(blocks))
        )
        self.fuse = conv(channels, channels)
        self.tail = nn.Sequential(conv(channels, 3 * scale * scale), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch of RGB pictures.

        Args:
            x: float ``[N, 3, H, W]``, values in 0..1, H and W more than half of `side`, as reflection asks.

        Returns:
            float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped.
        """
        height, width = x.shape[2], x.shape[3]
        below, right = (self.side - height % self.side) % self.side, (self.side - width % self.side) % self.side
        x = functional.pad(x, (0, right, 0, below), mode="reflect")
        shallow = self.head(x)
        deep = self.body(shallow.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        picture: Tensor = self.tail(self.fuse(deep) + shallow)
        return picture[:, :, : height * self.scale, : width * self.scale]


class UNet(nn.Module):
    """Pads with zeros to a multiple of ``2 ** levels``, goes down and up again, and cuts the result, as NAFNet.

    Args:
        channels: Width at full size; it doubles at each level.
        levels: How often the size is halved.
    """

    def __init__(self, channels: int = 8, levels: int = 2) -> None:
        super().__init__()
        self.multiple = 2**levels
        widths = [channels * 2**level for level in range(levels + 1)]
        self.head, self.tail = conv(3, channels), conv(channels, 3)
        self.encoders = nn.ModuleList(NAFBlock(width) for width in widths[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(width, 2 * width, 2, stride=2) for width in widths[:-1])
        self.middle = NAFBlock(widths[-1])
        self.ups = nn.ModuleList(
            nn.Sequential(conv(width, 2 * width, 1, bias=False), nn.PixelShuffle(2)) for width in widths[:0:-1]
        )
        self.decoders = nn.ModuleList(NAFBlock(width) for width in widths[-2::-1])

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch of RGB pictures.

        Args:
            x: float ``[N, 3, H, W]``, values in 0..1.

        Returns:
            The same shape, about 0..1, not clamped.
        """
        height, width = x.shape[2], x.shape[3]
        below, right = (-height) % self.multiple, (-width) % self.multiple
        x = functional.pad(x, (0, right, 0, below))
        y, kept = self.head(x), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            y = encoder(y)
            kept.append(y)
            y = down(y)
        y = self.middle(y)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            y = decoder(up(y) + kept.pop())
        restored: Tensor = self.tail(y) + x
        return restored[:, :, :height, :width]


_facts = partial(Facts, origin="counted", note="Like the paper in structure; sizes are ours.")
ENTRIES = (
    Entry(_facts("window_sr", 2, "like SwinIR, ICCV Workshops 2021", 34_612, smallest=5), partial(WindowSR, 2)),
    Entry(_facts("window_sr", 4, "like SwinIR, ICCV Workshops 2021", 42_424, smallest=5), partial(WindowSR, 4)),
    Entry(_facts("unet_naf", 1, "like NAFNet, ECCV 2022", 19_899), UNet),
)
