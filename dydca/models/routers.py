"""Networks whose route depends on the picture: a class per patch, an early exit by score, a width per patch.

They behave as ClassSR (Kong et al., CVPR 2021), APE (Wang et al., ECCV 2022) and ARM-Net (Chen et al., ECCV 2022) do,
and are like them in structure only: sizes and thresholds are ours, and no published weights fit. Written from the
description in the specification sheet, section 14.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models.blocks import conv
from dydca.models.plain import FSRCNN
from dydca.models.registry import Entry, Facts


class ClassRouted(nn.Module):
    """A classifier sends each patch to one of several networks of rising width, as ClassSR does.

    In training mode every network runs and their pictures are summed with the class probabilities as weights.

    Args:
        scale: Upscaling factor.
        widths: One FSRCNN of this many channels per class.
        square: Pool with a window as high as the features, as the authors do, which asks for square patches;
            otherwise over whatever the patch is.
    """

    def __init__(self, scale: int, widths: tuple[int, ...] = (16, 36, 56), *, square: bool = False) -> None:
        super().__init__()
        act = partial(nn.LeakyReLU, 0.1)
        self.square = square
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 32, 4, stride=4), act(), conv(32, 32, 1), act(), conv(32, 32, 1), act()),
        )
        self.decide = nn.Linear(32, len(widths))
        self.branches = nn.ModuleList(FSRCNN(scale, width) for width in widths)

    def classify(self, x: Tensor) -> Tensor:
        """The class logits of patches: float ``[N, 3, H, W]`` to float ``[N, classes]``."""
        y = self.features(x)
        pooled = functional.avg_pool2d(y, y.size(2)) if self.square else functional.adaptive_avg_pool2d(y, 1)
        logits: Tensor = self.decide(pooled.flatten(1))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Upscale patches, each on its own route.

        Args:
            x: float ``[N, 3, H, W]``, values in 0..1, H and W at least 4, equal with `square`.

        Returns:
            float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped.
        """
        if self.training:
            shares = torch.softmax(self.classify(x), dim=1)
            pictures = torch.stack([branch(x) for branch in self.branches], dim=1)
            return (pictures * shares[:, :, None, None, None]).sum(1)
        routed: list[Tensor] = []
        for index in range(x.shape[0]):
            patch = x[index : index + 1]
            choice = int(torch.argmax(self.classify(patch)))
            routed.append(self.branches[choice](patch))
        return torch.cat(routed)


