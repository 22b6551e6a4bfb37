"""The families of operators that random graphs are made of; a draw that does not fit is refused by PyTorch."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from dydca.fuzz.growing import Growing

aten = torch.ops.aten


def _conv(g: Growing) -> None:
    x, r = g.picture(), g.random
    depth = g.shape(x)[1]
    groups = r.choice([1, 1, 1, depth])
    out = r.choice([1, 2, 3, 4]) * (groups if groups > 1 else 1)
    kernel = r.choice([(1, 1), (3, 3), (3, 3), (5, 3), (2, 2), (1, 4)])
    stride, dilation = r.choice([[1, 1], [1, 1], [2, 2], [3, 1]]), r.choice([[1, 1], [1, 1], [2, 1]])
    bias = g.const(out) if r.random() < 0.6 else None
    padding = r.choice([[0, 0], [1, 1], [1, 1], [2, 1]])
    g.call(aten.conv2d.default, x, g.const(out, depth // groups, *kernel), bias, stride, padding, dilation, groups)


def _conv_transposed(g: Growing) -> None:
    x, r = g.picture(), g.random
    weight = g.const(g.shape(x)[1], r.choice([1, 2, 3]), *r.choice([(2, 2), (3, 3), (4, 2)]))
    extra = r.choice([[0, 0], [0, 0], [1, 0]])
    g.call(
        aten.conv_transpose2d.input,
        x,
        weight,
        None,
        r.choice([[2, 2], [1, 1], [3, 2]]),
        r.choice([[0, 0], [1, 1]]),
        extra,
    )


def _pool(g: Growing) -> None:
    x, r = g.picture(), g.random
    kernel, stride = r.choice([[2, 2], [3, 3], [3, 2]]), r.choice([[2, 2], [1, 1], [3, 2]])
    padding, ceil = r.choice([[0, 0], [0, 0], [1, 1]]), r.random() < 0.4
    if r.random() < 0.5:
        g.call(aten.max_pool2d.default, x, kernel, stride, padding, [1, 1], ceil)
    elif r.random() < 0.7:
        g.call(aten.avg_pool2d.default, x, kernel, stride, padding, ceil, r.random() < 0.5)
    else:
        g.call(aten.adaptive_avg_pool2d.default, x, r.choice([[1, 1], [2, 3], [4, 1]]))


def _pad(g: Growing) -> None:
    x, r = g.picture(), g.random
    mode = r.choice(["constant", "constant", "reflect", "replicate", "circular"])
    sides: list[Any] = [r.choice([0, 1, 2, -1 if mode == "constant" else 3]) for _ in range(4)]
    if r.random() < 0.3:  # up to a multiple, as networks do
        multiple = r.choice([2, 4, 8])
        rest = g.call(operator.mod, g.size(x, 2), multiple)
        sides[3] = g.call(operator.mod, g.call(operator.sub, multiple, rest), multiple)
    g.call(aten.pad.default, x, sides, mode, *([r.choice([0.0, 0.5])] if mode == "constant" else []))


def _shuffle(g: Growing) -> None:
    factor = g.random.choice([2, 2, 3])
    g.call(g.random.choice([aten.pixel_shuffle.default, aten.pixel_unshuffle.default]), g.picture(), factor)


def _resize(g: Growing) -> None:
    x, r = g.picture(), g.random
    name = r.choice(["nearest", "bilinear", "bicubic"])
    size = [g.number(x), g.number(x)] if r.random() < 0.3 else None
    scale = r.choice([[2.0, 2.0], [2.0, 2.0], [0.5, 0.5], [3.0, 1.5]]) if size is None else None
    corners = [] if name == "nearest" else [r.random() < 0.4]
    g.call(getattr(aten, f"upsample_{name}2d").vec, x, size, *corners, scale)


UNARY = (
    *(
        "relu",
        "sigmoid",
        "tanh",
        "gelu",
        "silu",
        "exp",
        "abs",
        "neg",
        "reciprocal",
        "sqrt",
        "log",
        "floor",
        "sign",
        "sin",
    ),
    *(
        "hardswish",
        "hardsigmoid",
        "erf",
        "rsqrt",
        "square",
        "round",
        "softplus",
        "elu",
        "mish",
        "atan",
        "frac",
        "log1p",
    ),
)


def _unary(g: Growing) -> None:
    g.call(getattr(aten, g.random.choice(UNARY)).default, g.tensor())


def _scaled(g: Growing) -> None:
    x, r = g.tensor(), g.random
    by = r.choice([0.5, 2.0, -1.5, 0.0, 3, g.size(g.picture())])
    op = r.choice([aten.add.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.sub.Tensor, aten.rsub.Scalar])
    g.call(op, x, by)


def _clipped(g: Growing) -> None:
    x, r = g.tensor(), g.random
    low, high = sorted([r.choice([-1.0, 0.0, 0.25]), r.choice([0.5, 1.0, 6.0])])
    g.call(aten.clamp.default, x, r.choice([None, low]), high)


BINARY = (
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.mul.Tensor,
    aten.div.Tensor,
    aten.maximum.default,
    aten.minimum.default,
)


def _binary(g: Growing) -> None:
    g.call(g.random.choice(BINARY), g.tensor(), g.tensor())


def _gated(g: Growing) -> None:
    x = g.picture()
    gate = g.call(aten.sigmoid.default, g.call(aten.mean.dim, x, [2, 3], True))
    g.call(aten.mul.Tensor, x, gate)


def _chosen(g: Growing) -> None:
    x = g.tensor()
    compare = g.random.choice([aten.gt, aten.le, aten.eq, aten.ne]).Scalar
    mask = g.call(compare, x, g.random.choice([0.0, 0.3, 1.0]))
    g.call(aten.where.self, mask, x, g.call(aten.mul.Tensor, x, 0.25))


def _reduced(g: Growing) -> None:
    x, r = g.tensor(), g.random
    axes, keep = [g.axis(x)], r.random() < 0.6
    op = r.choice([aten.mean.dim, aten.sum.dim_IntList, aten.amax.default, aten.amin.default, aten.var.correction])
    g.call(op, x, axes, correction=0, keepdim=keep) if op is aten.var.correction else g.call(op, x, axes, keep)


def _normed(g: Growing) -> None:
    x, r = g.tensor(), g.random
    op = r.choice([aten.softmax.int, aten.log_softmax.int, aten.cumsum.default])
    g.call(op, x, g.axis(x))


def _layer_norm(g: Growing) -> None:
    x = g.call(aten.permute.default, g.picture(), [0, 2, 3, 1])
    size = g.shape(x)[-1]
    normal = g.call(aten.layer_norm.default, x, [size], g.const(size), g.const(size))
    g.call(aten.permute.default, normal, [0, 3, 1, 2])


def _linear(g: Growing) -> None:
    x = g.tensor(lambda x: x.is_floating_point() and x.dim() > 1)
    g.call(aten.linear.default, x, g.const(g.random.choice([2, 4]), g.shape(x)[-1]), None)


def _attention(g: Growing) -> None:
    x = g.picture()
    flat = g.call(aten.view.default, x, [g.size(x, 0), g.size(x, 1), -1])
    score = g.call(aten.matmul.default, flat, g.call(aten.transpose.int, flat, 1, 2))
    g.call(aten.matmul.default, g.call(aten.softmax.int, score, -1), flat)


def _moved(g: Growing) -> None:
    x, r = g.tensor(), g.random
    rank, axis = len(g.shape(x)), g.axis(x)
    order = r.sample(range(rank), rank)
    draws: list[Callable[[], Node]] = [
        lambda: g.call(aten.permute.default, x, order),
        lambda: g.call(aten.transpose.int, x, axis, g.axis(x)),
        lambda: g.call(aten.flip.default, x, [axis]),
        lambda: g.call(aten.roll.default, x, [g.number(x)], [axis]),
        lambda: g.call(aten.unsqueeze.default, x, axis),
        lambda: g.call(aten.squeeze.dim, x, axis),
        lambda: g.call(aten.repeat.default, x, [r.choice([1, 1, 2]) for _ in range(rank)]),
        lambda: g.call(aten.repeat_interleave.self_int, x, 2, axis),
        lambda: g.call(aten.clone.default, x),
    ]
    r.choice(draws)()


def _sliced(g: Growing) -> None:
    x, r = g.tensor(), g.random
    axis = g.axis(x)
    if r.random() < 0.25:
        g.call(aten.select.int, x, axis, r.choice([0, -1, 1]))
    else:
        g.call(aten.slice.Tensor, x, axis, g.number(x), r.choice([g.number(x), 2**63 - 1]), r.choice([1, 1, 1, 2, 3]))


def _frame_write(g: Growing) -> None:
    x = g.picture()
    axis = g.random.choice([2, 3])
    source = g.call(aten.mul.Tensor, g.call(aten.slice.Tensor, x, axis, 0, 1), 0.5)
    g.call(aten.slice_scatter.default, x, source, axis, 0, 1)


def _viewed(g: Growing) -> None:
    x, r = g.picture(), g.random
    sizes = [g.size(x, axis) for axis in range(4)]
    window = r.choice([2, 3, 4])
    folded = [sizes[0], sizes[1], g.call(operator.floordiv, sizes[2], window), window, sizes[3]]
    shapes: list[list[Any]] = [
        [sizes[0], sizes[1], -1],
        [sizes[0], -1, g.call(operator.mul, sizes[2], sizes[3])],
        folded,
        [-1, *sizes[1:]],
        [g.call(operator.mul, sizes[0], sizes[1]), sizes[2], sizes[3]],
    ]
    g.call(r.choice([aten.reshape.default, aten.view.default]), x, r.choice(shapes))


def _joined(g: Growing) -> None:
    x, y = g.tensor(), g.tensor()
    g.call(aten.cat.default, [x, y, x][: g.random.choice([2, 3])], g.axis(x))


def _parted(g: Growing) -> None:
    x, r = g.tensor(), g.random
    several = g.call(r.choice([aten.chunk.default, aten.split.Tensor]), x, r.choice([1, 2, 3]), g.axis(x))
    for place in r.sample(range(len(g.values[several])), min(2, len(g.values[several]))):
        g.call(operator.getitem, several, place)


def _ranked(g: Growing) -> None:
    x, r = g.tensor(), g.random
    draws: list[Callable[[], Node]] = [
        lambda: g.call(aten.max.dim, x, g.axis(x), r.random() < 0.5),
        lambda: g.call(aten.topk.default, x, r.choice([1, 2]), g.axis(x)),
        lambda: g.call(aten.sort.default, x, g.axis(x)),
    ]
    several = r.choice(draws)()
    g.call(operator.getitem, several, 0)
    g.call(operator.getitem, several, 1)


def _whole_numbers(g: Growing) -> None:
    x, r = g.tensor(), g.random
    draws: list[Callable[[], Node]] = [
        lambda: g.call(aten.argmax.default, x, g.axis(x)),
        lambda: g.call(aten.to.dtype, g.call(aten.mul.Tensor, g.call(aten.tanh.default, x), 9.0), torch.int64),
        lambda: g.call(aten.arange.default, g.size(x)),
        lambda: g.call(aten.add.Tensor, g.tensor(lambda v: v.dtype is torch.int64), r.choice([1, 7])),
        lambda: g.call(aten.remainder.Scalar, g.tensor(lambda v: v.dtype is torch.int64), r.choice([2, 5])),
        lambda: g.call(aten.floor_divide.default, g.tensor(lambda v: v.dtype is torch.int64), r.choice([2, 3])),
        lambda: g.call(aten.to.dtype, g.tensor(lambda v: not v.is_floating_point()), torch.float32),
    ]
    r.choice(draws)()


def _looked_up(g: Growing) -> None:
    x = g.tensor(lambda v: v.is_floating_point() and v.dim() > 0)
    axis = g.axis(x)
    if g.random.random() < 0.5:
        g.call(aten.gather.default, x, axis, g.call(aten.argsort.default, x, axis))
    else:
        g.call(aten.index_select.default, x, axis, g.call(aten.arange.default, g.size(x, axis % len(g.shape(x)))))


def _found(g: Growing) -> None:
    x, r = g.tensor(lambda v: v.is_floating_point() and v.dim() > 0), g.random
    mask = g.call(aten.gt.Scalar, x, r.choice([0.0, 0.4]))
    draws: list[Callable[[], Node]] = [
        lambda: g.call(aten.nonzero.default, mask),
        lambda: g.call(aten.masked_select.default, x, mask),
        lambda: g.call(aten.index.Tensor, x, [mask]),
    ]
    r.choice(draws)()


def _made(g: Growing) -> None:
    x, r = g.picture(), g.random
    sizes: list[Any] = [1, g.shape(x)[1], g.size(x, 2), g.size(x, 3)]
    op = r.choice([aten.zeros.default, aten.ones.default, aten.full.default])
    plane = g.call(op, sizes, *([0.3] if op is aten.full.default else []))
    g.call(aten.add.Tensor, x, plane)


def _untold(g: Growing) -> None:
    """An operator without a rule."""
    g.call(g.random.choice([aten.special_erfcx.default, aten.digamma.default]), g.tensor())


FAMILIES: dict[Callable[[Growing], object], int] = {
    _conv: 10,
    _conv_transposed: 2,
    _pool: 5,
    _pad: 5,
    _shuffle: 4,
    _resize: 5,
    _unary: 8,
    _scaled: 5,
    _clipped: 3,
    _binary: 8,
    _gated: 2,
    _chosen: 3,
    _reduced: 4,
    _normed: 3,
    _layer_norm: 1,
    _linear: 2,
    _attention: 1,
    _moved: 6,
    _sliced: 8,
    _frame_write: 2,
    _viewed: 5,
    _joined: 5,
    _parted: 4,
    _ranked: 2,
    _whole_numbers: 4,
    _looked_up: 3,
    _found: 2,
    _made: 2,
    _untold: 1,
}
"""With how often each is drawn."""
