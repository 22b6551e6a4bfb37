"""ECBSR: a chain of edge-oriented blocks in training, of single 3x3 convolutions in use.

Paper: Zhang, Zeng and Zhang, "Edge-oriented Convolution Block for Real-time Super Resolution on Mobile Devices", ACM MM
2021. The RGB forms and the one after equivalent transformation are those compared in ETDS (CVPR 2023). Written from
the description in the specification sheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from dydca.models.blocks import conv, repeat_colours
from dydca.models.ecb import ECB, activation
from dydca.models.registry import Entry, Facts

PAPER = "ECBSR, ACM MM 2021"


class ECBSR(nn.Module):
    """A chain of ECBs with the picture added before the pixel shuffle: the training form.

    Args:
        scale: Upscaling factor.
        blocks: Hidden layers.
        channels: Their width.
        colours: 3, or 1 for luma alone as in the paper.
        act: See `activation`; the last block is linear.
        identity: See `ECB`.
        merge_in_eval: See `ECB`.
    """

    def __init__(
        self,
        scale: int,
        blocks: int,
        channels: int,
        colours: int = 3,
        act: str = "prelu",
        *,
        identity: bool = False,
        merge_in_eval: bool = False,
    ) -> None:
        super().__init__()
        block = partial(ECB, identity=identity, merge_in_eval=merge_in_eval)
        self.scale = scale
        self.body = nn.Sequential(
            block(colours, channels, act),
            *(block(channels, channels, act) for _ in range(blocks)),
            block(channels, colours * scale * scale, "linear"),
        )
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch of pictures.

        Args:
            x: float ``[N, colours, H, W]``; values in 0..1 for the RGB forms, in 0..255 for luma.

        Returns:
            float ``[N, colours, scale * H, scale * W]`` in the range of `x`, not clamped.
        """
        anchor = x if x.shape[1] == 1 else repeat_colours(x, self.scale)  # one colour is added to all by broadcasting
        picture: Tensor = self.shuffle(self.body(x) + anchor)
        return picture


class ECBSRMerged(ECBSR):
    """The same chain with one convolution per block: what the training form is merged to.

    Args:
        scale: Upscaling factor.
        blocks: Hidden layers.
        channels: Their width.
        colours: 3 or 1.
        act: See `activation`.
    """

    author_names: ClassVar = ((r"^backbone", "body"),)

    def __init__(self, scale: int, blocks: int, channels: int, colours: int = 3, act: str = "prelu") -> None:
        nn.Module.__init__(self)
        widths = [colours, *[channels] * (blocks + 1)]
        pairs = pairwise(widths)
        self.scale = scale
        self.body = nn.Sequential(
            *(nn.Sequential(conv(a, b), activation(act, b)) for a, b in pairs),
            nn.Sequential(conv(channels, colours * scale * scale)),
        )
        self.shuffle = nn.PixelShuffle(scale)


class ECBSREquivalent(nn.Module):
    """The merged RGB form after equivalent transformation: the picture travels in 4 more channels, clipped at the end.

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
        widths = [3, *[wide] * (blocks + 1)]
        self.body = nn.Sequential(
            *(nn.Sequential(conv(a, b), nn.PReLU(b)) for a, b in pairwise(widths)),
            nn.Sequential(conv(wide, outputs), nn.ReLU()),
            nn.Sequential(conv(outputs, outputs, 1), nn.ReLU()),
        )
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]`` in 0..1."""
        y = self.body(x)
        if y.shape[1] > self.wanted:
            y = y[:, : self.wanted]
        picture: Tensor = self.shuffle(y)
        return picture


# (blocks, channels) -> per scale 2, 3, 4: merged parameters, GMAC, published PSNR, parameters after transformation
_RGB = {
    (4, 16): ((11_548, 2.621, 37.18, 17_468), (13_723, 3.119, 33.07, 21_020), (16_768, 3.815, 30.87, 26_180)),
    (4, 32): ((41_516, 9.489, 37.39, 52_044), (45_851, 10.484, 33.56, 57_900), (51_920, 11.878, 31.24, 65_940)),
    (6, 40): ((92_372, 21.151, 37.61, 111_268), (97_787, 22.395, 33.67, 118_276), (105_368, 24.137, 31.41, 127_756)),
}
# of the training form all parameters and the trainable ones; the sheet states those of scale 4
_RGB_TRAINING = {
    (4, 16): ((47_088, 44_604), (61_578, 58_689), (95_472, 92_016)),
    (4, 32): ((165_856, 161_212), (183_706, 178_657), (222_304, 216_688)),
    (6, 40): ((358_952, 351_068), (378_482, 370_193), (419_432, 410_576)),
}
# (blocks, channels) -> per scale 2, 4: merged parameters, GMAC at 270 x 480, all and trainable parameters in
# training; of the last two the sheet states those of M4C16
_LUMA = {
    (4, 8): ((2_748, 0.345, 11_992, 10_804), (3_624, 0.457, 18_136, 16_624)),
    (4, 16): ((10_100, 1.288, 42_224, 39_956), (11_840, 1.512, 49_712, 47_120)),
    (10, 32): ((94_308, 12.131, 363_232, 353_620), (97_776, 12.579, 373_408, 363_472)),
    (16, 64): ((594_884, 76.81, 2_220_416, 2_190_932), (601_808, 77.71, 2_235_968, 2_206_160)),
}
_ON_THE_FLY = "In eval mode each call merges the kernels anew, as the authors' code does; the tensors are the same."


def _rgb_entries() -> Iterator[Entry]:
    for (blocks, channels), rows in _RGB.items():
        name = f"ecbsr_m{blocks}c{channels}"
        for scale, row, (total, trainable) in zip((2, 3, 4), rows, _RGB_TRAINING[blocks, channels], strict=True):
            parameters, gmacs, psnr, after = row
            facts = partial(Facts, scale=scale, paper=PAPER, psnr=psnr)
            training = partial(
                facts,
                form="training",
                parameters=total,
                trainable=trainable,
                origin="sheet" if scale == 4 else "counted",
            )
            build = partial(ECBSR, scale, blocks, channels)
            yield Entry(training(name), build)
            yield Entry(training(f"{name}_on_the_fly", note=_ON_THE_FLY), partial(build, merge_in_eval=True))
            merged = facts(f"{name}_merged", form="merged", parameters=parameters, gmacs=gmacs)
            yield Entry(merged, partial(ECBSRMerged, scale, blocks, channels))
            et = facts(f"{name}_et", form="ET", parameters=after, note="Exact for inputs of 0 or more.")
            yield Entry(et, partial(ECBSREquivalent, scale, blocks, channels))


def _luma_entries() -> Iterator[Entry]:
    for (blocks, channels), rows in _LUMA.items():
        name = f"ecbsr_y_m{blocks}c{channels}"
        for scale, (parameters, gmacs, total, trainable) in zip((2, 4), rows, strict=True):
            facts = partial(Facts, scale=scale, paper=PAPER, inputs=(("x", 1),), input_range=(0.0, 255.0))
            origin = "sheet" if (blocks, channels) == (4, 16) else "counted"
            training = facts(name, form="training", parameters=total, trainable=trainable, origin=origin)
            yield Entry(training, partial(ECBSR, scale, blocks, channels, 1, identity=True))
            merged = facts(f"{name}_merged", form="merged", parameters=parameters, gmacs=gmacs, lr_size=(270, 480))
            yield Entry(merged, partial(ECBSRMerged, scale, blocks, channels, 1))


ENTRIES = (*_rgb_entries(), *_luma_entries())
