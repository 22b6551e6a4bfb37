"""Convolutions, pooling, padding and resizing against eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import strategies as st

from tests.analysis.differential import Call, Operand, agrees, call, tensors

aten = torch.ops.aten
Draw = Callable[[Any], Any]
small = st.integers(0, 3)
positive = st.integers(1, 3)


def conv(rank: int, op: Any) -> Callable[[Draw], Call]:
    def strategy(draw: Draw) -> Call:
        groups = draw(st.sampled_from([1, 1, 2]))
        x = draw(tensors(rank + 1, rank + 2, most=8))
        channels = x.shape[-rank - 1] if draw(st.integers(0, 4)) else draw(positive)
        inner = max(channels // groups, 1)
        weight = Operand((draw(positive) * groups, inner, *(draw(st.integers(1, 5)) for _ in range(rank))))
        bias = draw(st.sampled_from([None, Operand(weight.shape[:1]), Operand((weight.shape[0] + 1,))]))
        stride, pad, dilation = ([draw(numbers) for _ in range(rank)] for numbers in (positive, small, positive))
        if "padding" in str(op):
            return call(op, x, weight, bias, stride, draw(st.sampled_from(["same", "valid"])), dilation, groups)
        return call(op, x, weight, bias, stride, pad, dilation, groups)

    return strategy


def conv_transpose(draw: Draw) -> Call:
    groups = draw(st.sampled_from([1, 1, 2]))
    x = draw(tensors(3, 4))
    channels = x.shape[-3] if draw(st.integers(0, 4)) else draw(positive)
    weight = Operand((channels, draw(positive), draw(st.integers(1, 5)), draw(st.integers(1, 5))))
    bias = draw(st.sampled_from([None, Operand((weight.shape[1] * groups,))]))
    stride, pad, extra, dilation = ([draw(numbers) for _ in range(2)] for numbers in (positive, small, small, positive))
    return call(aten.conv_transpose2d.input, x, weight, bias, stride, pad, extra, groups, dilation)


def convolution(draw: Draw) -> Call:
    x = draw(tensors(4))
    transposed = draw(st.booleans())
    shape = (x.shape[1], 2) if transposed else (2, x.shape[1])
    return call(
        aten.convolution.default, x, Operand((*shape, 3, 2)), None, [2, 1], [1, 1], [1, 1], transposed, [0, 0], 1
    )


def pooling(op: Any) -> Callable[[Draw], Call]:
    def strategy(draw: Draw) -> Call:
        x = draw(tensors(3, 4, most=9))
        kernel = [draw(st.integers(1, 4)) for _ in range(2)]
        stride = draw(st.sampled_from([[], [1, 2], [3, 3], [2]]))
        padding = [draw(st.integers(0, 2)) for _ in range(2)]
        dilation = [] if op is aten.avg_pool2d.default else [[draw(st.integers(1, 2))] * 2]
        return call(op, x, kernel, stride, padding, *dilation, draw(st.booleans()))

    return strategy


def adaptive(op: Any) -> Callable[[Draw], Call]:
    return lambda draw: call(op, draw(tensors(3, 4)), [draw(positive), draw(positive)])


def pad(draw: Draw) -> Call:
    mode = draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    x = draw(tensors(2, 4))
    pairs = draw(st.integers(1, 2 if mode != "constant" else 4))
    return call(aten.pad.default, x, [draw(st.integers(-2, 4)) for _ in range(2 * pairs)], mode)


def border(op: Any) -> Callable[[Draw], Call]:
    return lambda draw: call(op, draw(tensors(2, 4)), [draw(st.integers(0, 4)) for _ in range(4)])


def resize(op: Any, *, smooth: bool) -> Callable[[Draw], Call]:
    def strategy(draw: Draw) -> Call:
        x = draw(tensors(3, 4, most=40))
        scale = st.sampled_from([0.3, 0.5, 1 / 3, 1.5, 2.0, 2.7, 4.0, 1.1])
        size, scales = draw(
            st.sampled_from([(None, [draw(scale), draw(scale)]), ([draw(positive), draw(positive)], None)])
        )
        return call(op, x, size, *[draw(st.booleans())] * smooth, scales)

    return strategy


def shuffle(op: Any) -> Callable[[Draw], Call]:
    return lambda draw: call(op, draw(tensors(2, 5, most=9)), draw(positive))


def unfold(draw: Draw) -> Call:
    return call(aten.unfold.default, draw(tensors(1, 3)), draw(st.integers(-3, 2)), draw(positive), draw(positive))


def im2col(draw: Draw) -> Call:
    return call(
        aten.im2col.default,
        draw(tensors(4)),
        *[[draw(low), draw(low)] for low in (positive, positive, small, positive)],
    )


def grid(draw: Draw) -> Call:
    x = draw(tensors(4))
    return call(aten.grid_sampler.default, x, Operand((x.shape[0], draw(positive), draw(positive), 2)), 0, 0, False)


STRATEGIES = {
    "conv1d": conv(1, aten.conv1d.default),
    "conv2d": conv(2, aten.conv2d.default),
    "conv3d": conv(3, aten.conv3d.default),
    "conv2d_named_padding": conv(2, aten.conv2d.padding),
    "conv_transpose2d": conv_transpose,
    "convolution": convolution,
    "avg_pool2d": pooling(aten.avg_pool2d.default),
    "max_pool2d": pooling(aten.max_pool2d.default),
    "max_pool2d_with_indices": pooling(aten.max_pool2d_with_indices.default),
    "adaptive_avg_pool2d": adaptive(aten.adaptive_avg_pool2d.default),
    "adaptive_max_pool2d": adaptive(aten.adaptive_max_pool2d.default),
    "pad": pad,
    "reflection_pad2d": border(aten.reflection_pad2d.default),
    "replication_pad2d": border(aten.replication_pad2d.default),
    "constant_pad_nd": border(aten.constant_pad_nd.default),
    "nearest": resize(aten.upsample_nearest2d.vec, smooth=False),
    "nearest_exact": resize(aten._upsample_nearest_exact2d.vec, smooth=False),
    "bilinear": resize(aten.upsample_bilinear2d.vec, smooth=True),
    "bicubic": resize(aten.upsample_bicubic2d.vec, smooth=True),
    "bicubic_aa": resize(aten._upsample_bicubic2d_aa.vec, smooth=True),
    "pixel_shuffle": shuffle(aten.pixel_shuffle.default),
    "pixel_unshuffle": shuffle(aten.pixel_unshuffle.default),
    "channel_shuffle": shuffle(aten.channel_shuffle.default),
    "unfold": unfold,
    "im2col": im2col,
    "grid_sampler": grid,
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_agrees_with_eager(name: str) -> None:
    agrees(STRATEGIES[name])()
