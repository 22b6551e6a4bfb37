"""RT4KSR: real-time upscaling to 4K by working on a shrunken picture and re-parameterised residual blocks.

Paper: Zamfir, Conde and Timofte, "Towards Real-Time 4K Image Super-Resolution", CVPR Workshops 2023. Written from the
description in the specification sheet. The released code holds one architecture; the options below that it lacks are
known by name only, and their docstrings say what was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models.blocks import ECA, BSConvU, NAFBlock, PixelNorm, conv
from dydca.models.ecb import pad_with_bias
from dydca.models.registry import Entry, Facts

PAPER = "RT4KSR, CVPR Workshops 2023"


class ResBlock(nn.Module):
    """The training form of one 3x3 convolution: expand, convolve with an inner skip, reduce, outer skip.

    Args:
        channels: Channels of input and output.
        ratio: The inner layers have ``ratio * channels`` channels.
    """

    def __init__(self, channels: int, ratio: int = 2) -> None:
        super().__init__()
        inner = ratio * channels
        self.expand, self.reduce = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)
        self.window = nn.Conv2d(inner, inner, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to the same shape."""
        assert self.expand.bias is not None
        wide = self.expand(x)
        out: Tensor = self.reduce(self.window(pad_with_bias(wide, self.expand.bias)) + wide) + x
        return out


class SimplifiedBlock(nn.Module):
    """Norm, one (re-parameterised) convolution, activation, and optionally channel attention and a skip.

    With attention the result is ``y * ECA(y)``, the square of y times the gate: the released code multiplies twice.

    Args:
        convolution: The convolution's module.
        channels: Channels of input and output.
        act: One module, which all blocks share.
        options: Of the network.
    """

    def __init__(self, convolution: nn.Module, channels: int, act: nn.Module, options: Options) -> None:
        super().__init__()
        self.norm = PixelNorm(channels) if options.layernorm else nn.Identity()
        self.convolution, self.act = convolution, act
        self.attention = ECA(channels, options.eca_gamma) if options.eca_gamma else None
        self.residual = options.residual

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, C, H, W]`` to the same shape."""
        y: Tensor = self.act(self.convolution(self.norm(x)))
        if self.attention is not None:
            y = y * self.attention(y)
        return y + x if self.residual else y


@dataclass(frozen=True)
class Options:
    """The released code has the first five options; of the others it has the names, and the reading is ours.

    Attributes:
        eca_gamma: 0 for no channel attention, else see `blocks.ECA`.
        forget: Add the branch of high frequencies, times a learned factor that starts at 0, to the deep features.
        layernorm: Norm in front of each block.
        residual: Skip around each block.
        act: ``gelu``, ``relu`` or ``prelu``.
        kind: ``rep``: `ResBlock`, the training form. ``base``: the single 3x3 convolution it is merged to.
        block: ``simplified`` is that of the released code. The others are obvious choices behind the names in the
            README: ``base`` two 3x3 convolutions and a skip, ``dconvbase`` these separable, ``nafbase`` a `NAFBlock`,
            ``repbase`` a `ResBlock` alone.
        high_frequency: ``use-hfb``. Without it the branch does not exist at all.
        gaussian: ``use-gaussian``. Without it a 5x5 box blur separates the high frequencies.
        downscaling: How far the picture is shrunk first; 1 for not at all.
        unshuffle: Shrink by pixel unshuffle; otherwise by a 3x3 convolution of that stride.
        squeeze: A 1x1 convolution brings the unshuffled channels to half before the head.
        auxiliary: ``aux-loss``. A second picture, made by an upsampler of its own from the head's features.
    """

    eca_gamma: float = 0.0
    forget: bool = False
    layernorm: bool = True
    residual: bool = False
    act: str = "gelu"
    kind: str = "rep"
    block: str = "simplified"
    high_frequency: bool = True
    gaussian: bool = True
    downscaling: int = 2
    unshuffle: bool = True
    squeeze: bool = False
    auxiliary: bool = False

    def __post_init__(self) -> None:
        if self.forget and not self.high_frequency:
            raise ValueError("forget adds the branch that high_frequency=False leaves out")

    def convolution(self, channels: int) -> nn.Module:
        """`ResBlock` or its merged form."""
        return ResBlock(channels) if self.kind == "rep" else conv(channels, channels)

    def body_block(self, channels: int, act: nn.Module) -> nn.Module:
        """One block of the body."""
        kinds: dict[str, Callable[[], nn.Module]] = {
            "simplified": lambda: SimplifiedBlock(self.convolution(channels), channels, act, self),
            "base": lambda: _Skip(conv(channels, channels), act, conv(channels, channels)),
            "dconvbase": lambda: _Skip(BSConvU(channels, channels), act, BSConvU(channels, channels)),
            "nafbase": lambda: NAFBlock(channels),
            "repbase": lambda: ResBlock(channels),
        }
        return kinds[self.block]()


class _Skip(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = nn.Sequential.forward(self, x) + x  # type: ignore[no-untyped-call]
        return out


class Blur(nn.Module):
    """A fixed 5x5 blur of each colour with reflected borders: Gaussian of one pixel, or box."""

    kernel: Tensor

    def __init__(self, *, gaussian: bool) -> None:
        super().__init__()
        line = torch.exp(-torch.linspace(-2, 2, 5).square() / 2) if gaussian else torch.ones(5)
        line = line / line.sum()
        self.register_buffer("kernel", (line[:, None] * line).repeat(3, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` to the same shape; H and W are at least 3."""
        return functional.conv2d(functional.pad(x, (2, 2, 2, 2), mode="reflect"), self.kernel, groups=3)


