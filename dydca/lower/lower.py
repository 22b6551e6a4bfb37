"""From a static graph to kernel calls: groups, layouts, and the conversions between layouts where they meet."""

from __future__ import annotations

import operator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.errors import LoweringError
from dydca.lower.calls import Call, Calls, Value, Weight
from dydca.lower.groups import Group, form_groups
from dydca.lower.kernels.epilogue import Operand
from dydca.lower.kernels.move import Move
from dydca.lower.layout import PLAIN, Layout, picture
from dydca.lower.legalize import legalize
from dydca.lower.select_kernels import ConvShape, conv_attributes, select_conv, stores_planes
from dydca.lower.targets import Target
from dydca.passes import Variant
from dydca.program import Graph, where

FEW_CHANNELS = 4
"""Up to here a picture stays plain: blocks would be mostly padding."""


def lower(variant: Variant, name: str, target: Target) -> Calls:
    """Lowers one (route, patch).

    Raises:
        LoweringError: DYD401 an operator has no native form, DYD402 an input or output is not float32.
    """
    return _Lowering(variant.graph, variant.facts, name, target).run()


class _Lowering:
    """The calls so far, and the values that hold each node, one per layout."""

    def __init__(self, graph: Graph, facts: Facts, name: str, target: Target) -> None:
        self.graph, self.facts, self.target = graph, facts, target
        for node in (*graph.inputs, *graph.outputs):
            if facts[node].dtype != torch.float32:
                raise LoweringError("DYD402", "not a float32 tensor", where=where(node), got=facts[node].dtype)
        self.groups = form_groups(graph, facts)
        self.inputs = [Value(n.name, self.picture(n), "input", i) for i, n in enumerate(graph.inputs)]
        self.outputs = [Value(n.name, self.picture(n), "output", i) for i, n in enumerate(graph.outputs)]
        self.held: dict[Node, list[Value]] = {n: [v] for n, v in zip(graph.inputs, self.inputs, strict=True)}
        self.calls = Calls(name, self.inputs, self.outputs)

    def run(self) -> Calls:
        for group in self.groups:
            if group.fallback:
                self.lower_fallback(group)
            elif group.root is not None:
                self.lower_conv(group)
            else:
                self.lower_chain(group)
        for node, output in zip(self.graph.outputs, self.outputs, strict=True):
            if output not in self.held.get(node, ()):
                self.move(self.plain(node), output, self.picture(node))
        return self.calls

    def picture(self, node: Node) -> tuple[int, int, int, int]:
        return picture(self.facts.shape(node))

    # Layouts and the values that have them

    def padding(self, node: Node) -> int:
        """The widest padding of the convolutions that read the node."""
        readers = [g for g in self.groups if g.root is not None and not g.fallback and g.source is node]
        return max((max(conv_attributes(g.root, self.window(g)).padding) for g in readers if g.root), default=0)

    def wanted(self, node: Node, shuffled: bool) -> Layout:
        """The layout in which the readers of a group's result can use it."""
        kept = [group for group in self.groups if not group.fallback]
        fed = any(group.source is node or any(reading is node for reading in group.readings) for group in kept)
        plain = not fed or shuffled or self.picture(node)[1] <= FEW_CHANNELS
        return Layout(1 if plain else self.target.lanes, self.padding(node))

    def store(self, node: Node, layout: Layout) -> Value:
        """A new place for the node's value: the caller's own tensor if it is a plain output, else the arena."""
        if layout == PLAIN and node in self.graph.outputs:
            value = self.outputs[self.graph.outputs.index(node)]
        else:
            value = Value(node.name, layout.buffer(self.picture(node)), layout=layout)
        self.held.setdefault(node, []).append(value)
        return value

    def plain(self, node: Node) -> Value:
        """The node's value as PyTorch would lay it out."""
        return self.laid_out(node, 1, 0, exact=True)

    def laid_out(self, node: Node, block: int, halo: int, *, exact: bool = False) -> Value:
        """The node's value in blocks of `block` with a halo of at least `halo`, converted if need be."""
        self.materialize(node)
        for value in self.held[node]:
            if value.layout.block == block and (value.layout.halo == halo or (value.layout.halo > halo and not exact)):
                return value
        layout = Layout(block, halo if exact else max(halo, self.padding(node)))
        value = Value(node.name, layout.buffer(self.picture(node)), layout=layout)
        self.move(self.held[node][0], value, self.picture(node))
        self.held[node].append(value)
        return value

    def materialize(self, node: Node) -> None:
        """Gives a constant that is read as a picture a place of its own."""
        if node not in self.held and (tensor := self.graph.constant(node)) is not None:
            value = Value(node.name, self.picture(node))
            kernel = Move(self.picture(node), PLAIN, PLAIN, 1, (), (), self.target.lanes)
            self.calls.calls.append(Call(kernel, [Weight(node.name, _array(tensor))], [value]))
            self.held[node] = [value]

    def move(self, source: Value, target: Value, shape: tuple[int, int, int, int], shuffle: int = 1) -> None:
        kernel = Move(shape, source.layout, target.layout, shuffle, (), (), self.target.lanes)
        self.calls.calls.append(Call(kernel, [source], [target]))

    # Groups

    def lower_conv(self, group: Group) -> None:
        shape, channels = self.picture(group.computed), self.picture(group.source)[1]
        layout = self.wanted(group.result, group.shuffle > 1)
        # A register tile that holds all channels can be turned as it is stored; others are moved afterwards.
        turned = layout.block == 1 and not stores_planes(self.target, shape[1])
        stored = Layout(self.target.lanes, 0) if turned else layout
        weight, attributes = self.weight(group), conv_attributes(group.root, self.window(group))
        source = self.laid_out(
            group.source, 1 if channels <= FEW_CHANNELS else self.target.lanes, max(attributes.padding)
        )
        operands, readings = self.read(group, self.target.lanes)
        kernel = select_conv(
            self.target,
            ConvShape(source.layout, self.picture(group.source), stored, shape, self.window(group)),
            attributes,
            1 if turned else group.shuffle,
            tuple(group.steps),
            operands,
        )
        constants = [("weight", kernel.pack_weights(weight)), ("bias", kernel.pack_channels(self.bias(group)))]
        reads = [source, *(Weight(f"{group.root}_{part}", array) for part, array in constants)]
        reads += [kernel_operand(reading, kernel.padded_channels, group) for reading in readings]
        result = self.store(group.result, layout)
        written = Value(f"{group.root}", stored.buffer(shape), layout=stored) if turned else result
        self.calls.calls.append(Call(kernel, reads, [written], tuple(node.name for node in group.nodes)))
        if turned:
            self.move(written, result, shape, group.shuffle)

    def lower_chain(self, group: Group) -> None:
        self.materialize(group.source)
        source, shape = self.held[group.source][0], self.picture(group.source)
        operands, readings = self.read(group, source.layout.block)
        layout = self.wanted(group.result, group.shuffle > 1)
        kernel = Move(shape, source.layout, layout, group.shuffle, tuple(group.steps), operands, self.target.lanes)
        padded = source.layout.blocks(shape[1]) * source.layout.block
        reads = [source, *(kernel_operand(reading, padded, group) for reading in readings)]
        names = tuple(node.name for node in group.nodes)
        self.calls.calls.append(Call(kernel, reads, [self.store(group.result, layout)], names))

    def lower_fallback(self, group: Group) -> None:
        node = group.result
        if node.target is operator.getitem:
            self.held[node] = [self.held[node.args[0]][node.args[1]]]  # type: ignore[index]
            return
        tensors = [operand for operand in node.all_input_nodes if self.graph.constant(operand) is None]
        reads = {operand: self.plain(operand) for operand in tensors}
        if items := self.facts[node].items:
            results = [
                Value(f"{node.name}_{i}", tuple(map(int, item.shape)), itemsize=item.dtype.itemsize)  # type: ignore[union-attr]
                for i, item in enumerate(items)
            ]
            self.held[node] = results
        else:
            results = [self.store(node, PLAIN)]
            results[0].itemsize = self.facts[node].dtype.itemsize  # type: ignore[union-attr]
        self.calls.calls += legalize(self.graph, self.facts, node, reads, results, self.target)

    def read(self, group: Group, block: int) -> tuple[tuple[Operand, ...], list[Value | NDArray[np.float32]]]:
        """The epilogue's operands: tensors in the given block, constants as they are."""
        readings: list[Value | NDArray[np.float32]] = [
            self.laid_out(reading, block, 0) if isinstance(reading, Node) else reading for reading in group.readings
        ]
        return tuple(Operand(value.layout.halo if isinstance(value, Value) else None) for value in readings), readings

    # Constants

    def window(self, group: Group) -> tuple[int, int]:
        """Height and width of the convolution's kernel."""
        height, width = self.weight(group).shape[2:]
        return int(height), int(width)

    def weight(self, group: Group) -> NDArray[np.float32]:
        """The convolution's weights, groups spread into a dense [O, C, KH, KW]."""
        assert group.root is not None
        tensor = self.graph.constant(group.root.args[1])
        if tensor is None:
            got = "weights that depend on an input"
            raise LoweringError("DYD401", "a convolution without constant weights", where=where(group.root), got=got)
        array = _array(tensor)
        channels, groups = self.picture(group.source)[1], self.picture(group.source)[1] // array.shape[1]
        if groups == 1:
            return array
        dense = np.zeros((array.shape[0], channels, *array.shape[2:]), np.float32)
        of_group = array.shape[0] // groups
        for number in range(groups):
            rows = slice(number * of_group, (number + 1) * of_group)
            dense[rows, number * array.shape[1] : (number + 1) * array.shape[1]] = array[rows]
        return dense

    def bias(self, group: Group) -> NDArray[np.float32]:
        """The convolution's bias, zeros if it has none."""
        assert group.root is not None
        tensor = self.graph.constant(group.root.args[2]) if len(group.root.args) > 2 else None
        return _array(tensor) if tensor is not None else np.zeros(self.picture(group.computed)[1], np.float32)


def kernel_operand(reading: Value | NDArray[np.float32], channels: int, group: Group) -> Value | Weight:
    """A tensor operand as it is, a constant per channel padded to whole blocks."""
    if isinstance(reading, Value):
        return reading
    padded = np.zeros(channels, np.float32)
    padded[: reading.size] = reading
    return Weight(f"{group.result}_operand", padded)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().to(torch.float32).numpy())
