"""From a static graph to kernel calls: groups, layouts, and the conversions between layouts where they meet."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx
from torch.fx import Node

from dydca.errors import LoweringError
from dydca.lower.calls import Branch, Call, Calls, Value, Weight
from dydca.lower.groups import Group, form_groups
from dydca.lower.kernels.epilogue import Operand
from dydca.lower.kernels.move import Move
from dydca.lower.layout import PLAIN, Layout, picture
from dydca.lower.legalize import legalize
from dydca.lower.select_kernels import ConvAttributes, ConvShape, conv_attributes, select_conv, stores_planes
from dydca.lower.targets import Target
from dydca.passes import Variant
from dydca.program import where

FEW_CHANNELS = 4
"""Up to here a picture stays plain: blocks would be mostly padding."""


def lower(variants: Sequence[Variant], name: str, target: Target) -> Calls:
    """Lowers one patch: its only route, or the tree of routes that values choose from.

    Raises:
        LoweringError: DYD401 an operator has no native form, DYD402 an input or output is not float32, DYD403 the
            routes' outputs differ in shape, DYD405 a size depends on values.
    """
    for variant in variants:
        _refuse_open_sizes(variant)
    paths = [_Path(variant) for variant in variants]
    shapes = [[path.facts.shape(node) for node in path.outputs] for path in paths]
    if any(shape != shapes[0] for shape in shapes):
        got = " or ".join(sorted({str(shape) for shape in shapes}))
        raise LoweringError("DYD403", "routes chosen by value differ in the shape of their outputs", got=got)
    first = paths[0]
    for node in (*first.graph.inputs, *first.outputs):
        if first.facts[node].dtype != torch.float32:
            raise LoweringError("DYD402", "not a float32 tensor", where=where(node), got=first.facts[node].dtype)
    inputs = [Value(n.name, first.picture(n), "input", i) for i, n in enumerate(first.graph.inputs)]
    outputs = [Value(n.name, first.picture(n), "output", i) for i, n in enumerate(first.outputs)]
    keys: dict[object, int] = {}
    for path in paths:
        path.number(keys)
    held = {first.key[node]: [value] for node, value in zip(first.graph.inputs, inputs, strict=True)}
    return Calls(name, inputs, outputs, _lower_tree(paths, 0, held, outputs, target))


def _refuse_open_sizes(variant: Variant) -> None:
    for node in variant.graph:
        fact = variant.facts[node] if node in variant.facts else None
        if fact is not None and not all(isinstance(size, int) for size in fact.shape):
            raise LoweringError("DYD405", "a size depends on values", where=where(node), got=fact.shape)


class _Path:
    """One route on one patch; `key` numbers its nodes so that equal computations of all routes have equal numbers."""

    def __init__(self, variant: Variant) -> None:
        self.graph, self.facts, self.decisions = variant.graph, variant.facts, variant.route.decisions
        results = self.graph.outputs
        self.outputs = results[: len(results) - len(self.decisions)]
        self.predicates = results[len(self.outputs) :]
        self.key: dict[Node, int] = {}

    def number(self, keys: dict[object, int]) -> None:
        """Numbers the nodes; `keys` holds what other routes have numbered."""
        for node in self.graph:
            if (tensor := self.graph.constant(node)) is not None:
                described: object = id(tensor)
            elif node.op == "placeholder":
                described = ("input", self.graph.inputs.index(node))
            else:
                operands = fx.node.map_arg((node.args, node.kwargs), lambda operand: f"%{self.key[operand]}")
                described = (node.op, str(node.target), str(operands))
            self.key[node] = keys.setdefault(described, len(keys))

    def picture(self, node: Node) -> tuple[int, int, int, int]:
        return picture(self.facts.shape(node))


Held = dict[int, list[Value]]
"""The values that hold a computation, by its number, one per layout."""


def _lower_tree(
    paths: Sequence[_Path], depth: int, held: Held, outputs: list[Value], target: Target
) -> list[Call | Branch]:
    """The steps from here on: what the next predicate needs, then an arm per outcome, or the end of the only path."""
    path = paths[0]
    lowering = _Lowering(path, held, target)
    if depth == len(path.decisions):
        lowering.finish(outputs)
        return lowering.steps
    decided = path.graph.constant(path.predicates[depth])
    if decided is not None:
        taken = [other for other in paths if other.decisions[depth].outcome == int(decided)]
        return _lower_tree(taken, depth + 1, held, outputs, target)
    predicate = lowering.scalar(path.predicates[depth])
    arms = []
    for outcome in range(path.decisions[depth].arity):
        taken = [other for other in paths if other.decisions[depth].outcome == outcome]
        copied = {key: list(values) for key, values in lowering.held.items()}
        arms.append(_lower_tree(taken, depth + 1, copied, outputs, target))
    return [*lowering.steps, Branch(predicate, arms)]


class _Lowering:
    """Steps of one path from one decision to the next; values of the steps before are held."""

    def __init__(self, path: _Path, held: Held, target: Target) -> None:
        self.graph, self.facts, self.target, self.path = path.graph, path.facts, target, path
        self.held, self.steps = held, list[Call | Branch]()
        self.places: dict[Node, Value] = {}
        # Layouts are chosen for all readers on the path, those behind the next decision included.
        every = {node for node in self.graph if node.op == "call_function"}
        self.readers = [group for group in form_groups(self.graph, self.facts, every) if not group.fallback]

    def finish(self, outputs: list[Value]) -> None:
        """Computes the network's outputs into the caller's tensors."""
        for node, output in zip(self.path.outputs, outputs, strict=True):
            self.places.setdefault(node, output)
        self.compute(self.path.outputs)
        for node, output in zip(self.path.outputs, outputs, strict=True):
            if output not in self.values(node):
                self.move(self.plain(node), output, self.picture(node))

    def scalar(self, node: Node) -> Value:
        """Computes a predicate."""
        self.compute([node])
        return self.plain(node)

    def compute(self, results: Sequence[Node]) -> None:
        """Lowers all that the results need and nothing holds yet."""
        for group in form_groups(self.graph, self.facts, self.missing(results)):
            if group.fallback:
                self.lower_fallback(group)
            elif group.root is not None:
                self.lower_conv(group)
            else:
                self.lower_chain(group)

    def missing(self, results: Sequence[Node]) -> set[Node]:
        found: set[Node] = set()
        stack = list(results)
        while stack:
            node = stack.pop()
            if node.op == "call_function" and node not in found and self.path.key[node] not in self.held:
                found.add(node)
                stack += node.all_input_nodes
        return found

    def values(self, node: Node) -> list[Value]:
        """The places that hold the node's value; a constant read as a tensor is given one."""
        key = self.path.key[node]
        if key not in self.held and (tensor := self.graph.constant(node)) is not None:
            value = Value(node.name, self.picture(node))
            kernel = Move(self.picture(node), PLAIN, PLAIN, 1, (), (), self.target.lanes)
            self.steps.append(Call(kernel, [Weight(node.name, _array(tensor))], [value]))
            self.held[key] = [value]
        return self.held.setdefault(key, [])

    def picture(self, node: Node) -> tuple[int, int, int, int]:
        return picture(self.facts.shape(node))

    # Layouts and the values that have them

    def padding(self, node: Node) -> int:
        """The widest padding of the convolutions that read the node."""
        readers = [group for group in self.readers if group.root is not None and group.source is node]
        return max((max(self.attributes(reader).padding) for reader in readers), default=0)

    def wanted(self, node: Node, shuffled: bool) -> Layout:
        """The layout in which the readers of a group's result can use it."""
        fed = any(group.source is node or any(reading is node for reading in group.readings) for group in self.readers)
        plain = not fed or shuffled or self.picture(node)[1] <= FEW_CHANNELS
        return Layout(1 if plain else self.target.lanes, self.padding(node))

    def store(self, node: Node, layout: Layout) -> Value:
        """A new place for the node's value: the caller's own tensor if it is a plain output, else the arena."""
        if layout == PLAIN and node in self.places:
            value = self.places[node]
        else:
            value = Value(node.name, layout.buffer(self.picture(node)), layout=layout)
        self.values(node).append(value)
        return value

    def plain(self, node: Node) -> Value:
        """The node's value as PyTorch would lay it out."""
        return self.laid_out(node, 1, 0, exact=True)

    def laid_out(self, node: Node, block: int, halo: int, *, exact: bool = False) -> Value:
        """The node's value in blocks of `block` with a halo of at least `halo`, converted if need be."""
        for value in self.values(node):
            if value.layout.block == block and (value.layout.halo == halo or (value.layout.halo > halo and not exact)):
                return value
        layout = Layout(block, halo if exact else max(halo, self.padding(node)))
        value = Value(node.name, layout.buffer(self.picture(node)), layout=layout)
        self.move(self.values(node)[0], value, self.picture(node))
        self.values(node).append(value)
        return value

    def move(self, source: Value, target: Value, shape: tuple[int, int, int, int], shuffle: int = 1) -> None:
        kernel = Move(shape, source.layout, target.layout, shuffle, (), (), self.target.lanes)
        self.steps.append(Call(kernel, [source], [target]))

    # Groups

    def lower_conv(self, group: Group) -> None:
        shape, channels = self.picture(group.computed), self.picture(group.source)[1]
        layout = self.wanted(group.result, group.shuffle > 1)
        # A register tile that holds all channels can be turned as it is stored; others are moved afterwards.
        turned = layout.block == 1 and not stores_planes(self.target, shape[1])
        stored = Layout(self.target.lanes, 0) if turned else layout
        weight, attributes = self.weight(group), self.attributes(group)
        source = self.laid_out(
            group.source, 1 if channels <= FEW_CHANNELS else self.target.lanes, max(attributes.padding)
        )
        operands, readings = self.read(group, self.target.lanes)
        choice = select_conv(
            self.target,
            ConvShape(source.layout, self.picture(group.source), stored, shape, self.window(group)),
            attributes,
            1 if turned else group.shuffle,
            tuple(group.steps),
            operands,
        )
        kernel = choice.kernel
        constants = [("weight", kernel.pack_weights(weight)), ("bias", kernel.pack_channels(self.bias(group)))]
        reads: list[Value | Weight] = [source, *(Weight(f"{group.root}_{part}", array) for part, array in constants)]
        reads += [kernel_operand(reading, kernel.padded_channels, group) for reading in readings]
        result = self.store(group.result, layout)
        written = Value(f"{group.root}", stored.buffer(shape), layout=stored) if turned else result
        names = tuple(node.name for node in group.nodes)
        self.steps.append(Call(kernel, reads, [written], names, str(choice)))
        if turned:
            self.move(written, result, shape, group.shuffle)

    def lower_chain(self, group: Group) -> None:
        source, shape = self.values(group.source)[0], self.picture(group.source)
        operands, readings = self.read(group, source.layout.block)
        layout = self.wanted(group.result, group.shuffle > 1)
        kernel = Move(shape, source.layout, layout, group.shuffle, tuple(group.steps), operands, self.target.lanes)
        padded = source.layout.blocks(shape[1]) * source.layout.block
        reads = [source, *(kernel_operand(reading, padded, group) for reading in readings)]
        names = tuple(node.name for node in group.nodes)
        self.steps.append(Call(kernel, reads, [self.store(group.result, layout)], names))

    def lower_fallback(self, group: Group) -> None:
        node = group.result
        if node.target is operator.getitem:
            return  # held since its operand was lowered
        tensors = [operand for operand in node.all_input_nodes if self.graph.constant(operand) is None]
        reads = {operand: self.plain(operand) for operand in tensors}
        if items := self.facts[node].items:
            results = [
                Value(f"{node.name}_{i}", tuple(map(int, item.shape)), itemsize=item.dtype.itemsize)  # type: ignore[union-attr]
                for i, item in enumerate(items)
            ]
            for reader in (user for user in node.users if user.target is operator.getitem):
                self.held[self.path.key[reader]] = [results[reader.args[1]]]  # type: ignore[index]
        else:
            results = [self.store(node, PLAIN)]
            results[0].itemsize = self.facts[node].dtype.itemsize  # type: ignore[union-attr]
        self.steps += legalize(self.graph, self.facts, node, reads, results, self.target)

    def read(self, group: Group, block: int) -> tuple[tuple[Operand, ...], list[Value | NDArray[np.float32]]]:
        """The epilogue's operands: tensors in the given block, constants as they are."""
        readings: list[Value | NDArray[np.float32]] = [
            self.laid_out(reading, block, 0) if isinstance(reading, Node) else reading for reading in group.readings
        ]
        return tuple(Operand(value.layout.halo if isinstance(value, Value) else None) for value in readings), readings

    # The convolution itself

    def attributes(self, group: Group) -> ConvAttributes:
        """Stride, padding and dilation."""
        assert group.root is not None
        return conv_attributes(group.root, self.window(group))

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
