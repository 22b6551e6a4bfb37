"""From the routes of one patch to kernel calls, branching where values choose between routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from torch import fx
from torch.fx import Node

from dydca.errors import LoweringError
from dydca.lower.budget import Budget, arrange
from dydca.lower.calls import Branch, Calls, Finish, Step, TensorType, Value
from dydca.lower.layout import PLAIN, picture
from dydca.lower.packings import pack_weights
from dydca.lower.places import Held, Place
from dydca.lower.select_kernels import Precision
from dydca.lower.straight import StraightLine
from dydca.lower.targets import Target
from dydca.passes import Variant
from dydca.program import where

TYPES = frozenset({"float32", "uint8", "int32", "int64", "bool"})
"""Element types that a caller's tensors may have."""


def lower(
    patches: Mapping[str, Sequence[Variant]],
    target: Target,
    precision: Precision = "fast",
    budget: Budget | None = None,
) -> list[Calls]:
    """Lowers every patch: its only route, or the tree of routes that values choose from.

    Args:
        patches: The routes of each, by the name that its function gets in C.
        target: The processor.
        precision: Of the convolutions.
        budget: What memory there is; without one, there is enough.

    Raises:
        LoweringError: DYD401 an operator has no native form, DYD402 an input or output is of an unknown type, DYD403
            the routes' outputs differ in number or type, DYD405 a size depends on values, DYD420 the memory is not
            enough.
    """
    programs = [_lower_patch(variants, name, target, precision) for name, variants in patches.items()]
    pack_weights(programs)
    return arrange(programs, target, budget)


def _lower_patch(variants: Sequence[Variant], name: str, target: Target, precision: Precision) -> Calls:
    for variant in variants:
        _refuse_open_sizes(variant)
    paths = [_Path(variant) for variant in variants]
    first = paths[0]
    results = tuple(dict.fromkeys(path.result for path in paths))
    if len({tuple(tensor.dtype for tensor in result) for result in results}) > 1:
        got = " or ".join(sorted(str([tensor.dtype for tensor in result]) for result in results))
        raise LoweringError("DYD403", "routes chosen by value differ in the types of their outputs", got=got)
    keys: dict[object, int] = {}
    for path in paths:
        path.number(keys)
    inputs = [_value(node, first, "input", index) for index, node in enumerate(first.graph.inputs)]
    held = {first.key[node]: [Place(value, PLAIN)] for node, value in zip(first.graph.inputs, inputs, strict=True)}
    # Paths that end alike share the values they end in.
    outputs = {
        path.result: [_value(node, path, "output", index) for index, node in enumerate(path.outputs)] for path in paths
    }
    ends = {result: (Finish(number), outputs[result]) for number, result in enumerate(results)}
    steps = _lower_tree(paths, 0, held, ends, target, precision)
    return Calls(name, tuple(map(first.type, first.graph.inputs)), results, steps)


def _value(node: Node, path: _Path, storage: str, index: int) -> Value:
    dtype = path.facts[node].dtype
    assert dtype is not None
    return Value(node.name, path.picture(node), storage, index, itemsize=dtype.itemsize)


def _refuse_open_sizes(variant: Variant) -> None:
    for node in variant.graph:
        fact = variant.facts.get(node)
        if fact is not None and not all(isinstance(size, int) for size in fact.shape):
            raise LoweringError("DYD405", "a size depends on values", where=where(node), got=fact.shape)


class _Path:
    """One route on one patch; `key` numbers its nodes so that equal computations of all routes have equal numbers."""

    def __init__(self, variant: Variant) -> None:
        self.graph, self.facts, self.decisions = variant.graph, variant.facts, variant.route.decisions
        results = self.graph.outputs
        self.outputs = results[: len(results) - len(self.decisions)]
        self.predicates = results[len(self.outputs) :]
        self.result = tuple(map(self.type, self.outputs))
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

    def type(self, node: Node) -> TensorType:
        """What a caller sees of an input or output.

        Raises:
            LoweringError: DYD402, its element type is none of `TYPES`.
        """
        dtype = str(self.facts[node].dtype).removeprefix("torch.")
        if dtype not in TYPES:
            raise LoweringError("DYD402", "the tensor's type", where=where(node), got=dtype, want=sorted(TYPES))
        return TensorType(dtype, self.facts.shape(node))

    def picture(self, node: Node) -> tuple[int, int, int, int]:
        return picture(self.facts.shape(node))


Ends: TypeAlias = Mapping[tuple[TensorType, ...], tuple[Finish, list[Value]]]
"""How a path ends, and in which values, by what it returns."""


def _lower_tree(
    paths: Sequence[_Path], depth: int, held: Held, ends: Ends, target: Target, precision: Precision
) -> list[Step]:
    """The steps from here on: what the next predicate needs, then an arm per outcome, or the end of the only path."""
    path = paths[0]
    lowering = StraightLine(path.graph, path.facts, path.key, held, target, precision)
    if depth == len(path.decisions):
        finish, outputs = ends[path.result]
        lowering.finish(path.outputs, outputs)
        return [*lowering.steps, finish]
    decided = path.graph.constant(path.predicates[depth])
    if decided is not None:
        taken = [other for other in paths if other.decisions[depth].outcome == int(decided)]
        return _lower_tree(taken, depth + 1, held, ends, target, precision)
    predicate = lowering.scalar(path.predicates[depth])
    arms = []
    for outcome in range(path.decisions[depth].arity):
        taken = [other for other in paths if other.decisions[depth].outcome == outcome]
        copied = {key: list(values) for key, values in lowering.held.items()}
        arms.append(_lower_tree(taken, depth + 1, copied, ends, target, precision))
    return [*lowering.steps, Branch(predicate, arms)]
