"""Training-form blocks of the field in a few lines each, and what prepares a captured network for `MergeLinear`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.passes import DropDead, DropIdentity, FoldConstants, MergeFrameWrites, MergeLinear, MergeReshape, Pass


def prepared(*passes: Pass) -> list[Pass]:
    """The default passes up to the merges, then `passes`."""
    return [DropDead(), MergeReshape(), DropIdentity(), FoldConstants(), MergeFrameWrites(), *passes]


def merging() -> list[Pass]:
    return prepared(MergeLinear())


def scrambled(model: nn.Module) -> nn.Module:
    """`model` in eval mode with weights and statistics that are far from their first values."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(noise.abs() + 0.5 if name.endswith("running_var") else noise * 0.4)
    return model.eval()


def conv_norm(inputs: int, outputs: int, kernel: int | tuple[int, int], groups: int = 1) -> nn.Sequential:
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (sides[0] // 2, sides[1] // 2)
    conv = nn.Conv2d(inputs, outputs, sides, padding=padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Branches(nn.Module):
    """The sum of parallel branches, then ReLU."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        return torch.relu(total)


class PadByNorm(nn.Module):
    """Batch norm, then a frame of what it makes of zero: how DBB puts a 1x1 convolution before a padded one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        y = functional.pad(norm(x), (1, 1, 1, 1))
        assert norm.running_mean is not None
        assert norm.running_var is not None
        frame = norm.bias - norm.running_mean * norm.weight / torch.sqrt(norm.running_var + norm.eps)
        frame = frame.view(1, -1, 1, 1)
        y[:, :, 0:1, :] = frame
        y[:, :, -1:, :] = frame
        y[:, :, :, 0:1] = frame
        y[:, :, :, -1:] = frame
        return y


def rep_vgg(channels: int = 6) -> nn.Module:
    """Ding et al., CVPR 2021: 3x3, 1x1 and identity, each with batch norm."""
    return Branches(conv_norm(channels, channels, 3), conv_norm(channels, channels, 1), nn.BatchNorm2d(channels))


def ac_net(channels: int = 6) -> nn.Module:
    """Ding et al., ICCV 2019: 3x3, 3x1 and 1x3, each with batch norm."""
    return Branches(*(conv_norm(channels, channels, kernel) for kernel in (3, (3, 1), (1, 3))))


def dbb(channels: int = 6) -> nn.Module:
    """Ding et al., CVPR 2021: 3x3; 1x1; 1x1, 3x3; 1x1, average pool; all with batch norms."""
    wide = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), PadByNorm(channels))
    window = nn.Sequential(nn.Conv2d(channels, channels, 3, bias=False), nn.BatchNorm2d(channels))
    pooled = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), PadByNorm(channels))
    return Branches(
        conv_norm(channels, channels, 3),
        conv_norm(channels, channels, 1),
        nn.Sequential(wide, window),
        nn.Sequential(pooled, nn.AvgPool2d(3, 1), nn.BatchNorm2d(channels)),
    )


def mobile_one(channels: int = 6) -> nn.Module:
    """Vasu et al., CVPR 2023: depthwise 3x3 several times, 1x1 and identity; then pointwise the same."""
    depthwise = [conv_norm(channels, channels, 3, groups=channels) for _ in range(4)]
    pointwise = [conv_norm(channels, channels, 1) for _ in range(4)]
    return nn.Sequential(
        Branches(*depthwise, conv_norm(channels, channels, 1, groups=channels), nn.BatchNorm2d(channels)),
        Branches(*pointwise, nn.BatchNorm2d(channels)),
    )
