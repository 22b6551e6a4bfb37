"""The kernel calls of a path without branches: groups, and conversions where layouts meet."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from math import prod

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
from dydca.lower.kernels.product import Product
from dydca.lower.kernels.rows import RowKernel
from dydca.lower.layout import PLAIN, Layout, picture
from dydca.lower.legalize import legalize
from dydca.lower.packings import ConvCall
from dydca.lower.places import FEW_CHANNELS, Held, Place, Places
from dydca.lower.recipes import Recipe
from dydca.lower.select_kernels import Choice, ConvAttributes, Precision, conv_attributes, select_kernel, stores_planes
from dydca.lower.targets import Target
from dydca.lower.views import RESHAPES, channels_of, joined_channels, splits_channels
from dydca.program import Graph, op_name, where


class StraightLine:
    """Lowers a path from one decision to the next.

    Args:
        graph: The whole path, for one patch.
        facts: What is known of its nodes.
        key: Numbers for the nodes, equal for equal computations.
        held: What the steps before have computed; grows with the steps.
        target: The processor.
        precision: Of the convolutions.
    """

    def __init__(
        self, graph: Graph, facts: Facts, key: Mapping[Node, int], held: Held, target: Target, precision: Precision
    ) -> None:
        self.graph, self.facts, self.key, self.target, self.precision = graph, facts, key, target, precision
        self.at = Places(graph, facts, key, held, target)
        self._survey()

    @property
    def held(self) -> Held:
        """What has been computed."""
        return self.at.held

    @property
    def steps(self) -> list[Step]:
        """The calls so far, in order."""
        return self.at.steps

    def finish(self, results: Sequence[Node], outputs: Sequence[Value]) -> None:
        """Computes the network's outputs into the caller's tensors."""
        for node, output in zip(results, outputs, strict=True):
            self.at.outputs.setdefault(node, output)
        self._compute(results)
        for node, output in zip(results, outputs, strict=True):
            if (value := self.at.plain(node)) is not output:  # an input, a constant, or another output's
                self.steps.append(Call(Copy(prod(output.shape) * output.itemsize), [value], [output]))

    def scalar(self, node: Node) -> Value:
        """Computes a predicate."""
        self._compute([node])
        return self.at.plain(node)

    def _survey(self) -> None:
        """Tells the places what templates read, on all of the path, that behind the next decision included."""
        every = {node for node in self.graph if node.op == "call_function"}
        for group in form_groups(self.graph, self.facts, every):
            if not group.fallback:
                halo = max(self._attributes(group).padding) if group.is_conv else 0
                self.at.feeds(group.source, halo)
                for reading in group.readings:
                    if isinstance(reading, Node):
                        self.at.feeds(reading)
        for node in reversed(tuple(self.graph)):
            parts = joined_channels(self.facts, node)
            if all(first % self.at.wanted(node).block == 0 for first in parts.values()):
                self.at.parts |= {part: (node, first) for part, first in parts.items()}
            view = channels_of(self.facts, node)
            if node in self.at.fed:
                for source in parts if view is None else [view.source]:
                    self.at.feeds(source, self.at.halos[node])

    def _compute(self, results: Sequence[Node]) -> None:
        """Lowers all that the results need and nothing holds yet."""
        for group in form_groups(self.graph, self.facts, self._missing(results)):
            if group.recipe is not None:
                self._lower_recipe(group, group.recipe)
            elif group.is_conv:
                self._lower_conv(group)
            elif group.root is None:
                self._lower_chain(group)
            elif self._is_product(group.result):
                self._lower_product(group.result)
            elif not self._lies_already(group.result):
                self._lower_fallback(group.result)

    def _missing(self, results: Sequence[Node]) -> set[Node]:
        found: set[Node] = set()
        stack = list(results)
        while stack:
            node = stack.pop()
            if node.op == "call_function" and node not in found and self.key[node] not in self.held:
                found.add(node)
                stack += node.all_input_nodes
        return found

    # Groups

    def _lower_conv(self, group: Group) -> None:
        shape, channels = self.at.picture(group.computed), self.at.picture(group.source)[1]
        layout = self.at.wanted(group.result, shuffled=group.shuffle > 1)
        # A register tile that holds all channels can be turned as it is stored; others are moved afterwards.
        depthwise = self._is_depthwise(group)
        turned = layout.block == 1 and (depthwise or not stores_planes(self.target, shape[1]))
        weight, attributes = self._weight(group), self._attributes(group)
        source = self._conv_source(group, max(attributes.padding))
        operands, readings = self._read(group, self.target.lanes)
        # Channels of the first block that are not the source's own are given no weight.
        weight = np.pad(weight, ((0, 0), (source.lane, 0), (0, 0), (0, 0)))
        n, _, h, w = self.at.picture(group.source)
        result = self.at.result(group.result, layout)
        written = self._scratch(group, self.target.lanes) if turned else result
        layer = Conv(
            *(source.layout, (n, source.lane + channels, h, w), written.layout, shape),
            *(1 if turned else group.shuffle, tuple(group.steps), operands, self._window(group)),
            *(*attributes, shape[1] if depthwise else 1),
        )
        choice = select_kernel(self.target, layer, self.precision)
        constants = Weight(f"{group.root}_weight", weight), Weight(f"{group.root}_bias", self._bias(group))
        self._call(group, choice.kernel, [source.value, *constants, *readings], written, result, choice)

    def _conv_source(self, group: Group, halo: int) -> Place:
        """The picture in blocks; one of few channels plain, unless it lies among others in blocks."""
        lanes, dense = self.target.lanes, not self._is_depthwise(group)
        few = self.at.picture(group.source)[1] <= FEW_CHANNELS
        blocked = any(place.layout.block > 1 for place in self.at.of(group.source))
        return self.at.laid_out(group.source, 1 if few and not blocked else lanes, halo, any_lane=dense)

    def _lower_recipe(self, group: Group, recipe: Recipe) -> None:
        """A kernel between pictures in blocks, or from planes to anything."""
        shape, layout = self.at.picture(group.computed), self.at.wanted(group.result, shuffled=group.shuffle > 1)
        block = 1 if recipe.planes else self.target.lanes
        source = self.at.laid_out(group.source, block, 0)
        operands, readings = self._read(group, block)
        result = self.at.result(group.result, layout)
        moved = group.shuffle > 1 or not (recipe.planes or layout.block == block)
        written = self._scratch(group, block) if moved else result
        steps = tuple(group.steps)
        layer = Layer(
            source.layout, self.at.picture(group.source), written.layout, shape, steps=steps, operands=operands
        )
        kernel = recipe.make(layer, self.target.lanes)
        tables = [Weight(f"{group.root}_{name}", table) for name, table in kernel.tables().items()]
        self._call(group, kernel, [source.value, *tables, *readings], written, result)

    def _lower_chain(self, group: Group) -> None:
        source, shape = self.at.of(group.source)[0], self.at.picture(group.source)
        operands, readings = self._read(group, source.layout.block)
        result = self.at.result(group.result, self.at.wanted(group.result, shuffled=group.shuffle > 1))
        layer = Layer(source.layout, shape, result.layout, shape, group.shuffle, tuple(group.steps), operands)
        kernel = Move(layer, self.target.lanes, first_lane=source.lane)
        self._call(group, kernel, [source.value, *readings], result, result)

    def _scratch(self, group: Group, block: int) -> Place:
        """A place for what is moved afterwards."""
        layout = Layout(block, 0)
        return Place(Value(f"{group.root}", self.at.picture(group.computed), layout=layout), layout)

    def _call(
        self,
        group: Group,
        kernel: RowKernel,
        reads: list[Value | Weight],
        written: Place,
        result: Place,
        choice: Choice | None = None,
    ) -> None:
        """Appends the call, and the move from where the kernel stores to where the result is to be."""
        of = kernel, reads, [written.value], tuple(node.name for node in group.nodes)
        self.steps.append(Call(*of) if choice is None else ConvCall(*of, choice=choice))
        if written is not result:
            self.at.move(written, result, self.at.picture(group.computed), group.shuffle)

    def _lies_already(self, node: Node) -> bool:
        """Places what has not to be computed: channels of another tensor, channels joined, other shapes."""
        if (view := channels_of(self.facts, node)) is not None:
            self.at.add_channels(node, *view)
        elif parts := joined_channels(self.facts, node):
            self.at.join(node, parts)
        elif node.target in RESHAPES:
            self.held[self.key[node]] = [Place(self.at.plain(node.all_input_nodes[0]), PLAIN)]
        else:
            return splits_channels(self.facts, node)
        return True

    def _lower_fallback(self, node: Node) -> None:
        if node.target is operator.getitem:
            return  # held since its operand was lowered
        tensors = [operand for operand in node.all_input_nodes if self.graph.constant(operand) is None]
        reads = {operand: self.at.plain(operand) for operand in tensors}
        if items := self.facts[node].items:
            results = [
                Value(f"{node.name}_{i}", tuple(map(int, item.shape)), itemsize=_itemsize(item))
                for i, item in enumerate(items)
            ]
            for reader in (user for user in node.users if user.target is operator.getitem):
                number = reader.args[1]
                assert isinstance(number, int)
                self.held[self.key[reader]] = [Place(results[number], PLAIN)]
        else:
            results = [self.at.add(node, PLAIN).value]
            results[0].itemsize = _itemsize(self.facts[node])
        self.at.steps += legalize(self.graph, self.facts, node, reads, results, self.target)

    def _is_product(self, node: Node) -> bool:
        return op_name(node) in ("matmul", "mm", "bmm") and self.facts[node].dtype == torch.float32

    def _lower_product(self, node: Node) -> None:
        """A product of two tensors; a vector on the left is a matrix of one row, on the right of one column."""
        operands = [operand for operand in node.args if isinstance(operand, Node)]
        left, right = (self.facts.shape(operand) for operand in operands)
        left, right = (1, *left) if len(left) == 1 else left, (*right, 1) if len(right) == 1 else right
        rank = max(len(left), len(right))
        left, right = ((1,) * (rank - len(shape)) + shape for shape in (left, right))
        reads: list[Value | Weight] = [self.at.plain(operand) for operand in operands]
        kernel = Product(left, right, self.target.lanes)
        self.steps.append(Call(kernel, reads, [self.at.add(node, PLAIN).value], (node.name,)))

    def _read(self, group: Group, block: int) -> tuple[tuple[Operand, ...], list[Value | Weight]]:
        """The epilogue's operands beside values in blocks of `block`."""
        operands, reads = list[Operand](), list[Value | Weight]()
        for reading in group.readings:
            shape = self.at.picture(reading) if isinstance(reading, Node) else picture(reading.shape)
            layout = Layout(block if shape[1] > 1 else 1, 0)
            if isinstance(reading, Node):
                place = self.at.laid_out(reading, layout.block, 0)
                reads.append(place.value)
                layout = place.layout
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
        return of_group == 1 and outputs == self.at.picture(group.source)[1] > FEW_CHANNELS

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
        channels, groups = self.at.picture(group.source)[1], self.at.picture(group.source)[1] // array.shape[1]
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
        return _array(tensor) if tensor is not None else np.zeros(self.at.picture(group.computed)[1], np.float32)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().to(torch.float32).numpy())


def _itemsize(fact: Fact) -> int:
    """Bytes of an element of a tensor."""
    assert fact.dtype is not None
    return fact.dtype.itemsize
