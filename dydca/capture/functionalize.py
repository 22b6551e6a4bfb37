"""Writes into tensors turned into new tensors: ``y[:, :, 0:1] = b`` becomes ``slice_scatter(y, copy(slice(y), b))``.

PyTorch does the same when it decomposes an exported program, at two to three times the cost of the export itself: it
traces the whole program again. One walk over the graph is enough where everything written to is a tensor of the
network's own or a chain of the views listed in `_BACK`; for what is beyond that, PyTorch is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import HigherOrderOperator, OpOverload
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node

from dydca.errors import CaptureError

CONSTANTS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
_MUTATIONS = (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION)

aten = torch.ops.aten

Back = Callable[..., tuple[OpOverload, tuple[Any, ...]]]
"""From the base, the new value of the view, and the view's own arguments to the call that gives the new base."""

_BACK: dict[Any, Back] = {
    aten.slice.Tensor: lambda base, new, *where: (aten.slice_scatter.default, (base, new, *where)),
    aten.select.int: lambda base, new, *where: (aten.select_scatter.default, (base, new, *where)),
    aten.unsqueeze.default: lambda _, new, dim: (aten.squeeze.dim, (new, dim)),
    aten.transpose.int: lambda _, new, *dims: (aten.transpose.int, (new, *dims)),
    aten.permute.default: lambda _, new, dims: (aten.permute.default, (new, _inverse(dims))),
}
_SAME = (aten.detach.default, aten.alias.default)


def functional(program: ExportedProgram) -> tuple[ExportedProgram, fx.Graph]:
    """A program that computes the same without writes, and its graph.

    Raises:
        CaptureError: DYD103, it writes to a tensor that the network keeps.
    """
    if not any(isinstance(node.target, HigherOrderOperator) for node in program.graph.nodes):
        walk = _Walk()
        if (graph := walk.functional(program.graph)) is not None:
            _require_kept(program, {root.name for root in walk.version})
            return program, graph
    program = program.run_decompositions({})
    _require_kept(program, set())
    return program, program.graph


def _require_kept(program: ExportedProgram, written: set[str]) -> None:
    """Refuses a write into a parameter, a buffer, or another tensor of the network."""
    signature = program.graph_signature
    kept = (spec.target for spec in signature.input_specs if spec.kind in CONSTANTS and spec.arg.name in written)
    mutated = (spec.target for spec in signature.output_specs if spec.kind in _MUTATIONS)
    for name in (*kept, *mutated):
        name = str(name).removeprefix("network.")
        raise CaptureError("DYD103", f"forward writes to its own {name}", got=f"a write to {name}")


def _writes(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


class _UnknownError(Exception):
    """The walk meets what it has no rule for."""


class _Walk:
    """Carries the present value of every tensor through a graph.

    A tensor that owns its storage is a root and has a version, which every write into the storage raises. A view keeps
    the version it was made for, and is made again from its base when it is read after a write.
    """

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.base: dict[Node, Node] = {}
        self.made: dict[Node, tuple[Node, int]] = {}
        self.version: Counter[Node] = Counter()

    def functional(self, graph: fx.Graph) -> fx.Graph | None:
        """The graph without writes; None if it has some that only PyTorch can undo."""
        try:
            for node in graph.nodes:
                self._take(node)
        except _UnknownError:
            return None
        return self.graph

    def _take(self, node: Node) -> None:
        if _writes(node):
            target = _only_target(node)
            self._store(target, self._computed(node, target))
            self.base[node] = target
            return
        storage = _storage(node)
        sources = [operand for operand in node.all_input_nodes if _storage(operand) == storage is not None]
        if sources:
            self.base[node] = sources[0]
        if not _is_same(node):
            self.made[node] = self.graph.node_copy(node, self._read), self.version[self._root(node)]

    def _root(self, node: Node) -> Node:
        while node in self.base:
            node = self.base[node]
        return node

    def _read(self, node: Node) -> Node:
        """The present value."""
        if _is_same(node):
            return self._read(self.base[node])
        copy, version = self.made[node]
        if version != (now := self.version[self._root(node)]):
            _require(node.target in _BACK)
            copy = self.graph.node_copy(node, self._read)
            self.made[node] = copy, now
        return copy

    def _computed(self, node: Node, target: Node) -> Node:
        """What the write leaves in its target, as a value of its own."""
        operator = _without_write(node.target)
        tensors = [operand.meta["val"] for operand in node.all_input_nodes]
        dtypes = {value.dtype for value in tensors if isinstance(value, Tensor) and value.dim()}
        _require(len(dtypes) <= 1 or operator is aten.copy.default)  # else the result would be promoted
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._read)
        return self._call(operator, args, kwargs, node)

    def _call(self, operator: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], like: Node) -> Node:
        """A new node with the metadata of `like`."""
        name = operator._schema.name.removeprefix("aten::")
        node = self.graph.create_node("call_function", operator, args, kwargs, name=name)
        node.meta = like.meta
        return node

    def _store(self, node: Node, value: Node) -> None:
        """Makes `value` the present value of a tensor, and of all that it is a view of."""
        root = self._root(node)
        if _is_same(node):
            self._store(self.base[node], value)
            return
        if node is root:
            self.version[root] += 1
        else:
            _require(isinstance(node.target, OpOverload) and node.target in _BACK and not node.kwargs)
            where = fx.node.map_arg(node.args[1:], self._read)
            operator, args = _BACK[node.target](self._read(self.base[node]), value, *where)
            self._store(self.base[node], self._call(operator, args, {}, self.base[node]))
        self.made[node] = value, self.version[root]


def _storage(node: Node) -> int | None:
    """What tells apart the storages of tensors; views have that of their base."""
    value = node.meta.get("val")
    if isinstance(value, list | tuple) and value:
        value = value[0]
    return value.untyped_storage()._cdata if isinstance(value, Tensor) else None


def _is_same(node: Node) -> bool:
    """Whether the node stands for its base itself: the result of a write, or a view of all of it."""
    return _writes(node) or node.target in _SAME


def _only_target(node: Node) -> Node:
    """The tensor that an operator writes to."""
    schema = node.target._schema  # type: ignore[union-attr]  # asked for by _writes
    written = [place for place, argument in enumerate(schema.arguments) if argument.is_write]
    _require(written == [0] and len(schema.returns) == 1)
    return node.all_input_nodes[0]


def _without_write(target: Any) -> OpOverload:
    """``aten.add.Tensor`` for ``aten.add_.Tensor``."""
    name, overload = target._schema.name.removeprefix("aten::"), target._overloadname
    twin = getattr(getattr(aten, name.removesuffix("_"), None), overload, None)
    _require(name.endswith("_") and twin is not None)
    assert isinstance(twin, OpOverload)
    mine, own = ([argument.name for argument in each._schema.arguments] for each in (target, twin))
    _require(mine == own and torch.Tag.nondeterministic_seeded not in twin.tags)
    return twin


def _require(known: bool) -> None:
    if not known:
        raise _UnknownError


def _inverse(dims: list[int]) -> list[int]:
    return [dims.index(axis) for axis in range(len(dims))]
