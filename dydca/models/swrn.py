"""SWRN: a sliding-window recurrent network for video, with two hidden streams that travel from frame to frame.

Paper: Lian and Lian, "Sliding Window Recurrent Network for Efficient Video Super-Resolution", ECCV Workshops 2022.
Written from the description in the specification sheet, which follows the authors' TensorFlow network.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models.blocks import BSConvU, conv
from dydca.models.registry import Entry, Facts


class SplitMixer(nn.Module):
    """Four pointwise perceptrons on the halves of 64 channels, in two rounds with the halves exchanged between.

    What the mobile-VSR work log says of its SWAT networks fixes the parameters, 8,320 per unit of `ratio` and 128
    more; the wiring is our choice.

    Args:
        ratio: The perceptrons' hidden layers have ``32 * ratio`` channels.
        channels: Channels of each half.
    """

    def __init__(self, ratio: int, channels: int = 32) -> None:
        super().__init__()
        inner = channels * ratio
        self.rounds = nn.ModuleList(
            nn.Sequential(conv(channels, inner, 1), nn.ReLU(), conv(inner, channels, 1)) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 2 * channels, H, W]`` to the same shape."""
        left, right = x.chunk(2, dim=1)
        for first, second in zip(self.rounds[0::2], self.rounds[1::2], strict=True):
            left, right = right + second(right), left + first(left)
        return torch.cat((left, right), dim=1)


class Stream(nn.Module):
    """One direction: the neighbour frame, the current one and this direction's hidden state to features.

    Args:
        channels: Width.
        layers: Convolutions after the first.
        separable: A BSConv with both biases as the first layer, as in the work log's SWAT_3_5; 2,656 parameters fewer.
    """

    def __init__(self, channels: int, layers: int, *, separable: bool = False) -> None:
        super().__init__()
        inputs = 6 + channels
        first = BSConvU(inputs, channels, pointwise_bias=True) if separable else conv(inputs, channels)
        self.layers = nn.ModuleList([first, *(conv(channels, channels) for _ in range(layers))])

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 6 + channels, H, W]`` to float ``[N, channels, H, W]``."""
        for layer in self.layers:
            x = functional.relu(layer(x))
        return x


class SWRN(nn.Module):
    """Three frames and the hidden state in, the middle frame four times larger and the new hidden state out.

    The TensorFlow original reads the channels before the shuffle in another order than PyTorch; no weights exist to
    which that matters.

    Args:
        channels: Width of each direction.
        layers: Convolutions of each direction and of the fusion after the first of each.
        scale: Upscaling factor.
        separable: See `Stream`; both directions together have 5,312 parameters fewer.
        hidden: The convolutions that make the new hidden state: ``biased``, ``unbiased`` (32 parameters fewer) or
            ``none`` (another 4,608 fewer; the features themselves are the state), as the work log's rows differ.
        mix_ratio: 0, or a `SplitMixer` on the features and the hidden state before they are fused.
    """

    def __init__(
        self,
        channels: int = 16,
        layers: int = 3,
        scale: int = 4,
        *,
        separable: bool = False,
        hidden: str = "biased",
        mix_ratio: int = 0,
    ) -> None:
        super().__init__()
        self.channels, self.scale = channels, scale
        self.forwards = Stream(channels, layers, separable=separable)
        self.backwards = Stream(channels, layers, separable=separable)
        state = partial(conv, channels, channels, bias=hidden == "biased")
        self.forwards_state = nn.Identity() if hidden == "none" else state()
        self.backwards_state = nn.Identity() if hidden == "none" else state()
        self.mixer = SplitMixer(mix_ratio, 2 * channels) if mix_ratio else None
        fusion = [conv(2 * channels, channels), *(conv(channels, channels) for _ in range(layers))]
        self.fusion = nn.ModuleList(fusion)
        self.last = conv(channels, 3 * scale * scale)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, frames: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Upscale one frame.

        Args:
            frames: float ``[N, 9, H, W]``: the previous, the current and the next RGB frame, values in 0..255.
            hidden: float ``[N, 2 * channels, H, W]``: the state after the frame before; zeros at the start.

        Returns:
            The picture, float ``[N, 3, scale * H, scale * W]``, in eval mode clipped to 0..255; and the new state.
        """
        previous, current, following = frames.chunk(3, dim=1)
        onward, back = hidden.chunk(2, dim=1)
        ahead = self.forwards(torch.cat((previous, current, onward), dim=1))
        behind = self.backwards(torch.cat((following, current, back), dim=1))
        state = torch.cat((self.forwards_state(ahead), self.backwards_state(behind)), dim=1)
        y = torch.cat((ahead, behind), dim=1)
        if self.mixer is not None:
            left, right = self.mixer(torch.cat((y, state), dim=1)).chunk(2, dim=1)
            y = left + right
        for layer in self.fusion:
            y = functional.relu(layer(y))
        skip = functional.interpolate(current, scale_factor=self.scale, mode="bilinear", align_corners=False)
        picture = self.shuffle(self.last(y)) + skip
        return (picture if self.training else picture.clamp(0, 255)), state


def upscale_sequence(model: SWRN, frames: Tensor) -> Tensor:
    """Upscale a whole clip; at its ends the first and the last frame stand in for the missing neighbours.

    Args:
        model: The network.
        frames: float ``[N, T, 3, H, W]``, values in 0..255, T at least 1.

    Returns:
        float ``[N, T, 3, scale * H, scale * W]``.
    """
    batch, length, _, height, width = frames.shape
    hidden = frames.new_zeros(batch, 2 * model.channels, height, width)
    pictures: list[Tensor] = []
    for now in range(length):
        window = frames[:, [max(now - 1, 0), now, min(now + 1, length - 1)]].flatten(1, 2)
        picture, hidden = model(window, hidden)
        pictures.append(picture)
    return torch.stack(pictures, dim=1)


_SWAT = "An option the mobile-VSR work log names; the difference in parameters is its, the rest of SWAT is not claimed."
_OPTIONS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "separable": (partial(SWRN, separable=True), 38_160),
    "no_hidden": (partial(SWRN, hidden="none"), 38_832),
    "mixer": (partial(SWRN, mix_ratio=1), 51_920),
}
_facts = partial(
    Facts,
    scale=4,
    paper="SWRN, ECCV Workshops 2022",
    lr_size=(180, 320),
    input_range=(0.0, 255.0),
    inputs=(("frames", 9), ("hidden", 32)),
    outputs=("picture", "hidden"),
)
ENTRIES = (
    Entry(_facts("swrn", parameters=43_472, gmacs=2.4883), SWRN),
    *(
        Entry(_facts(f"swrn_{name}", parameters=count, origin="counted", note=_SWAT), build)
        for name, (build, count) in _OPTIONS.items()
    ),
)
