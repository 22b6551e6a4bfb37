"""Turns a network of skips and streams into one plain chain of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.passes.linear.affine import Affine, NotAffine, Window, aligned, stacked
from dydca.passes.linear.layers import ACTIVATIONS, Chain, Layer, chain_to
from dydca.passes.linear.regions import LinearRegions, channels_of
from dydca.program import Graph, arguments, op_name

aten = torch.ops.aten

_ARITHMETIC = ("conv2d", "avg_pool2d", "batch_norm", "add", "sub", "rsub", "mul", "div", "neg")
_MOVES = (
    *("cat", "getitem", "slice", "split", "split_with_sizes", "chunk", "repeat_interleave", "reshape", "flip"),
    *("pad", "constant_pad_nd", "pixel_shuffle", "_native_batch_norm_legit_no_training"),
)


class FoldResidual(Pass):
    """``[y; x]`` becomes ``relu([[K, 0], [0, I]] * [y; x] + [b; 0])``: what a later layer adds rides in more channels.

    Every tensor after an activation is put into the layer that follows the last it reads; one that a later layer
    reads is carried there by identity taps. Convolutions on one input become rows of one kernel, sums of convolutions
    its columns, so that a layer is one convolution and one activation. Carrying x through a ReLU is exact if x is 0 or
    more, which its interval must prove; through a PReLU it is exact with slope 1. Source: Chao et al., ETDS, CVPR
    2023, section 3.

    Args:
        align: The channels of a layer are brought to a multiple of this by channels of zeros; the authors take 2.
    """

    after = ("merge_linear",)

    def __init__(self, *, align: int = 1) -> None:
        self.align = align

    def looks_at(self, node: Node) -> bool:
        return node.op == "call_function" and _is_layer(node) and not _feeds_a_layer(node)

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        if any(other not in facts for other in graph if other.op == "call_function"):
            return None  # another end of the network was rewritten in this walk; the next one sees all
        regions = LinearRegions(graph, facts)
        if op_name(node) not in ACTIVATIONS and node not in regions.operands:
            return None
        try:
            chain = chain_to(regions, node)
            if chain.plain:
                return None
            stages = [self._slots(graph, facts, chain, layer) for layer in chain.layers]
            kernels = _kernels(facts, chain.source, stages)
        except NotAffine as refusal:
            return Miss(node, str(refusal))
        return _emitted(graph, facts, chain.source, stages, kernels, node)

    def _slots(self, graph: Graph, facts: Facts, chain: Chain, layer: Layer) -> list[_Slot]:
        """The channels of one layer: what it makes, spare ones, what it carries."""
        made = [_Slot(node, chain.forms[node], _slopes(graph, node, chain.forms[node])) for node in layer.made]
        sloped = any(slot.slopes is not None and bool(slot.slopes.any()) for slot in made)
        carried = []
        for node in layer.carried:
            bounds = facts[node].bounds
            safe = bounds.low >= 0
            if not safe and not sloped:
                relu = layer.made[0].name
                raise NotAffine(
                    f"%{node.name} in {bounds} may be negative, which the ReLU of %{relu} would not let through"
                )
            form = Affine.of(node, channels_of(facts, node))
            carried.append(_Slot(node, form, torch.full_like(form.bias, 0.0 if safe else 1.0)))
        spare = 0 if layer is chain.layers[-1] else -sum(slot.width for slot in (*made, *carried)) % self.align
        zeros = torch.zeros(spare, dtype=torch.float64)
        return [*made, *([_Slot(None, Affine({}, zeros), zeros)] if spare else []), *carried]


@dataclass(frozen=True)
class _Slot:
    """Neighbouring channels of a layer.

    Attributes:
        node: The tensor they hold; None for spare channels.
        form: What the activation is applied to.
        slopes: Of the activation below zero, float64; None where there is none.
    """

    node: Node | None
    form: Affine
    slopes: Tensor | None

    @property
    def width(self) -> int:
        return len(self.form.bias)


def _slopes(graph: Graph, node: Node, form: Affine) -> Tensor | None:
    """Of an activation below zero, one per channel; None for a linear result."""
    if op_name(node) not in ACTIVATIONS:
        return None
    slope: Tensor | float = 0.0
    if op_name(node) == "leaky_relu":
        slope = arguments(node)["negative_slope"]
    elif op_name(node) == "prelu":
        weight = graph.constant(node.args[1])
        if weight is None:
            raise NotAffine(f"the slopes of %{node.name} are not constant")
        slope = weight.double()
    return torch.zeros_like(form.bias) + slope


_Kernel = tuple[Window, Tensor]


def _kernels(facts: Facts, source: Node, stages: Sequence[Sequence[_Slot]]) -> list[_Kernel]:
    """Kernel and bias of every layer over the channels of the one before."""
    state: list[tuple[Node | None, int]] = [(source, channels_of(facts, source))]
    kernels = []
    for slots in stages:
        whole = stacked([slot.form for slot in slots])
        windows = dict(zip(whole.windows, aligned(list(whole.windows.values())), strict=True))
        top, bottom, left, right = next(iter(windows.values())).pads
        if top != bottom or left != right or min(top, left) < 0:
            raise NotAffine("a layer pads its sides unevenly")
        like = next(iter(windows.values())).taps
        columns = [
            windows[node].taps if node in windows else like.new_zeros(len(like), width, *like.shape[2:])
            for node, width in state
        ]
        kernels.append((Window(torch.cat(columns, 1), (top, bottom, left, right)), whole.bias))
        state = [(slot.node, slot.width) for slot in slots]
    return kernels


def _emitted(
    graph: Graph, facts: Facts, value: Node, stages: Sequence[Sequence[_Slot]], kernels: Sequence[_Kernel], node: Node
) -> Node:
    dtype = facts[node].dtype
    assert dtype is not None
    for number, (slots, (window, bias)) in enumerate(zip(stages, kernels, strict=True)):
        padding = [window.pads[0], window.pads[2]]
        weight = graph.const(window.taps.to(dtype).contiguous(), f"layer{number}_weight", before=node)
        shift = graph.const(bias.to(dtype), f"layer{number}_bias", before=node)
        value = graph.add(aten.conv2d.default, value, weight, shift, [1, 1], padding, before=node)
        slopes = [slot.slopes for slot in slots if slot.slopes is not None]
        if slopes and bool(torch.cat(slopes).any()):
            constant = graph.const(torch.cat(slopes).to(dtype), f"layer{number}_slope", before=node)
            value = graph.add(aten.prelu.default, value, constant, before=node)
        elif slopes:
            value = graph.add(aten.relu.default, value, before=node)
    return value


def _is_layer(node: Node) -> bool:
    """Whether it computes, rather than moves."""
    return op_name(node) in (*ACTIVATIONS, *_ARITHMETIC)


def _feeds_a_layer(node: Node) -> bool:
    """Whether what it makes reaches another layer, directly or moved between channels."""
    return any(_is_layer(user) or (op_name(user) in _MOVES and _feeds_a_layer(user)) for user in node.users)
