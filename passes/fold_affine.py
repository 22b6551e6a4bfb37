"""Moves a scale and shift of the picture before a padded convolution into the convolution."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.passes.linear.affine import Affine, Pads
from dydca.passes.linear.context import Context
from dydca.passes.linear.rules import form, linear_operands
from dydca.passes.linear.windows import conv_pads, dense
from dydca.program import Graph, arguments, op_name

aten = torch.ops.aten

_ELEMENTWISE = ("add", "sub", "rsub", "mul", "div", "neg", "batch_norm", "getitem")


class FoldAffine(Pass):
    """``conv2d(s * x + t, K, b, padding=p)`` becomes ``conv2d(pad(x, p, -t / s), s K, b + t sum K)``.

    The convolution pads what it reads with 0, which is ``s * e + t`` for ``e = -t / s``: so x is padded with e instead,
    and beyond the border both read the same. Without padding `merge_linear` does this. The pad and the convolution
    without padding that are left are what a kernel can do in one, by filling its halo with e.

    Refused where e differs from channel to channel, and where something else reads the scaled picture.
    """

    root = ("conv2d",)
    after = ("fold_constants",)

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        context, named = Context(graph, facts), arguments(node)
        picture = named["input"]
        found = _rows(context, picture) if linear_operands(context, node) == (picture,) else None
        if found is None:
            return None
        base, scale, shift = found
        others = [user for user in picture.users if not (op_name(user) == "conv2d" and user.args[0] is picture)]
        if others:
            return Miss(node, f"%{picture.name} is read by %{others[0].name} as well, so it would stay")
        fill = -shift / scale
        if not bool(fill.isfinite().all()) or bool((fill - fill[0]).abs().max() > 1e-7 * fill.abs().max()):
            return Miss(node, f"%{picture.name} is 0 at another value of %{base.name} in each channel")
        return _folded(graph, node, base, scale, shift, float(fill[0]))


def _rows(context: Context, picture: Node) -> tuple[Node, Tensor, Tensor] | None:
    """The picture as ``scale * base + shift``, for the furthest base that only this reads; None if it is none."""
    chain: list[Node] = []
    while op_name(picture) in _ELEMENTWISE and (not chain or len(picture.users) == 1):
        operands = linear_operands(context, picture)
        if operands is None or len(operands) > 1 or context.facts[operands[0]].shape != context.facts[picture].shape:
            break
        chain.append(picture)
        picture = operands[0]
    channels = context.facts[picture].shape[1:-2]
    if not chain or len(channels) != 1 or not isinstance(channels[0], int):
        return None
    forms = {picture: Affine.of(picture, channels[0])}
    for node in reversed(chain):
        forms[node] = form(context, node, forms)
    whole = forms[chain[0]]
    taps = whole.windows[picture].taps
    return picture, taps[:, :, 0, 0].diagonal(), whole.bias


def _folded(graph: Graph, node: Node, base: Node, scale: Tensor, shift: Tensor, fill: float) -> Node:
    named = arguments(node)
    weight, bias = graph.constant(named["weight"]), graph.constant(named["bias"])
    assert weight is not None
    groups, dilation = named["groups"], named["dilation"]
    rows, columns = len(weight) // groups, weight.shape[1]
    channel = torch.arange(groups).repeat_interleave(rows)[:, None] * columns + torch.arange(columns)
    exact = weight.double()
    moved = (exact.sum((2, 3)) * shift[channel]).sum(1) + (0.0 if bias is None else bias.double())
    scaled = (exact * scale[channel][:, :, None, None]).to(weight.dtype)
    pads: Pads = conv_pads(named["padding"], dense(exact[:1, :1], 1, (dilation[0], dilation[-1])))
    top, bottom, left, right = pads
    if any(pads):
        base = graph.add(aten.constant_pad_nd.default, base, [left, right, top, bottom], fill, before=node)
    new_weight = graph.const(scaled, f"{node.name}_weight", before=node)
    new_bias = graph.const(moved.to(weight.dtype), f"{node.name}_bias", before=node)
    return graph.add(aten.conv2d.default, base, new_weight, new_bias, [1, 1], [0, 0], dilation, groups, before=node)
