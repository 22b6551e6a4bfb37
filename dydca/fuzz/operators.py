"""The operators that random networks are made of: how one is drawn, what it holds, how it runs.

An operator that does not accept what it is given simply raises; the generator then draws another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the name torch's own code gives it

Step = dict[str, Any]
"""An operator as plain data: ``op``, ``reads`` (numbers of values), ``key`` (of its weights), and its options."""

Options = dict[str, Any]


class Operator(NamedTuple):
    """One kind of step.

    Attributes:
        run: The computation, of the step, its module and its operands.
        draw: Random options for an operand of this shape.
        make: The module it holds for an operand of this shape.
        reads: How many operands it has.
        weight: How often it is drawn.
    """

    run: Callable[..., Tensor]
    draw: Callable[[Random, Sequence[int]], Options] = lambda _random, _shape: {}
    make: Callable[[Step, Sequence[int]], nn.Module | None] = lambda _step, _shape: None
    reads: int = 1
    weight: int = 2


def channels(shape: Sequence[int]) -> int:
    """The size of the channel axis of a picture, with a batch axis or without."""
    return shape[-3]


def _draw_conv(random: Random, shape: Sequence[int]) -> Options:
    count = channels(shape)
    kernel = random.choice([1, 3, 3, 3, 5, (3, 1), (1, 3), (3, 5), 2, 4, 7])
    groups = random.choice([1, 1, 1, 1, count, *(g for g in (2, 3, 4) if count % g == 0)])
    pads = [0, 1, 2, "same", "valid"] if kernel != 3 else [1, 1, 1, 0, 2, "same", (1, 0)]
    outputs = random.choice([1, 3, 4, 8, 12, 16, 16, 20, 27, 32, 40])
    return {
        "out": -(-outputs // groups) * groups if groups > 1 else outputs,
        "kernel": kernel,
        "stride": random.choice([1, 1, 1, 1, 1, 2, 3, (2, 1)]),
        "padding": random.choice(pads),
        "dilation": random.choice([1, 1, 1, 1, 1, 2, 3, (1, 2)]),
        "groups": groups,
        "bias": random.random() < 0.8,
        "padding_mode": random.choice(["zeros"] * 6 + ["reflect", "replicate", "circular"]),
    }


def _make_conv(step: Step, shape: Sequence[int]) -> nn.Module:
    names = ("stride", "padding", "dilation", "groups", "bias", "padding_mode")
    return nn.Conv2d(channels(shape), step["out"], step["kernel"], **{name: step[name] for name in names})


def _keeping(random: Random, shape: Sequence[int]) -> Options:
    """A convolution that keeps the shape, for residuals and arms."""
    kernel = random.choice([1, 3, 3, 5])
    shared = {"stride": 1, "dilation": 1, "bias": random.random() < 0.8, "padding_mode": "zeros"}
    groups = random.choice([1, 1, 1, channels(shape)])
    return {"out": channels(shape), "kernel": kernel, "padding": kernel // 2, "groups": groups} | shared


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "steep_leaky_relu": lambda x: F.leaky_relu(x, 1.5),
    "relu6": F.relu6,
    "hardtanh": lambda x: F.hardtanh(x, -0.4, 0.6),
    "gelu": F.gelu,
    "tanh_gelu": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
    "hardswish": F.hardswish,
    "softplus": F.softplus,
    "abs": torch.abs,
    "neg": torch.neg,
    "square": lambda x: x**2,
    "exp": lambda x: torch.exp(x.clamp(max=1)),
    "reciprocal": lambda x: 1 / (x.abs() + 0.5),
    "where": lambda x: torch.where(x > 0, x, x * 0.25),
    "max": lambda x: torch.maximum(x, -x * 0.5),
    "minimum": lambda x: torch.minimum(x, torch.full_like(x, 0.3)),
    "softmax": lambda x: torch.softmax(x, -3),
    "zeros": lambda x: x + torch.zeros_like(x),
    "detour": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    "flip": lambda x: x.flip(-1),
    "roll": lambda x: torch.roll(x, 1, -2),
    "double": lambda x: (x.double() * 1.5).float(),
    "float mask": lambda x: x * (x.abs() < 100).float(),
    "cumsum": lambda x: x.cumsum(-3) * 0.1,
}

SCALES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "multiply": lambda x, a: x * a,
    "add": lambda x, a: x + a,
    "divide": lambda x, a: x / a,
    "from": lambda x, a: a - x,
    "over": lambda x, a: a / (x.abs() + 1),
    "clamp": lambda x, a: x.clamp(-abs(a), abs(a)),
    "clamp_min": lambda x, a: x.clamp(min=a),
    "add alpha": lambda x, a: torch.add(x, x, alpha=a),
    "rsub": lambda x, a: torch.rsub(x, 1, alpha=a),
    "in place": lambda x, a: x.clone().mul_(a).add_(1),
    "truncated": lambda x, a: x[..., : x.shape[-1] - 1] * a,
    "even": lambda x, a: x[..., ::2, :] + a,
    "tensor": lambda x, a: x * torch.tensor([a]),
}

JOINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "gate": lambda x, y: x * torch.sigmoid(y),
    "add alpha": lambda x, y: torch.add(x, y, alpha=0.5),
    "cat": lambda x, y: torch.cat([x, y], -3),
    "cat rows": lambda x, y: torch.cat([x, y], -2),
    "divide": lambda x, y: x / (y.abs() + 1),
    "maximum": torch.maximum,
    "mean of": lambda x, y: x + y.mean((-1, -2), keepdim=True),
    "row of": lambda x, y: x * y[..., :1, :],
    "first channel": lambda x, y: x + y[..., :1, :, :],
    "resized": lambda x, y: x + F.interpolate(y, size=x.shape[-2:], mode="nearest"),
    "addcmul": lambda x, y: torch.addcmul(x, x, y, value=0.5),
}

PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "swap": lambda x: torch.cat(x.chunk(2, -3)[::-1], -3),
    "gate": lambda x: x.chunk(2, -3)[0] * torch.sigmoid(x.chunk(2, -3)[1]),
    "first": lambda x: x.chunk(2, -3)[0],
    "split": lambda x: torch.cat([F.relu(part) for part in torch.split_with_sizes(x, [1, x.shape[-3] - 1], -3)], -3),
    "unbind": lambda x: torch.stack(x.unbind(-3)[::-1], -3),
    "channel shuffle": lambda x: torch.unflatten(x, -3, (2, x.shape[-3] // 2)).transpose(-4, -3).flatten(-4, -3),
    "repeat": lambda x: torch.repeat_interleave(x, 4, -3),
    "expand": lambda x: x[..., :1, :, :].expand(x.shape) * 2,
}

SPACE: dict[str, Callable[[Tensor], Tensor]] = {
    "shuffle 2": lambda x: F.pixel_shuffle(x, 2),
    "shuffle 3": lambda x: F.pixel_shuffle(x, 3),
    "shuffle 4": lambda x: F.pixel_shuffle(x, 4),
    "unshuffle 2": lambda x: F.pixel_unshuffle(x, 2),
    "unshuffle 3": lambda x: F.pixel_unshuffle(x, 3),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "corners": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "down": lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear"),
    "avg_pool": lambda x: F.avg_pool2d(x, 2),
    "avg_pool 3": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "avg_pool inner": lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "max_pool": lambda x: F.max_pool2d(x, 2),
    "max_pool 3": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_pool ceil": lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive 2": lambda x: F.adaptive_avg_pool2d(x, 2),
    "zero pad": lambda x: F.pad(x, (1, 2, 0, 1)),
    "value pad": lambda x: F.pad(x, (1, 1, 1, 1), value=0.5),
    "crop": lambda x: F.pad(x, (-1, 0, 0, -1)),
    "reflect": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "replicate": lambda x: F.pad(x, (2, 1, 0, 1), mode="replicate"),
    "circular": lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"),
}


def _frame_write(step: Step, _: Any, x: Tensor) -> Tensor:
    y = x.clone()
    if "rows" in step["sides"]:
        y[..., :1, :] = 0.5
    if "columns" in step["sides"]:
        y[..., -1:] = 0.25
    if "inner" in step["sides"]:
        y[..., 1:-1, 1:-1] *= 0.5
    return y


STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {
    "center": lambda x: x - x.mean((-1, -2), keepdim=True),
    "scale": lambda x: x / (x.var((-1, -2), keepdim=True, unbiased=False) + 1).sqrt(),
    "all": lambda x: x * (1 + x.mean()),
    "largest": lambda x: x / (x.abs().amax((-1, -2), keepdim=True) + 1),
    "channel mean": lambda x: x * torch.sigmoid(x.mean(-3, keepdim=True)),
    "channel max": lambda x: x + x.amax(-3, keepdim=True),
    "std": lambda x: x / (x.std((-2, -1), keepdim=True) + 1),
}


def _table(table: dict[str, Callable[..., Tensor]], weight: int, reads: int = 1) -> Operator:
    return Operator(
        lambda step, _, *operands: table[step["kind"]](*operands),
        lambda random, _: {"kind": random.choice(list(table))},
        reads=reads,
        weight=weight,
    )


OPERATORS: dict[str, Operator] = {
    "conv": Operator(lambda _, m, x: m(x), _draw_conv, _make_conv, weight=12),
    "residual": Operator(lambda _, m, x: x + m(x), _keeping, _make_conv, weight=6),
    "activation": _table(ACTIVATIONS, 10),
    "scale": Operator(
        lambda step, _, x: SCALES[step["kind"]](x, step["by"]),
        lambda random, _: {"kind": random.choice(list(SCALES)), "by": random.choice([0.5, 2.0, -1.5, 1.0, 0.1])},
        weight=5,
    ),
    "join": _table(JOINS, 9, 2),
    "parts": _table(PARTS, 4),
    "space": _table(SPACE, 9),
    "statistics": _table(STATISTICS, 3),
    "prelu": Operator(
        lambda _, m, x: m(x),
        lambda random, _: {"single": random.random() < 0.4},
        lambda step, shape: nn.PReLU(1 if step["single"] else channels(shape)),
    ),
    "attention": Operator(
        lambda _, m, x: x * torch.sigmoid(m(F.adaptive_avg_pool2d(x, 1))),
        make=lambda _, shape: nn.Conv2d(channels(shape), channels(shape), 1),
    ),
    "batch norm": Operator(lambda _, m, x: m(x), make=lambda _, shape: nn.BatchNorm2d(channels(shape)).eval()),
    "group norm": Operator(lambda _, m, x: m(x), make=lambda _, shape: nn.GroupNorm(1, channels(shape)), weight=1),
    "layer norm": Operator(
        lambda _, m, x: m(x.movedim(-3, -1)).movedim(-1, -3), make=lambda _, shape: nn.LayerNorm(channels(shape))
    ),
    "per channel": Operator(
        lambda _, m, x: (x - m.weight.view(-1, 1, 1)) * m.bias.view(-1, 1, 1),
        make=lambda _, shape: nn.LayerNorm(channels(shape)),
    ),
    "frame write": Operator(
        _frame_write,
        lambda random, _: {"sides": random.choice([["rows"], ["columns"], ["rows", "columns"], ["inner"]])},
    ),
    "constant": Operator(lambda _, m, x: m.weight + 0, make=lambda _, shape: nn.Conv2d(2, 3, 3), weight=1),
    "transposed": Operator(
        lambda _, m, x: m(x), make=lambda _, shape: nn.ConvTranspose2d(channels(shape), 3, 2, 2), weight=1
    ),
}
