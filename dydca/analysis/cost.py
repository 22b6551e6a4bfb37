"""What a graph costs: multiply-adds, parameters, and the bytes of its activations over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Facts, Size
from dydca.analysis.rules.arithmetic import product
from dydca.program import Graph, op_name

aten = torch.ops.aten


def _conv(result: Fact, weight: Fact) -> Size:
    """Each output element sums over its group's channels and the window."""
    return product(result.shape) * product(weight.shape[1:])


def _conv_transpose(x: Fact, weight: Fact) -> Size:
    """Each input element is spread over its group's outputs and the window."""
    return product(x.shape) * product(weight.shape[1:])


_WEIGHTED = ("conv1d", "conv2d", "conv3d")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_PRODUCTS = {
    "matmul": 0,
    "mm": 0,
    "bmm": 0,
    "mv": 0,
    "dot": 0,
    "linear": 0,
    "addmm": 1,
    "baddbmm": 1,
    "addmv": 1,
    "outer": 0,
}


def macs(node: Node, facts: Facts) -> Size:
    """Multiply-adds of one node: convolutions and matrix products; everything else counts as none, biases too.

    Source: the convention of the papers on super-resolution, 1 MAC = one multiplication and one addition.
    """
    name, operands = op_name(node), [facts[arg] if isinstance(arg, Node) else None for arg in node.args]
    if name in _WEIGHTED and operands[1] is not None:
        return _conv(facts[node], operands[1])
    transposed = name in _TRANSPOSED or (name == "convolution" and node.args[6])
    if name == "convolution" or transposed:
        x, weight = operands[0], operands[1]
        assert x is not None
        assert weight is not None
        return _conv_transpose(x, weight) if transposed else _conv(facts[node], weight)
    if name in _PRODUCTS and (left := operands[_PRODUCTS[name]]) is not None:
        inner = left.shape[-1] if name != "outer" else 1
        return product(facts[node].shape) * inner
    if name == "scaled_dot_product_attention":
        query, key, value = (fact for fact in operands[:3] if fact is not None)
        rows = product(query.shape[:-1]) * key.shape[-2]
        return rows * query.shape[-1] + rows * value.shape[-1]
    return 0


def parameters(graph: Graph) -> int:
    """Numbers the graph was trained to have: its floating constants, without the statistics of batch norms."""
    return sum(tensor.numel() for tensor in _distinct(graph.constants[name] for name in parameter_names(graph)))


def parameter_names(graph: Graph) -> list[str]:
    """The names of the constants that count as parameters."""
    statistics = {
        operand
        for node in graph
        if "batch_norm" in op_name(node) or op_name(node) == "instance_norm"
        for operand in node.args[3:5]
    }
    reads = [node for node in graph if node.op == "get_attr" and node not in statistics]
    return [str(node.target) for node in reads if graph.constants[str(node.target)].is_floating_point()]


def _distinct(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Tensors that share their memory count once."""
    return list({(tensor.data_ptr(), tuple(tensor.shape)): tensor for tensor in tensors}.values())


def size_bytes(fact: Fact) -> Size:
    """Bytes of a tensor, or of several."""
    if fact.items:
        return sum((size_bytes(item) for item in fact.items), start=0)
    return product(fact.shape) * fact.dtype.itemsize if fact.dtype is not None else 0


@dataclass(frozen=True)
class Memory:
    """Activation memory of a graph run in its own order.

    Attributes:
        live: Bytes live while each node runs, its operands and results included; views share their operand's memory.
        peak: The largest of `live`.
        total: Bytes of all activations, views not counted.
        bound: No order can do with less: the most that one node needs at once, or that inputs or outputs take together.
    """

    live: tuple[int, ...]
    peak: int
    total: int
    bound: int


def memory(graph: Graph, facts: Facts) -> Memory:
    """Follows the activations of one patch through the graph; constants are not activations.

    Raises:
        TypeError: A size is symbolic.
    """
    nodes = list(graph.fx.nodes)
    owner = _owners(nodes, facts)
    sizes = {node: _number(size_bytes(facts[node])) for node in set(owner.values())}
    last = {node: place for place, node in enumerate(nodes) if owner.get(node) is node}
    for place, node in enumerate(nodes):
        last.update((owner[operand], place) for operand in node.all_input_nodes if operand in owner)
    inputs = [owner[node] for node in graph.inputs if node in owner]
    live, alive, bound = [], set(inputs), sum(sizes[node] for node in inputs)
    for place, node in enumerate(nodes):
        touched = {owner[operand] for operand in (node, *node.all_input_nodes) if operand in owner}
        alive |= touched
        live.append(sum(sizes[buffer] for buffer in alive))
        bound = max(bound, sum(sizes[buffer] for buffer in touched))
        alive = {buffer for buffer in alive if last[buffer] > place}
    return Memory(tuple(live), max(live, default=0), sum(sizes.values()), bound)


def _owners(nodes: list[Node], facts: Facts) -> dict[Node, Node]:
    """The node whose memory each activation lies in: its own, or that of what it is a view of."""
    owner: dict[Node, Node] = {}
    for node in nodes:
        source = node.args[0] if node.args else None
        if node.op == "call_function" and isinstance(source, Node) and source in owner and _is_view(node):
            owner[node] = owner[source]
        elif node.op in ("placeholder", "call_function") and not facts[node].constant and _is_tensor(facts[node]):
            owner[node] = node
    return owner


def _is_tensor(fact: Fact) -> bool:
    return fact.dtype is not None or any(item.dtype is not None for item in fact.items)


def _is_view(node: Node) -> bool:
    """Whether the operator's own schema says that its result lies in its first operand's memory."""
    returns = getattr(getattr(node.target, "_schema", None), "returns", ())
    aliased = bool(returns) and all(result.alias_info is not None for result in returns)
    return op_name(node) == "getitem" or (aliased and op_name(node) != "contiguous")


def _number(size: Size) -> int:
    if not isinstance(size, int):
        raise TypeError(f"a size is symbolic: {size}")
    return size
