"""ETDS: two streams in training, one plain chain of convolutions in use.

Paper: Chao et al., "Equivalent Transformation and Dual Stream Network Construction for Mobile Image
Super-Resolution", CVPR 2023. Written from the description in the specification sheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models.blocks import conv, repeat_colours
from dydca.models.registry import Entry, Facts

PAPER = "ETDS, CVPR 2023"


@torch.no_grad()
def _set_identity(layer: nn.Conv2d, repeats: int = 1) -> None:
    """Makes output ``c * repeats + j`` a copy of input ``c``; the outputs beyond the inputs stay zero."""
    layer.weight.zero_()
    if layer.bias is not None:
        layer.bias.zero_()
    for row in range(min(layer.out_channels, layer.in_channels * repeats)):
        layer.weight[row, row // repeats, 1, 1] = 1.0


class ETDS(nn.Module):
    """The training form: a backbone of ``channels - residual`` channels beside a residual stream of `residual`.

    At its first step the residual stream copies the picture through every layer, so the second output starts as the
    nearest-neighbour enlargement.

    Args:
        scale: Upscaling factor.
        blocks: Hidden layers.
        channels: Width of both streams together, which is the width after the transformation.
        residual: Width of the residual stream, at least 3.
        to_backbone: Whether the residual stream feeds the backbone in every hidden layer; without it this is the
            ablation *residual*.
        to_residual: Whether the backbone feeds the residual stream as well, the ablation *advanced residual*.
    """

    author_names: ClassVar = (
        (r"^conv_residual_(first|last)", r"residual_\1"),
        (r"^conv_(first|last)", r"\1"),
        (r"^add_residual_convs", "to_backbone"),
        (r"^residual_convs", "residual_layers"),
        (r"^backbone_convs", "layers"),
    )

    def __init__(
        self,
        scale: int,
        blocks: int,
        channels: int,
        residual: int = 3,
        *,
        to_backbone: bool = True,
        to_residual: bool = False,
    ) -> None:
        super().__init__()
        if not channels > residual >= 3:
            raise ValueError(f"channels {channels} > residual {residual} >= 3 does not hold")
        main, outputs = channels - residual, 3 * scale * scale
        self.first, self.last = conv(3, main), conv(main, outputs)
        self.layers = nn.ModuleList(conv(main, main) for _ in range(blocks))
        self.residual_first, self.residual_last = conv(3, residual), conv(residual, outputs)
        self.residual_layers = nn.ModuleList(conv(residual, residual) for _ in range(blocks))
        self.to_backbone = nn.ModuleList(conv(residual, main) for _ in range(blocks if to_backbone else 0))
        self.to_residual = nn.ModuleList(conv(main, residual) for _ in range(blocks if to_residual else 0))
        self.shuffle = nn.PixelShuffle(scale)
        self._start_as_nearest(scale)

    def _start_as_nearest(self, scale: int) -> None:
        for layer in (self.residual_first, *self.residual_layers):
            assert isinstance(layer, nn.Conv2d)
            _set_identity(layer)
        _set_identity(self.residual_last, scale * scale)
        with torch.no_grad():
            for parameter in (*self.to_backbone.parameters(), *self.to_residual.parameters()):
                parameter.zero_()

    def residual_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that the authors keep frozen for their first 100,000 iterations."""
        for name, parameter in self.named_parameters():
            if name.startswith(("residual_", "to_")):
                yield parameter

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Upscale a batch of RGB pictures.

        Args:
            x: float ``[N, 3, H, W]``, values in 0..1.

        Returns:
            The picture and the part the residual stream gives to it, which the loss of the paper compares as well.
            Both float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped.
        """
        main, residual = functional.relu(self.first(x)), functional.relu(self.residual_first(x))
        for index, (layer, residual_layer) in enumerate(zip(self.layers, self.residual_layers, strict=True)):
            next_main, next_residual = layer(main), residual_layer(residual)
            if self.to_backbone:
                next_main = next_main + self.to_backbone[index](residual)
            if self.to_residual:
                next_residual = next_residual + self.to_residual[index](main)
            main, residual = functional.relu(next_main), functional.relu(next_residual)
        low: Tensor = self.shuffle(self.residual_last(residual))
        return self.shuffle(self.last(main)) + low, low


class ETDSInference(nn.Module):
    """The deployed form: a chain of convolutions, each followed by ReLU.

    The last two layers bound the picture: the first computes ``relu(1 - y)``, a 1x1 convolution turns it round. At
    scale 3 both have 28 channels, a multiple of 4, of which the last is dropped.

    Args:
        scale: Upscaling factor.
        blocks: Hidden layers.
        channels: Their width.
    """

    author_names: ClassVar = ((r"^conv_(first|last|clip)", r"\1"), (r"^backbone_convs", "layers"))

    def __init__(self, scale: int, blocks: int, channels: int) -> None:
        super().__init__()
        self.wanted = 3 * scale * scale
        outputs = self.wanted + self.wanted % 2
        self.first, self.last = conv(3, channels), conv(channels, outputs)
        self.layers = nn.ModuleList(conv(channels, channels) for _ in range(blocks))
        self.clip = conv(outputs, outputs, 1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]`` in 0..1."""
        y = functional.relu(self.first(x))
        for layer in self.layers:
            y = functional.relu(layer(y))
        y = functional.relu(self.clip(functional.relu(self.last(y))))
        if y.shape[1] > self.wanted:
            y = y[:, : self.wanted]
        picture: Tensor = self.shuffle(y)
        return picture


