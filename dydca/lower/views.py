"""Operators that compute nothing: some channels of a tensor where they lie, or the same elements by another shape."""

from __future__ import annotations

import operator
from typing import NamedTuple

import torch
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.program import arguments

aten = torch.ops.aten

SPLITS = (aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default)
RESHAPES = (
    *(aten.reshape.default, aten.view.default, aten._unsafe_view.default, aten.flatten.using_ints),
    *(aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default),
)


class Channels(NamedTuple):
    """Channels of a picture [N, C, H, W] from `first` on."""

    source: Node
    first: int


def channels_of(facts: Facts, node: Node) -> Channels | None:
    """What channels the node is of another tensor; None if it is anything else."""
    if facts[node].dtype != torch.float32 or len(facts[node].shape) != 4:
        return None
    if node.target is operator.getitem:
        split, number = node.args
        if not isinstance(split, Node) or not isinstance(number, int) or not splits_channels(facts, split):
            return None
        sizes = [int(item.shape[1]) for item in facts[split].items]
        return Channels(split.all_input_nodes[0], sum(sizes[: number % len(sizes)]))
    if node.target != aten.slice.Tensor:
        return None
    named, (source,) = arguments(node), node.all_input_nodes
    if named["dim"] % 4 != 1 or named["step"] != 1:
        return None
    count = facts.shape(source)[1]
    start = named["start"] or 0
    return Channels(source, min(start if start >= 0 else max(start + count, 0), count))


def splits_channels(facts: Facts, node: Node) -> bool:
    """Whether it cuts a picture into parts of its channels."""
    if node.target not in SPLITS:
        return False
    fact = facts[node.all_input_nodes[0]]
    return fact.dtype == torch.float32 and len(fact.shape) == 4 and int(arguments(node)["dim"]) % 4 == 1


def joined_channels(facts: Facts, node: Node) -> dict[Node, int]:
    """The pictures that the node joins one after the other, each with its first channel; empty if it does not."""
    if node.target != aten.cat.default or facts[node].dtype != torch.float32 or len(facts[node].shape) != 4:
        return {}
    named = arguments(node)
    parts: dict[Node, int] = {}
    first = 0
    for part in named["tensors"]:
        if named["dim"] % 4 != 1 or part in parts or len(facts[part].shape) != 4 or facts[part].dtype != torch.float32:
            return {}
        parts[part] = first
        first += facts.shape(part)[1]
    return parts
