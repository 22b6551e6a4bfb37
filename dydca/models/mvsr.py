"""MVSR: the mobile video networks of an unpublished work log, as one network with its rows as options.

No code of these networks is public. Widths, kernels and counts follow from what the specification sheet (section 10)
derived from the log's parameter column; how the parts are wired inside a block is our choice, because parameters
cannot show it. Nothing here claims the log's quality or its FLOPs column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models.blocks import BSConvU, conv
from dydca.models.registry import Entry, Facts

CHANNELS = 16


@dataclass(frozen=True)
class Options:
    """The log's columns.

    Attributes:
        part: Channels that the partial layers convolve; the log's ratio is ``part / 16``.
        blocks: Number of blocks.
        window: Of the three partial layers of a block: ``split``, a 5x5 and a 5x5 of dilation 3; ``whole``, one
            17x17, the log's "no decomposition"; ``small``, one 3x3.
        attention: The same for the block's fourth partial layer; the log's default is ``small``.
        depthwise: All partial layers' windows are depthwise, the fourth's too, which the log does not tell.
        mix: Each partial layer ends in a pointwise layer over all channels, the log's FC.
        refine: A block's last layer: ``conv``, 3x3, or ``pointwise``, two 1x1, 1,776 parameters fewer per block.
        align: ``scaled``, 253 parameters; ``mixed``, with a 1x1 layer more, 265; ``none``, the frames are concatenated,
            convolved and mixed by a 1x1 layer, as in row 14.
        fuse: A 1x1 layer after the blocks, as in row 10.
        tail: ``conv``, 3x3 to 48 channels without bias; ``separable``, a BSConv; ``shared``, 16 channels for all three
            colours, 4,608 parameters fewer.
    """

    part: int = 8
    blocks: int = 4
    window: str = "split"
    attention: str = "small"
    depthwise: bool = False
    mix: bool = True
    refine: str = "conv"
    align: str = "scaled"
    fuse: bool = False
    tail: str = "conv"


class PartialLayer(nn.Module):
    """A large window on the first channels, the others copied, then a pointwise layer over all.

    Args:
        window: See `Options`.
        options: Of the network.
    """

    def __init__(self, window: str, options: Options) -> None:
        super().__init__()
        self.part = part = options.part
        layer = partial(nn.Conv2d, part, part, groups=part if options.depthwise else 1)
        kinds = {
            "split": lambda: [layer(5, padding=2), layer(5, padding=6, dilation=3)],
            "whole": lambda: [layer(17, padding=8)],
            "small": lambda: [layer(3, padding=1)],
        }
        self.window = nn.Sequential(*kinds[window]())
        self.mix = conv(CHANNELS, CHANNELS, 1) if options.mix else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 16, H, W]`` to the same shape."""
        touched = self.window(x[:, : self.part])
        y = touched if self.part == x.shape[1] else torch.cat((touched, x[:, self.part :]), dim=1)
        return functional.relu(self.mix(y))


class Block(nn.Module):
    """Four partial layers in a chain, their results fused, refined, gated by channel and added to the input.

    Args:
        options: Of the network.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        windows = [options.window] * 3 + [options.attention]
        self.layers = nn.ModuleList(PartialLayer(window, options) for window in windows)
        self.fuse = conv(4 * CHANNELS, CHANNELS, 1)
        point = partial(conv, CHANNELS, CHANNELS, 1)
        self.refine = (
            conv(CHANNELS, CHANNELS) if options.refine == "conv" else nn.Sequential(point(), nn.ReLU(), point())
        )
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), point(bias=False), nn.ReLU(), point(bias=False), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 16, H, W]`` to the same shape."""
        y, parts = x, []
        for layer in self.layers:
            y = layer(y)
            parts.append(y)
        y = self.refine(self.fuse(torch.cat(parts, dim=1)))
        out: Tensor = x + y * self.gate(y)
        return out


class Align(nn.Module):
    """Attention over the three frames at each pixel; the result, times a scalar that starts at 0, joins the middle one.

    Args:
        mixed: With a 1x1 layer on the result.
    """

    def __init__(self, *, mixed: bool) -> None:
        super().__init__()
        self.query, self.key, self.value = conv(3, 3), conv(3, 3), conv(3, 3)
        self.gain = nn.Parameter(torch.zeros(1))
        self.mix = conv(3, 3, 1) if mixed else nn.Identity()

    def forward(self, frames: Tensor) -> Tensor:
        """Map float ``[N, 9, H, W]``, the frames before, now and after, to float ``[N, 3, H, W]``."""
        each = frames.chunk(3, dim=1)
        query = self.query(each[1])
        scores = torch.cat([(query * self.key(frame)).sum(1, keepdim=True) for frame in each], dim=1)
        shares = torch.softmax(scores, dim=1).chunk(3, dim=1)
        seen = torch.stack([share * self.value(frame) for share, frame in zip(shares, each, strict=True)]).sum(0)
        out: Tensor = each[1] + self.gain * self.mix(seen)
        return out