class ETDSOnlyET(nn.Module):
    """The ablation *only ET*: the backbone alone, with the repeated colours added before the shuffle.

    Args:
        scale: Upscaling factor.
        blocks: Hidden layers.
        channels: Width after the transformation; the backbone has 3 fewer.
    """

    author_names: ClassVar = ((r"^conv_(first|last)", r"\1"), (r"^backbone_convs", "layers"))

    def __init__(self, scale: int, blocks: int, channels: int) -> None:
        super().__init__()
        self.scale = scale
        self.first, self.last = conv(3, channels - 3), conv(channels - 3, 3 * scale * scale)
        self.layers = nn.ModuleList(conv(channels - 3, channels - 3) for _ in range(blocks))
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped."""
        y = functional.relu(self.first(x))
        for layer in self.layers:
            y = functional.relu(layer(y))
        picture: Tensor = self.shuffle(self.last(y) + repeat_colours(x, self.scale))
        return picture


# (blocks, channels) -> per scale 2, 3, 4: parameters in use, GMAC, published PSNR, parameters in training
_TABLE = {
    (5, 16): ((13_944, 3.185, 37.18, 12_110), (16_920, 3.863, 33.14, 14_300), (21_360, 4.877, 30.87, 17_366)),
    (4, 32): ((41_512, 9.522, 37.38, 38_352), (46_792, 10.731, 33.49, 42_702), (54_112, 12.408, 31.19, 48_792)),
    (6, 32): ((60_008, 13.769, 37.54, 55_340), (65_288, 14.978, 33.65, 59_690), (72_608, 16.655, 31.41, 65_780)),
    (7, 48): ((152_184, 34.969, 37.64, 143_850), (159_768, 36.709, 33.88, 150_360), (169_968, 39.050, 31.69, 159_474)),
}
_PAIR = ("picture", "residual stream's part")
_NEVER_TRAINED = "The authors' run froze the residual stream for good, so these weights compute what only_et does."


def _table_entries() -> Iterator[Entry]:
    for (blocks, channels), rows in _TABLE.items():
        name = f"etds_m{blocks}c{channels}"
        for scale, (used, gmacs, psnr, trained) in zip((2, 3, 4), rows, strict=True):
            training = Facts(name, scale, PAPER, trained, "training", psnr=psnr, outputs=_PAIR)
            if (name, scale) == ("etds_m6c32", 4):
                training = Facts(name, scale, PAPER, trained, "training", 15.042, psnr=psnr, outputs=_PAIR)
            yield Entry(training, partial(ETDS, scale, blocks, channels))
            inference = Facts(f"{name}_inference", scale, PAPER, used, "inference", gmacs, psnr=psnr)
            yield Entry(inference, partial(ETDSInference, scale, blocks, channels))


def _ablation_entries() -> Iterator[Entry]:
    base = "etds_m6c32"
    facts = partial(Facts, scale=4, paper=PAPER, form="ablation")
    both = partial(ETDS, 4, 6, 32)
    yield Entry(facts(f"{base}_only_et", parameters=58_976, gmacs=13.530, psnr=31.37), partial(ETDSOnlyET, 4, 6, 32))
    yield Entry(
        facts(f"{base}_only_residual", parameters=60_908, gmacs=13.960, psnr=31.38, outputs=_PAIR),
        partial(both, to_backbone=False),
    )
    yield Entry(
        facts(f"{base}_advanced_residual", parameters=70_496, gmacs=16.124, psnr=31.39, outputs=_PAIR),
        partial(both, to_residual=True),
    )
    yield Entry(
        facts(f"{base}_normal_loss", parameters=65_780, gmacs=15.042, psnr=31.37, outputs=_PAIR, note=_NEVER_TRAINED),
        both,
    )


ENTRIES = (*_table_entries(), *_ablation_entries())