class RT4KSR(nn.Module):
    """Shrink, a body of few wide blocks, and a pixel shuffle that undoes the shrinking as well.

    Unless ``options.forget``, the branch of high frequencies is computed and not used, as in the released network.

    Args:
        scale: Upscaling factor, 2 or 3 in the paper.
        channels: Width.
        blocks: Blocks of the body.
        options: See `Options`.
    """

    author_names: ClassVar = (
        (r"(expand|reduce)_conv", r"\1"),
        (r"fea_conv", "window"),
        (r"^(body\.\d+)\.conv1", r"\1.convolution"),
    )

    def __init__(self, scale: int, channels: int = 24, blocks: int = 4, options: Options | None = None) -> None:
        super().__init__()
        self.options = chosen = options or Options()
        act = {"gelu": nn.GELU, "relu": nn.ReLU, "prelu": nn.PReLU}[chosen.act]()
        folded = inputs = 3 * (factor := chosen.downscaling) ** 2
        shrink = nn.PixelUnshuffle(factor) if chosen.unshuffle else nn.Conv2d(3, folded, 3, factor, padding=1)
        self.shrink = nn.Sequential(shrink)
        if chosen.squeeze:
            self.shrink.append(conv(folded, inputs := folded // 2, 1))
        self.head = nn.Sequential(conv(inputs, channels))
        self.body = nn.Sequential(*(chosen.body_block(channels, act) for _ in range(blocks)))
        norm = PixelNorm(channels) if chosen.layernorm else nn.Identity()
        self.tail = nn.Sequential(norm, chosen.convolution(channels))
        if chosen.high_frequency:
            self.blur = Blur(gaussian=chosen.gaussian)
            self.hfb = nn.Sequential(chosen.convolution(channels), act)
            self.gamma = nn.Parameter(torch.zeros(1))
        self.upsample = self._upsampler(scale, channels)
        self.auxiliary = self._upsampler(scale, channels) if chosen.auxiliary else None

    def _upsampler(self, scale: int, channels: int) -> nn.Sequential:
        factor = scale * self.options.downscaling
        return nn.Sequential(conv(channels, 3 * factor * factor), nn.PixelShuffle(factor))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Upscale a batch of RGB pictures.

        Args:
            x: float ``[N, 3, H, W]``, values in 0..1; H and W divisible by ``options.downscaling`` and at least 3.

        Returns:
            float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped; with ``options.auxiliary`` two of these.
        """
        shallow = self.head(self.shrink(x))
        deep = self.body(shallow)
        if self.options.high_frequency:
            high = self.hfb(self.head(self.shrink(x - self.blur(x))))
            if self.options.forget:
                deep = self.gamma * deep + high
        picture: Tensor = self.upsample(self.tail(deep))
        return picture if self.auxiliary is None else (picture, self.auxiliary(shallow))


_facts = partial(Facts, paper=PAPER, lr_size=(540, 960), multiple_of=2, smallest=4, note="See Options.")
_ALTERNATIVES: dict[str, tuple[Options, int]] = {
    "forget": (Options(forget=True), 152_233),
    "eca": (Options(eca_gamma=2.0, residual=True), 152_245),
    "box": (Options(gaussian=False, forget=True, act="prelu"), 152_234),
    "no_hfb": (Options(high_frequency=False), 129_072),
    "strided": (Options(unshuffle=False, high_frequency=False), 129_408),
    "squeeze": (Options(squeeze=True), 151_015),
    "auxiliary": (Options(auxiliary=True), 162_649),
    "block_base": (Options(block="base"), 101_065),
    "block_dconvbase": (Options(block="dconvbase"), 65_929),
    "block_nafbase": (Options(block="nafbase"), 78_697),
    "block_repbase": (Options(block="repbase"), 152_041),
}


def _entries() -> Iterator[Entry]:
    # training parameters, GMAC; merged parameters, GMAC (dead branch included); PSNR
    table = {2: (152_233, 19.97, 44_521, 6.085, 36.14), 3: (165_253, 21.65, 57_541, 7.765, 32.20)}
    for scale, (parameters, gmacs, merged, merged_gmacs, psnr) in table.items():
        facts = partial(
            _facts,
            scale=scale,
            psnr=psnr,
            note="The PSNR was measured with the released weights; none on luma is published.",
        )
        training = facts("rt4ksr", parameters=parameters, gmacs=gmacs, form="training")
        yield Entry(training, partial(RT4KSR, scale))
        base = facts("rt4ksr_base", parameters=merged, gmacs=merged_gmacs, form="merged")
        yield Entry(base, partial(RT4KSR, scale, options=Options(kind="base")))
    for name, (options, count) in _ALTERNATIVES.items():
        outputs = ("picture", "auxiliary picture")[: 1 + options.auxiliary]
        option = _facts(f"rt4ksr_{name}", 2, parameters=count, form="training", origin="counted", outputs=outputs)
        yield Entry(option, partial(RT4KSR, 2, options=options))


ENTRIES = tuple(_entries())