class MVSR(nn.Module):
    """Three frames to the middle one, four times larger.

    Args:
        options: See `Options`.
    """

    def __init__(self, options: Options | None = None) -> None:
        super().__init__()
        self.options = chosen = options or Options()
        separable = partial(BSConvU, pointwise_bias=True)
        if chosen.align == "none":
            self.head = nn.Sequential(separable(9, CHANNELS), conv(CHANNELS, CHANNELS, 1))
        else:
            self.head = nn.Sequential(Align(mixed=chosen.align == "mixed"), separable(3, CHANNELS))
        self.body = nn.Sequential(*(Block(chosen) for _ in range(chosen.blocks)))
        self.fuse = conv(CHANNELS, CHANNELS, 1) if chosen.fuse else nn.Identity()
        tails: dict[str, Callable[[], nn.Module]] = {
            "conv": lambda: conv(CHANNELS, 48, bias=False),
            "separable": lambda: separable(CHANNELS, 48),
            "shared": lambda: conv(CHANNELS, 16, bias=False),
        }
        self.tail = tails[chosen.tail]()
        self.shuffle = nn.PixelShuffle(4)

    def forward(self, frames: Tensor) -> Tensor:
        """Upscale one frame.

        Args:
            frames: float ``[N, 9, H, W]``: the previous, the current and the next RGB frame, values in 0..1.

        Returns:
            float ``[N, 3, 4 * H, 4 * W]``, about 0..1, not clamped.
        """
        detail = self.tail(self.fuse(self.body(self.head(frames))))
        if self.options.tail == "shared":
            detail = detail.repeat(1, 3, 1, 1)
        skip = functional.interpolate(frames[:, 3:6], scale_factor=4, mode="bilinear", align_corners=False)
        picture: Tensor = self.shuffle(detail) + skip
        return picture


def count(options: Options) -> int:
    """The parameters of a row by the sheet's arithmetic, without building it.

    For the default layout and ``part = 2 k`` this is the sheet's ``2544 k**2 + 56 k + 27229``.
    """
    part = options.part
    pairs = part if options.depthwise else part * part
    windows = {"split": 50 * pairs + 2 * part, "whole": 289 * pairs + part, "small": 9 * pairs + part}
    layers = 3 * windows[options.window] + windows[options.attention] + (4 * 272 if options.mix else 0)
    block = layers + 3872 - (0 if options.refine == "conv" else 2320 - 544)
    head = {"scaled": 253 + 224, "mixed": 265 + 224, "none": 320 + 272}[options.align]
    tail = {"conv": 6912, "separable": 1296, "shared": 2304}[options.tail]
    return head + options.blocks * block + (272 if options.fuse else 0) + tail


# Named by width where the sheet's formula gives the count, by row where it describes that row alone, else by the one
# column that differs. Which of the log's 27 rows have which width is not in the sheet.
ROWS: dict[str, Options] = {
    **{f"c{part}": Options(part=part) for part in range(2, 17, 2)},
    "10": Options(blocks=3, depthwise=True, align="mixed", fuse=True),
    "13_1": Options(tail="separable"),
    "14": Options(align="none"),
    "depthwise": Options(depthwise=True),
    "mixed_align": Options(align="mixed"),
    "no_fc": Options(mix=False),
    "pointwise": Options(refine="pointwise"),
    "shared_tail": Options(tail="shared"),
    "swapped": Options(window="small", attention="split"),
    "whole": Options(window="whole"),
}


def _entries() -> Iterator[Entry]:
    note = "Only counts of parameters are known of the log's networks; the wiring is ours."
    facts = partial(Facts, scale=4, paper="work log, unpublished", inputs=(("frames", 9),), note=note)
    for row, options in ROWS.items():
        origin = "sheet" if row.startswith("c") else "counted"
        yield Entry(facts(f"mvsr_{row}", parameters=count(options), origin=origin), partial(MVSR, options))


ENTRIES = tuple(_entries())
