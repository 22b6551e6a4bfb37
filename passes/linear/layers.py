"""A network of streams and skips seen as one chain of wide layers: which tensors each layer must hold."""

from __future__ import annotations

from dataclasses import dataclass

from torch.fx import Node

from dydca.passes.linear.affine import Affine, NotAffine
from dydca.passes.linear.regions import LinearRegions
from dydca.program import op_name

ACTIVATIONS = ("relu", "prelu", "leaky_relu")
"""What may follow a layer."""


@dataclass(frozen=True)
class Layer:
    """One layer of the chain.

    Attributes:
        made: What it computes: activations, or the result if that is linear.
        carried: What it only hands on to a later layer.
    """

    made: tuple[Node, ...]
    carried: tuple[Node, ...]


@dataclass(frozen=True)
class Chain:
    """The layers between a source and a result.

    Attributes:
        source: What the first layer reads.
        layers: In order; the last makes the result.
        forms: What each activation is applied to, or the linear result, over earlier tensors of the chain.
    """

    source: Node
    layers: tuple[Layer, ...]
    forms: dict[Node, Affine]

    @property
    def plain(self) -> bool:
        """Whether the graph is already so: one convolution a layer, nothing carried."""
        return all(
            len(layer.made) == 1 and not layer.carried and _is_conv(_linear_part(layer.made[0]))
            for layer in self.layers
        )


def chain_to(regions: LinearRegions, result: Node) -> Chain:
    """Finds the layers that lead to `result`: each tensor lies one layer after the last that it reads.

    Raises:
        NotAffine: Something between is no convolution, or there are several sources.
    """
    forms: dict[Node, Affine] = {}
    sources: dict[Node, None] = {}
    waiting = [result]
    while waiting:
        node = waiting.pop()
        if node in forms or node in sources:
            continue
        if node is not result and op_name(node) not in ACTIVATIONS:
            sources[node] = None
            continue
        forms[node] = regions.over_nearest(_linear_part(node))
        waiting += forms[node].windows
    if len(sources) != 1:
        raise NotAffine(f"it depends on {len(sources)} tensors: {', '.join(f'%{node.name}' for node in sources)}")
    return Chain(next(iter(sources)), _layers(regions, result, forms), forms)


def _linear_part(node: Node) -> Node:
    part = node.args[0] if op_name(node) in ACTIVATIONS else node
    assert isinstance(part, Node)
    return part


def _is_conv(node: Node) -> bool:
    return op_name(node) == "conv2d"


def _layers(regions: LinearRegions, result: Node, forms: dict[Node, Affine]) -> tuple[Layer, ...]:
    depth: dict[Node, int] = {}
    last: dict[Node, int] = {}
    nodes = sorted(forms, key=regions.order.__getitem__)
    for node in nodes:
        depth[node] = 1 + max(depth.get(base, 0) for base in forms[node].windows)
        for base in forms[node].windows:
            last[base] = max(last.get(base, 0), depth[node])
    return tuple(
        Layer(
            tuple(node for node in nodes if depth[node] == level),
            tuple(base for base in last if depth.get(base, 0) < level < last[base]),
        )
        for level in range(1, depth[result] + 1)
    )
