"""The two-route super-resolution network of Dy-DCA: small patches take a deep body, large ones a shallow body.

Source: the Dy-DCA paper and its description in the project's specification sheet; written anew. Dy-DCA sends the
patches of a frame that are hard to upscale, which its grid cuts small, through four residual blocks and the others
through two.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models.registry import Entry, Facts


class WeightNormConv2d(nn.Conv2d):
    """A ``same`` convolution whose kernel is ``gain * v / |v|``, one norm and one gain per output channel.

    The values, gradients and exported graph (`aten._weight_norm`) are those of
    `torch.nn.utils.parametrizations.weight_norm`. That one swaps in a class made at run time, which pickle refuses;
    a network of this layer can be saved whole and read back by torch's ``weights_only`` unpickler.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        kernel: Odd side of the square window; the zero padding is ``kernel // 2``.
        gain: First value of every output channel's norm.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = 1.0) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        direction = self.weight.detach()
        del self.weight
        self.weight_g = nn.Parameter(torch.full((outputs, 1, 1, 1), gain))
        self.weight_v = nn.Parameter(direction)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, inputs, H, W]`` to float ``[N, outputs, H, W]``."""
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        return functional.conv2d(x, weight, self.bias, padding=self.padding)


class Block(nn.Module):
    """A residual block that widens before its ReLU: ``x + conv(relu(conv(x)))``.

    Args:
        channels: Channels of input and output.
        width: The inner convolution has ``width * channels`` channels.
        gain: First gain of the second convolution; ``blocks ** -0.5`` keeps the variance of a chain of blocks.
    """

    def __init__(self, channels: int, width: int, gain: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            WeightNormConv2d(channels, width * channels, 3, gain=2.0),
            nn.ReLU(inplace=True),
            WeightNormConv2d(width * channels, channels, 3, gain=gain),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, channels, H, W]`` to the same shape."""
        out: Tensor = self.body(x) + x
        return out


class WDSR(nn.Module):
    """A weight-normalised wide-activation network with a 5x5 skip: one route of `DynamicWDSR`.

    Args:
        scale: Upscaling factor, 1 or more.
        blocks: Number of residual blocks.
        width: Widening inside a block.
        channels: Channels between blocks.
        image_mean: Subtracted from the input and added to the output.
    """

    def __init__(self, scale: int, blocks: int, width: int, channels: int = 32, image_mean: float = 0.5) -> None:
        super().__init__()
        self.image_mean = image_mean
        outputs = 3 * scale * scale
        self.head = WeightNormConv2d(3, channels, 3)
        self.body = nn.Sequential(*(Block(channels, width, gain=blocks**-0.5) for _ in range(blocks)))
        self.tail = WeightNormConv2d(channels, outputs, 3)
        self.skip = WeightNormConv2d(3, outputs, 5)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch of RGB patches.

        The mean is taken off **in place, so the caller's tensor changes**, as in the original network: a compiler for
        such networks must cope with it. Pass a clone where the values are needed again.

        Args:
            x: float ``[N, 3, H, W]``, values in 0..1. Overwritten with ``x - image_mean``.

        Returns:
            float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped.
        """
        x -= self.image_mean
        y: Tensor = self.shuffle(self.tail(self.body(self.head(x))) + self.skip(x))
        y += self.image_mean
        return y


class DynamicWDSR(nn.Module):
    """Dy-DCA's network: four blocks for patches lower than `patch_limit`, two blocks for the others.

    Args:
        scale: Upscaling factor.
        patch_limit: Patches of fewer rows than this take the deep route.
    """

    def __init__(self, scale: int = 2, patch_limit: int = 70) -> None:
        super().__init__()
        self.scale = scale
        self.patch_limit = patch_limit
        self.deep = WDSR(scale, blocks=4, width=2)
        self.shallow = WDSR(scale, blocks=2, width=2)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch of RGB patches of one size on the route their height chooses.

        Args:
            x: float ``[N, 3, H, W]``, values in 0..1. **Changed in place**, see `WDSR.forward`.

        Returns:
            float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped.
        """
        route = self.shallow
        if x.shape[2] < self.patch_limit:
            route = self.deep
        y: Tensor = route(x)
        return y


class GatedWDSR(nn.Module):
    """The same two routes, chosen by what a patch shows: a small classifier looks at it first.

    Not of the paper, whose figure shows such a gate while its code tests the height.

    Args:
        scale: Upscaling factor.
    """

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.deep = WDSR(scale, blocks=4, width=2)
        self.shallow = WDSR(scale, blocks=2, width=2)
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU()
        )
        self.decide = nn.Linear(16, 1)

    def score(self, x: Tensor) -> Tensor:
        """How much each patch asks for the deep route: float ``[N, 3, H, W]`` to float ``[N, 1]``, 0 is the border."""
        score: Tensor = self.decide(self.features(x).mean((2, 3)))
        return score

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch of RGB patches of one size, all on the route that their mean score chooses.

        Args:
            x: float ``[N, 3, H, W]``, values in 0..1. **Changed in place**, see `WDSR.forward`.

        Returns:
            float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped.
        """
        route = self.shallow
        if self.score(x).mean() > 0:
            route = self.deep
        y: Tensor = route(x)
        return y


# scale -> low resolution of a 1080p frame; parameters of both routes, deep, shallow; GMAC of deep, shallow
_TABLE = {
    2: ((540, 960), 233_000, 153_556, 79_444, 79.15, 40.93),
    3: ((360, 640), 244_010, 159_061, 84_949, 36.43, 19.44),
    4: ((270, 480), 259_424, 166_768, 92_656, 21.48, 11.93),
}


def _entries() -> Iterator[Entry]:
    note = "Overwrites its input."
    for scale, (size, total, deep, shallow, deep_gmacs, shallow_gmacs) in _TABLE.items():
        facts = partial(Facts, scale=scale, paper="Dy-DCA, ECCV 2024", form="training", lr_size=size)
        two = facts("dydca_wdsr", parameters=total, gmacs=shallow_gmacs, note=f"{note} Under 70 rows the deep route.")
        yield Entry(two, partial(DynamicWDSR, scale))
        one = facts("wdsr_b4w2", parameters=deep, gmacs=deep_gmacs, note=note)
        yield Entry(one, partial(WDSR, scale, blocks=4, width=2))
        other = facts("wdsr_b2w2", parameters=shallow, gmacs=shallow_gmacs, note=note)
        yield Entry(other, partial(WDSR, scale, blocks=2, width=2))


ENTRIES = tuple(_entries())
