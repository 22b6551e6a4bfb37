"""Linear operators with a window: convolutions, pools and pads of stride 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from dydca.passes.linear.affine import NO_PADS, Affine, Pads, stacked
from dydca.passes.linear.context import Context, Forms, Rule
from dydca.program import arguments


def _stride_one(size: object) -> bool:
    return isinstance(size, list | tuple) and bool(size) and all(entry == 1 for entry in size)


def _conv_operands(context: Context, node: Node) -> Iterable[Node] | None:
    named = arguments(node)
    fits = context.constants(named["weight"], named["bias"]) and _stride_one(named["stride"])
    return [named["input"]] if fits else None


def _conv(context: Context, node: Node, forms: Forms) -> Affine:
    named = arguments(node)
    weight, bias = context.graph.constant(named["weight"]), context.graph.constant(named["bias"])
    assert weight is not None
    taps = dense(weight.double(), named["groups"], _pair(named["dilation"]))
    zero = torch.zeros(len(weight), dtype=torch.float64)
    framed = _framed(forms[named["input"]], conv_pads(named["padding"], taps), named["input"])
    return framed.convolved(taps, zero if bias is None else bias.double())


def _framed(operand: Affine, pads: Pads, node: Node) -> Affine:
    return operand.padded(pads, torch.zeros_like(operand.bias), f"%{node.name}")


def dense(weight: Tensor, groups: int, dilation: tuple[int, int]) -> Tensor:
    """The kernel ``[O, I, kh, kw]`` of the ordinary convolution that equals a grouped and dilated one."""
    rows, columns, high, wide = weight.shape
    if groups == 1 and dilation == (1, 1):
        return weight
    size = (dilation[0] * (high - 1) + 1, dilation[1] * (wide - 1) + 1)
    taps = weight.new_zeros(groups, rows // groups, groups, columns, *size)
    own = torch.arange(groups)
    spread = taps[:, :, :, :, :: dilation[0], :: dilation[1]]
    spread[own, :, own] = weight.reshape(groups, rows // groups, columns, high, wide)
    return taps.reshape(rows, groups * columns, *size)


def _pair(size: Any) -> tuple[int, int]:
    return (size[0], size[-1])


def conv_pads(padding: Any, taps: Tensor) -> Pads:
    """What a convolution adds; of an odd number ``padding="same"`` puts the larger half below and to the right."""
    if padding == "valid":
        return NO_PADS
    if padding == "same":
        high, wide = (size - 1 for size in taps.shape[2:])
        return (high // 2, high - high // 2, wide // 2, wide - wide // 2)
    return (padding[0], padding[0], padding[-1], padding[-1])


def _pool_operands(context: Context, node: Node) -> Iterable[Node] | None:
    named = arguments(node)
    padded = any(named["padding"]) and not named["count_include_pad"]
    fits = _stride_one(named["stride"]) and not padded and named["divisor_override"] is None
    return [node.args[0]] if fits and isinstance(node.args[0], Node) else None


def _pool(context: Context, node: Node, forms: Forms) -> Affine:
    named = arguments(node)
    operand, size = forms[named["self"]], _pair(named["kernel_size"])
    channels = len(operand.bias)
    mean = torch.full((channels, 1, *size), 1 / (size[0] * size[1]), dtype=torch.float64)
    framed = _framed(operand, conv_pads(named["padding"], mean), named["self"])
    return framed.convolved(dense(mean, channels, (1, 1)), torch.zeros(channels, dtype=torch.float64))


def _pad_operands(context: Context, node: Node) -> Iterable[Node] | None:
    named = arguments(node)
    pads, value = named["pad"], named["value"]
    numbers = len(pads) <= 6 and all(isinstance(pad, int) for pad in pads) and not isinstance(value, Node)
    if any(pad < 0 for pad in pads[4:] if numbers) or (len(pads) > 4 and len(context.facts[node].shape) != 4):
        return None
    return [named["self"]] if numbers and named.get("mode", "constant") == "constant" else None


def _pad(context: Context, node: Node, forms: Forms) -> Affine:
    named = arguments(node)
    left, right, top, bottom, first, last = [*named["pad"], 0, 0, 0, 0][:6]
    operand, number = forms[named["self"]], float(named["value"] or 0)
    framed = operand.padded((top, bottom, left, right), torch.full_like(operand.bias, number), f"%{named['self'].name}")
    if not first and not last:
        return framed
    before, after = (Affine({}, torch.full((count,), number, dtype=torch.float64), (count,)) for count in (first, last))
    return stacked([before, framed, after])


RULES = {
    "conv2d": Rule(_conv_operands, _conv),
    "avg_pool2d": Rule(_pool_operands, _pool),
    "pad": Rule(_pad_operands, _pad),
    "constant_pad_nd": Rule(_pad_operands, _pad),
}
"""By the operator's name."""
