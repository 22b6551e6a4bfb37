"""The kernel calls of a path without branches: groups, layouts, and conversions where layouts meet."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from math import prod
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Fact, Facts
from dydca.errors import LoweringError
from dydca.lower.calls import Call, Step, Value, Weight
from dydca.lower.groups import Group, form_groups
from dydca.lower.kernels.copy import Copy
from dydca.lower.kernels.epilogue import Operand
from dydca.lower.kernels.layer import Conv, Layer
from dydca.lower.kernels.move import Move
from dydca.lower.kernels.rows import RowKernel
from dydca.lower.layout import PLAIN, Layout, PictureShape, picture
from dydca.lower.legalize import legalize
from dydca.lower.recipes import Recipe
from dydca.lower.select_kernels import ConvAttributes, conv_attributes, select_kernel, stores_planes
from dydca.lower.targets import Target
from dydca.program import Graph, where

FEW_CHANNELS = 4
"""Up to here a picture stays plain: blocks would be mostly padding."""

Held: TypeAlias = dict[int, list[Value]]
"""The values that hold a computation, by its number, one per layout."""


class StraightLine:
    """Lowers a path from one decision to the next.

    Args:
        graph: The whole path, for one patch.
        facts: What is known of its nodes.
        key: Numbers for the nodes, equal for equal computations.
        held: What the steps before have computed; grows with the steps.
        target: The processor.

    Attributes:
        steps: The calls so far, in order.
    """

    def __init__(self, graph: Graph, facts: Facts, key: Mapping[Node, int], held: Held, target: Target) -> None:
        self.graph, self.facts, self.key, self.target = graph, facts, key, target
        self.held, self.steps = held, list[Step]()
        self.places: dict[Node, Value] = {}
        # Layouts are chosen for all readers on the path, those behind the next decision included.
        every = {node for node in self.graph if node.op == "call_function"}
        self.readers = [group for group in form_groups(self.graph, self.facts, every) if not group.fallback]

    def finish(self, results: Sequence[Node], outputs: Sequence[Value]) -> None:
        """Computes the network's outputs into the caller's tensors."""
        for node, output in zip(results, outputs, strict=True):
            self.places.setdefault(node, output)
        self._compute(results)
        for node, output in zip(results, outputs, strict=True):
            if (value := self._plain(node)) is not output:  # an input, a constant, or another output's
                self.steps.append(Call(Copy(prod(output.shape) * output.itemsize), [value], [output]))

    def scalar(self, node: Node) -> Value:
        """Computes a predicate."""
        self._compute([node])
        return self._plain(node)

    def _compute(self, results: Sequence[Node]) -> None:
        """Lowers all that the results need and nothing holds yet."""
        for group in form_groups(self.graph, self.facts, self._missing(results)):
            if group.fallback:
                self._lower_fallback(group)
            elif group.recipe is not None:
                self._lower_recipe(group, group.recipe)
            elif group.root is not None:
                self._lower_conv(group)
            else:
                self._lower_chain(group)

    def _missing(self, results: Sequence[Node]) -> set[Node]:
        found: set[Node] = set()
        stack = list(results)
        while stack:
            node = stack.pop()
            if node.op == "call_function" and node not in found and self.key[node] not in self.held:
                found.add(node)
                stack += node.all_input_nodes
        return found

    def _values(self, node: Node) -> list[Value]:
        """The places that hold the node's value; a constant read as a tensor is given one."""
        key = self.key[node]
        if key not in self.held and (tensor := self.graph.constant(node)) is not None:
            value = Value(node.name, self._picture(node), itemsize=tensor.itemsize)
            array = np.ascontiguousarray(tensor.detach().numpy())
            self.steps.append(Call(Copy(array.nbytes), [Weight(node.name, array)], [value]))
            self.held[key] = [value]
        return self.held.setdefault(key, [])

    def _picture(self, node: Node) -> PictureShape:
        return picture(self.facts.shape(node))

    # Layouts and the values that have them

    def _padding(self, node: Node) -> int:
        """The widest padding of the convolutions that read the node."""
        readers = [group for group in self.readers if group.is_conv and group.source is node]
        return max((max(self._attributes(reader).padding) for reader in readers), default=0)

    def _wanted(self, node: Node, shuffled: bool) -> Layout:
        """The layout in which the readers of a group's result can use it."""
        fed = any(group.source is node or any(reading is node for reading in group.readings) for group in self.readers)
        plain = not fed or shuffled or self._picture(node)[1] <= FEW_CHANNELS
        return Layout(1 if plain else self.target.lanes, self._padding(node))

    def _store(self, node: Node, layout: Layout) -> Value:
        """A new place for the node's value: the caller's own tensor if it is a plain output, else the arena."""
        if layout == PLAIN and node in self.places:
            value = self.places[node]
        else:
            value = Value(node.name, self._picture(node), layout=layout)
        self._values(node).append(value)
        return value

    def _plain(self, node: Node) -> Value:
        """The node's value as PyTorch would lay it out."""
        return self._laid_out(node, 1, 0, exact=True)

    def _laid_out(self, node: Node, block: int, halo: int, *, exact: bool = False) -> Value:
        """The node's value in blocks of `block` with a halo of at least `halo`, converted if need be."""
        for value in self._values(node):
            if value.layout.block == block and (value.layout.halo == halo or (value.layout.halo > halo and not exact)):
                return value
        source = self._values(node)[0]
        value = self._store(node, Layout(block, halo if exact else max(halo, self._padding(node))))
        self._move(source, value, self._picture(node))
        return value

    def _move(self, source: Value, target: Value, shape: PictureShape, shuffle: int = 1) -> None:
        kernel = Move(Layer(source.layout, shape, target.layout, shape, shuffle), self.target.lanes)
        self.steps.append(Call(kernel, [source], [target]))

    # Groups

    def _lower_conv(self, group: Group) -> None:
        shape, channels = self._picture(group.computed), self._picture(group.source)[1]
        layout = self._wanted(group.result, group.shuffle > 1)
        # A register tile that holds all channels can be turned as it is stored; others are moved afterwards.
        holds_all = stores_planes(self.target, shape[1]) and not self._is_depthwise(group)
        turned = layout.block == 1 and not holds_all
        stored = Layout(self.target.lanes, 0) if turned else layout
        weight, attributes = self._weight(group), self._attributes(group)
        source = self._laid_out(
            group.source, 1 if channels <= FEW_CHANNELS else self.target.lanes, max(attributes.padding)
        )
        operands, readings = self._read(group, self.target.lanes)
        layer = Conv(
            *(source.layout, self._picture(group.source), stored, shape),
            *(1 if turned else group.shuffle, tuple(group.steps), operands, self._window(group)),
            *(*attributes, shape[1] if self._is_depthwise(group) else 1),
        )
        choice = select_kernel(self.target, layer)
        kernel = choice.kernel
        constants = [("weight", kernel.pack_weights(weight)), ("bias", kernel.pack_channels(self._bias(group)))]
        reads: list[Value | Weight] = [source, *(Weight(f"{group.root}_{part}", array) for part, array in constants)]
        reads += readings
        self._call(group, kernel, reads, stored, layout, str(choice))

    def _lower_recipe(self, group: Group, recipe: Recipe) -> None:
        shape, block = self._picture(group.computed), self.target.lanes
        layout = self._wanted(group.result, group.shuffle > 1)
        stored = Layout(block, 0) if layout.block == 1 else layout
        source = self._laid_out(group.source, block, 0)
        operands, readings = self._read(group, block)
        layer = Layer(
            source.layout, self._picture(group.source), stored, shape, steps=tuple(group.steps), operands=operands
        )
        kernel = recipe.make(layer, block)
        self._call(group, kernel, [source, *readings], stored, layout)

    def _call(
        self,
        group: Group,
        kernel: RowKernel,
        reads: list[Value | Weight],
        stored: Layout,
        wanted: Layout,
        why: str = "",
    ) -> None:
        """Appends the call, and the move from the layout in which the kernel stores to the one that is wanted."""
        result, shape = self._store(group.result, wanted), self._picture(group.computed)
        written = result if stored == wanted else Value(f"{group.root}", shape, layout=stored)
        self.steps.append(Call(kernel, reads, [written], tuple(node.name for node in group.nodes), why))
        if written is not result:
            self._move(written, result, shape, group.shuffle)

    def _lower_chain(self, group: Group) -> None:
        source, shape = self._values(group.source)[0], self._picture(group.source)
        operands, readings = self._read(group, source.layout.block)
        layout = self._wanted(group.result, group.shuffle > 1)
        layer = Layer(source.layout, shape, layout, shape, group.shuffle, tuple(group.steps), operands)
        kernel = Move(layer, self.target.lanes)
        reads = [source, *readings]
        names = tuple(node.name for node in group.nodes)
        self.steps.append(Call(kernel, reads, [self._store(group.result, layout)], names))

    def _lower_fallback(self, group: Group) -> None:
        node = group.result
        if node.target is operator.getitem:
            return  # held since its operand was lowered
        tensors = [operand for operand in node.all_input_nodes if self.graph.constant(operand) is None]
        reads = {operand: self._plain(operand) for operand in tensors}
        if items := self.facts[node].items:
            results = [
                Value(f"{node.name}_{i}", tuple(map(int, item.shape)), itemsize=_itemsize(item))
                for i, item in enumerate(items)
            ]
            for reader in (user for user in node.users if user.target is operator.getitem):
                number = reader.args[1]
                assert isinstance(number, int)
                self.held[self.key[reader]] = [results[number]]
        else:
            results = [self._store(node, PLAIN)]
            results[0].itemsize = _itemsize(self.facts[node])
        self.steps += legalize(self.graph, self.facts, node, reads, results, self.target)

    def _read(self, group: Group, block: int) -> tuple[tuple[Operand, ...], list[Value | Weight]]:
        """The epilogue's operands beside values in blocks of `block`."""
        operands, reads = list[Operand](), list[Value | Weight]()
        for reading in group.readings:
            shape = self._picture(reading) if isinstance(reading, Node) else picture(reading.shape)
            layout = Layout(block if shape[1] > 1 else 1, 0)
            if isinstance(reading, Node):
                reads.append(value := self._laid_out(reading, *layout[:2]))
                layout = value.layout
            else:
                reads.append(Weight(f"{group.result}_operand", layout.packed(reading)))
            operands.append(Operand(layout, shape))
        return tuple(operands), reads

    # The convolution itself

    def _attributes(self, group: Group) -> ConvAttributes:
        """Stride, padding and dilation."""
        assert group.root is not None
        return conv_attributes(group.root, self._window(group))

    def _window(self, group: Group) -> tuple[int, int]:
        """Height and width of the convolution's kernel."""
        height, width = self._tensor(group).shape[2:]
        return int(height), int(width)

    def _is_depthwise(self, group: Group) -> bool:
        """Whether each channel is made of its own one only, and there are enough of them to fill blocks."""
        outputs, of_group = self._tensor(group).shape[:2]
        return of_group == 1 and outputs == self._picture(group.source)[1] > FEW_CHANNELS

    def _tensor(self, group: Group) -> Tensor:
        """The convolution's weights as the network has them, [O, C / groups, KH, KW]."""
        assert group.root is not None
        tensor = self.graph.constant(group.root.args[1])
        if tensor is None:
            got = "weights that depend on an input"
            raise LoweringError("DYD401", "a convolution without constant weights", where=where(group.root), got=got)
        return tensor

    def _weight(self, group: Group) -> NDArray[np.float32]:
        """The convolution's weights, groups spread into a dense [O, C, KH, KW] unless it is depthwise."""
        array = _array(self._tensor(group))
        channels, groups = self._picture(group.source)[1], self._picture(group.source)[1] // array.shape[1]
        if groups == 1 or self._is_depthwise(group):
            return array
        dense = np.zeros((array.shape[0], channels, *array.shape[2:]), np.float32)
        of_group = array.shape[0] // groups
        for number in range(groups):
            rows = slice(number * of_group, (number + 1) * of_group)
            dense[rows, number * array.shape[1] : (number + 1) * array.shape[1]] = array[rows]
        return dense

    def _bias(self, group: Group) -> NDArray[np.float32]:
        """The convolution's bias, zeros if it has none."""
        assert group.root is not None
        tensor = self.graph.constant(group.root.args[2]) if len(group.root.args) > 2 else None
        return _array(tensor) if tensor is not None else np.zeros(self._picture(group.computed)[1], np.float32)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().to(torch.float32).numpy())


def _itemsize(fact: Fact) -> int:
    """Bytes of an element of a tensor."""
    assert fact.dtype is not None
    return fact.dtype.itemsize