class EarlyExit(nn.Module):
    """After every few blocks a regressor scores the features; a batch that scores well leaves, as in APE.

    Args:
        scale: Upscaling factor.
        blocks: Residual blocks at most.
        interval: Blocks between two exits.
        channels: Width.
        threshold: Scores, which lie in -1..1, of at least this leave. With several patches the worst decides.
    """

    def __init__(
        self, scale: int, blocks: int = 8, interval: int = 2, channels: int = 16, threshold: float = 0.0
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.head = conv(3, channels)
        stages = range(0, blocks, interval)
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Residual(channels) for _ in range(min(interval, blocks - start)))) for start in stages
        )
        self.score = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1), nn.Tanh())
        self.tail = nn.Sequential(conv(channels, 3 * scale * scale), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]``, not clamped."""
        y = self.head(x)
        for number, stage in enumerate(self.stages, start=1):
            y = stage(y)
            if number < len(self.stages) and self.score(y).min() >= self.threshold:
                break
        picture: Tensor = self.tail(y)
        return picture


class EarlyExitBatch(EarlyExit):
    """The same for a batch whose patches leave one by one, as APE's own loop: the active batch shrinks.

    How many go on is known only from the values, so no graph of fixed shapes holds it. It is here to show the
    behaviour and is not in the registry.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[N, 3, H, W]`` in 0..1 to float ``[N, 3, scale * H, scale * W]``, not clamped."""
        y = self.head(x)
        active = torch.arange(len(x), device=x.device)
        for stage in self.stages:
            going = stage(y[active])
            y = y.index_copy(0, active, going)
            active = active[torch.where(self.score(going).flatten() < self.threshold)[0]]
            if len(active) == 0:
                break
        picture: Tensor = self.tail(y)
        return picture


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(channels, channels), nn.ReLU(), conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class WidthSwitching(nn.Module):
    """One network run at the width that a patch's edges call for, as ARM-Net: kernels are sliced, none is stored twice.

    The mean of the Laplacian's magnitude is looked up in a table of predicted gains per width; the best gain minus
    cost wins. The narrowest choice is bicubic interpolation.

    Args:
        scale: Upscaling factor.
        widths: Channels of each choice; the first is 0, for bicubic.
        blocks: Hidden layers.
        eta: Weight of the predicted gain against the cost.
        limit: Mean edge strength at which the table ends.
    """

    table: Tensor
    cost: Tensor
    laplacian: Tensor

    def __init__(
        self,
        scale: int,
        widths: tuple[int, ...] = (0, 16, 36, 56),
        blocks: int = 4,
        eta: float = 1.0,
        limit: float = 0.2,
    ) -> None:
        super().__init__()
        self.scale, self.widths, self.eta, self.limit = scale, widths, eta, limit
        full = widths[-1]
        self.layers = nn.ModuleList([conv(3, full), *(conv(full, full) for _ in range(blocks))])
        self.last = conv(full, 3 * scale * scale)
        # A square root of relative width for the gain and a line for the cost make every choice the best somewhere.
        relative = torch.tensor([width / full for width in widths])
        self.register_buffer("table", torch.linspace(0, 2, 30)[:, None] * relative.sqrt())
        self.register_buffer("cost", relative.clone())
        kernel = torch.tensor(((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0)))
        self.register_buffer("laplacian", kernel[None, None], persistent=False)

    def choose(self, x: Tensor) -> Tensor:
        """The index of the width for a batch: float ``[N, 3, H, W]`` to an integer without axes."""
        edges = functional.conv2d(x.mean(1, keepdim=True), self.laplacian).abs().mean()
        level = (edges * (len(self.table) / self.limit)).long().clamp(0, len(self.table) - 1)
        gains = self.table.index_select(0, level.reshape(1))[0]  # table[level] would fetch the level to Python
        return torch.argmax(self.eta * gains - self.cost)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch at one width.

        Args:
            x: float ``[N, 3, H, W]``, values in 0..1, H and W at least 3.

        Returns:
            float ``[N, 3, scale * H, scale * W]``, about 0..1, not clamped.
        """
        choice = int(self.choose(x))
        large = functional.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)
        if choice == 0:
            return large
        width, y = self.widths[choice], x
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d)
            y = functional.relu(_sliced(layer, y, width))
        return functional.pixel_shuffle(_sliced(self.last, y, self.last.out_channels), self.scale) + large


def _sliced(layer: nn.Conv2d, x: Tensor, outputs: int) -> Tensor:
    """The layer's first `outputs` channels, computed from as many of its inputs as `x` has channels."""
    assert layer.bias is not None
    return functional.conv2d(x, layer.weight[:outputs, : x.shape[1]], layer.bias[:outputs], padding=1)


_facts = partial(Facts, origin="counted", form="training", note="Like the paper in structure; sizes are ours.")


def _entries(scale: int, exits: int, widths: int) -> list[Entry]:
    classes = partial(_facts, scale=scale, paper="like ClassSR, CVPR 2021", parameters=57_068, smallest=4)
    return [
        Entry(classes("class_routed"), partial(ClassRouted, scale)),
        Entry(classes("class_routed_square", square=True), partial(ClassRouted, scale, square=True)),
        Entry(_facts("early_exit", scale, "like APE, ECCV 2022", exits), partial(EarlyExit, scale)),
        Entry(
            _facts("width_switching", scale, "like ARM-Net, ECCV 2022", widths, smallest=3),
            partial(WidthSwitching, scale),
        ),
    ]


ENTRIES = (*_entries(2, 39_325, 120_748), *_entries(4, 44_545, 138_928))
