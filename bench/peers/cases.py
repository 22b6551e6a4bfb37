"""The networks every engine runs, each in the form and at the sizes the table states."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

SEED = 0


@dataclass(frozen=True)
class Case:
    """One network and what one pass of it is: a call, or a stream of calls of several sizes.

    Attributes:
        title: What the README calls it.
        network: Builds it from the torch seed alone; torch is imported inside, for no engine but dydca and torch
            itself calls this.
        sizes: Heights and widths it is called at.
        channels: Of each input, every one ``[1, channels, height, width]``.
        top: Inputs are uniform in 0..top.
        stream: Calls in one pass, at sizes drawn at random; 0 for one call at the only size.
        memory: Whether peak memory is measured as well.
        exported: The same function as converters take it best, where `network` is written in another way.
        traced: The same for ncnn's converter alone.
    """

    title: str
    network: Callable[[], nn.Module]
    sizes: tuple[tuple[int, int], ...]
    channels: tuple[int, ...] = (3,)
    top: float = 1.0
    stream: int = 0
    memory: bool = False
    exported: Callable[[], nn.Module] | None = None
    traced: Callable[[], nn.Module] | None = None

    def build(self) -> nn.Module:
        """The network in eval mode, the same weights at every call."""
        return _seeded(self.network)

    def build_exported(self) -> nn.Module:
        """What converters are given, with the same weights."""
        return _seeded(self.exported or self.network)

    def build_traced(self) -> nn.Module:
        """What ncnn's converter is given, with the same weights."""
        return _seeded(self.traced or self.exported or self.network)

    @property
    def order(self) -> list[int]:
        """The position in `sizes` of every call of one pass."""
        return random.Random(SEED).choices(range(len(self.sizes)), k=self.stream) if self.stream else [0]


def _seeded(network: Callable[[], nn.Module]) -> nn.Module:
    import torch

    torch.manual_seed(SEED)
    return network().eval().requires_grad_(False)


def _zoo(name: str, scale: int) -> nn.Module:
    import dydca.models

    return dydca.models.create(name, scale)


def _padded_ecbsr() -> nn.Module:
    from bench.peers.forms import PaddedFrames

    return PaddedFrames(_zoo("ecbsr_y_m4c16", 2))


def _plain() -> nn.Module:
    from dydca.models.plain import Plain

    return Plain(2, 6, 32)


def _wdsr(blocks: int) -> nn.Module:
    from bench.peers.forms import FoldedWDSR
    from dydca.models import WDSR

    return FoldedWDSR(WDSR(2, blocks, width=2))


def _rt4ksr() -> nn.Module:
    from dydca.models.rt4ksr import RT4KSR, Options

    return RT4KSR(2, options=Options(kind="base", high_frequency=False))


_COARSE, _QUADRANT = (108, 96), (54, 48)
_STREAM = tuple((9 * n // 2, 4 * n) for n in (6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28))
_PLAIN = "plain net, 6 hidden 3x3 of 32, x2"
_DEEP, _SHALLOW = "Dy-DCA deep route, x2", "Dy-DCA shallow route, x2"

CASES: dict[str, Case] = {
    "plain_360": Case(_PLAIN, _plain, ((360, 640),)),
    "plain_540": Case(_PLAIN, _plain, ((540, 960),), memory=True),
    "etds_m": Case("ETDS-M, x2", partial(_zoo, "etds_m6c32_inference", 2), ((360, 640),)),
    "abpn": Case(
        "ABPN M4C28, x3",
        partial(_zoo, "abpn_m4c28", 3),
        ((360, 640),),
        traced=partial(_zoo, "abpn_m4c28_nearest", 3),  # ncnn has no repeat_interleave
    ),
    "ecbsr_merged": Case("ECBSR M4C16 Y merged, x2", partial(_zoo, "ecbsr_y_m4c16_merged", 2), ((360, 640),), (1,)),
    "ecbsr_training": Case(
        "ECBSR M4C16 Y five branches, x2",
        partial(_zoo, "ecbsr_y_m4c16", 2),
        ((360, 640),),
        (1,),
        exported=_padded_ecbsr,  # as written, its frame writes become scatters in ONNX, which are four times as slow
    ),
    "deep_108": Case(_DEEP, partial(_wdsr, 4), (_COARSE,)),
    "deep_54": Case(_DEEP, partial(_wdsr, 4), (_QUADRANT,)),
    "shallow_108": Case(_SHALLOW, partial(_wdsr, 2), (_COARSE,)),
    "shallow_54": Case(_SHALLOW, partial(_wdsr, 2), (_QUADRANT,)),
    "rt4ksr": Case("RT4KSR merged, x2", _rt4ksr, ((1080, 1920),)),
    "swrn": Case("SWRN, x4", partial(_zoo, "swrn", 4), ((180, 320),), (9, 32)),
    "vapsr_s": Case("VapSR-S, x4", partial(_zoo, "vapsr_s", 4), ((180, 320),)),
    "fsrcnn": Case("FSRCNN, x2", partial(_zoo, "fsrcnn", 2), ((360, 640),)),
    "imdn_rtc": Case("IMDN-RTC, x2", partial(_zoo, "imdn_rtc", 2), ((240, 360),)),
    "stream_deep": Case(_DEEP, partial(_wdsr, 4), _STREAM, stream=100),
    "stream_shallow": Case(_SHALLOW, partial(_wdsr, 2), _STREAM, stream=100),
}
