"""The captured network: one torch.fx graph of ATen operators per route, with the region of patches it serves.

`Graph` is a thin editor over `torch.fx.Graph`; every graph stays executable in PyTorch, and that execution is
the oracle of all that follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sympy
import torch
from torch import Tensor, fx
from torch.fx import Node

from dydca.errors import ShapeError
from dydca.inputs import Argument, Input, Range, bind_sizes, ordered
from dydca.runtime.structure import Structure
from dydca.shapes import Patch, PatchRange, patch_label

_TORCH = str(Path(torch.__file__).parent)
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


class Graph:
    """An editable graph with its constants.

    Attributes:
        fx: The torch.fx graph; ``get_attr`` nodes name entries of `constants`.
        constants: Tensors by name; several graphs may hold the same tensor, which is then stored once.
    """

    def __init__(self, graph: fx.Graph, constants: dict[str, Tensor]) -> None:
        self.fx, self.constants = graph, constants

    def __iter__(self) -> Iterator[Node]:
        return iter(tuple(self.fx.nodes))

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The placeholders, in the order of the arguments."""
        return tuple(node for node in self.fx.nodes if node.op == "placeholder")

    @property
    def outputs(self) -> tuple[Node, ...]:
        """The nodes the graph returns, in order."""
        results: Any = self.fx.output_node().args[0]  # torch types it as any argument
        return tuple(results)

    def constant(self, node: object) -> Tensor | None:
        """The tensor behind a ``get_attr`` node, None for any other node or value."""
        return self.constants[str(node.target)] if isinstance(node, Node) and node.op == "get_attr" else None

    def output(self, nodes: Sequence[Node]) -> None:
        """Returns `nodes` from now on."""
        self.fx.output_node().args = (tuple(nodes),)

    def uses(self, node: Node) -> int:
        """How many nodes read `node`, the output included."""
        return len(node.users)

    def const(self, tensor: Tensor, name: str, *, before: Node) -> Node:
        """Adds a constant, named after `name` but unique, read just before `before`."""
        unique = next(key for key in _names(name.replace(".", "_")) if key not in self.constants)
        self.constants[unique] = tensor
        with self.fx.inserting_before(before):
            return self.fx.create_node("get_attr", unique, name=unique)

    def add(self, op: Callable[..., Any], *args: Any, before: Node, **kwargs: Any) -> Node:
        """Adds ``op(*args, **kwargs)`` just before `before`, blamed on the same line of the user's source."""
        with self.fx.inserting_before(before):
            node = self.fx.call_function(op, args, kwargs)
        if "stack_trace" in before.meta:
            node.meta["stack_trace"] = before.meta["stack_trace"]
        return node

    def replace(self, old: Node, new: Node) -> None:
        """Lets every reader of `old` read `new`, then sweeps what nobody reads any more."""
        old.replace_all_uses_with(new)
        self.sweep()

    def sweep(self) -> int:
        """Removes nodes and constants that nobody reads; inputs stay. Returns how many nodes went."""
        gone = 0
        for node in reversed(self.fx.nodes):
            if not node.users and node.op not in ("placeholder", "output"):
                self.fx.erase_node(node)
                gone += 1
        read = {str(node.target) for node in self.fx.nodes if node.op == "get_attr"}
        for name in self.constants.keys() - read:
            del self.constants[name]
        return gone

    def copy(self) -> Graph:
        """A graph that can be edited apart; the tensors are shared."""
        graph = fx.Graph()
        outputs = graph.graph_copy(self.fx, {})
        graph.output(outputs)
        return Graph(graph, dict(self.constants))

    def returning(self, *nodes: Node) -> Graph:
        """A copy that computes only what `nodes` need, and returns them."""
        copies: dict[Node, Node] = {}
        graph = fx.Graph()
        graph.graph_copy(self.fx, copies)
        graph.output(tuple(copies[node] for node in nodes))
        part = Graph(graph, dict(self.constants))
        part.sweep()
        return part

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Executes the graph in PyTorch."""
        with torch.no_grad():
            outputs = fx.Interpreter(self.module()).run(*inputs)
        return tuple(outputs)

    def module(self) -> fx.GraphModule:
        """The graph as a torch module, e.g. for torch.export; later edits of the graph do not show in it."""
        root = torch.nn.Module()
        for name, tensor in self.constants.items():
            root.register_buffer(name, tensor)
        copied = fx.Graph()
        copied.output(copied.graph_copy(self.fx, {}))
        return fx.GraphModule(root, copied)

    def key(self) -> tuple[object, ...]:
        """Equal for graphs that compute the same with the same constants, whatever their nodes are called."""
        number = {node: index for index, node in enumerate(self.fx.nodes)}

        def described(node: Node) -> tuple[object, ...]:
            if (tensor := self.constant(node)) is not None:
                small = tensor.numel() <= 64
                return node.op, tuple(tensor.shape), str(tensor.tolist()) if small else tensor.data_ptr()
            target = "" if node.op == "placeholder" else str(node.target)
            operands = fx.node.map_arg((node.args, node.kwargs), lambda operand: f"%{number[operand]}")
            return node.op, target, str(operands)

        return tuple(map(described, self.fx.nodes))

    def numbers(self) -> dict[Node, int]:
        """Equal numbers for nodes that compute the same from the same."""
        known: dict[object, int] = {}
        numbers: dict[Node, int] = {}
        for node in self.fx.nodes:
            operands = fx.node.map_arg((node.args, node.kwargs), lambda operand: f"%{numbers[operand]}")
            named = node.op in ("placeholder", "get_attr")
            numbers[node] = known.setdefault((node.op, str(node.target), named or str(operands)), len(known))
        return numbers

    def text(self) -> str:
        """The graph as readable text, one node a line."""
        return str(self.fx)


def _names(stem: str) -> Iterator[str]:
    stem = re.sub(r"\W", "_", stem)
    yield stem
    number = 1
    while True:
        yield f"{stem}_{number}"
        number += 1


def op_name(node: Node) -> str:
    """The operator's name without namespace and overload: ``conv2d`` for ``aten.conv2d.default``."""
    if node.op != "call_function":
        return node.op
    schema = getattr(node.target, "_schema", None)
    return str(schema.name.split("::")[1]) if schema else getattr(node.target, "__name__", str(node.target))


def arguments(node: Node) -> dict[str, Any]:
    """The operator's arguments by the names of its schema, defaults filled in."""
    schema = node.target._schema  # type: ignore[union-attr]  # every ATen operator has one
    named = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
    named |= {argument.name: value for argument, value in zip(schema.arguments, node.args, strict=False)}
    return named | dict(node.kwargs)


def source_line(node: Node) -> str | None:
    """``file.py:41``: the innermost line of the user's source that made the node, None if not recorded."""
    frames = _FRAME.findall(str(node.meta.get("stack_trace") or ""))
    users = [frame for frame in frames if not frame[0].startswith(_TORCH)] or frames
    return f"{Path(users[-1][0]).name}:{users[-1][1]}" if users else None


def where(node: Node) -> str:
    """The node for messages: ``%conv3 = conv2d (model.py:41)``."""
    line = source_line(node)
    return f"%{node.name} = {op_name(node)}" + (f" ({line})" if line else "")


@dataclass(frozen=True)
class Guard:
    """A condition on the sizes of the inputs that held while a route was captured.

    Attributes:
        condition: A sympy relation over the dimension symbols of the program, e.g. ``H < 70``.
        line: ``file.py:41`` if the user's own source decided on it, None if PyTorch or an operator did.
    """

    condition: sympy.Basic
    line: str | None = None

    def holds(self, sizes: dict[sympy.Symbol, int]) -> bool:
        """Decides the condition on concrete sizes, exactly."""
        decided = self.condition.xreplace({symbol: sympy.Integer(size) for symbol, size in sizes.items()})
        return bool(decided == sympy.true)


@dataclass(frozen=True)
class Decision:
    """A value that decided a route.

    Attributes:
        outcome: Its number: 0 or 1 for a condition, the number of the case for a switch.
        arity: How many outcomes there are.
        line: ``file.py:41`` of the source that asked.
        value: What Python got.
    """

    outcome: int
    arity: int
    line: str | None
    value: int | bool

    def __str__(self) -> str:
        asked = "condition" if isinstance(self.value, bool) else "index"
        return f"the {asked} at {self.line} is {self.value}"


@dataclass
class Route:
    """One straight-line path through the network.

    Attributes:
        name: ``route0``, ``route1``, ... in the order of first declared patch.
        regions: Each a conjunction of conditions, in the order the path met them; a patch in any takes this path.
        graph: The path, for any patch of its region. Behind the network's own outputs it returns one scalar for
            each decision, in the order they were taken.
        example: A patch that takes it.
        patches: The declared patches that take it.
        decisions: The values that lead here, once the sizes have; empty if sizes alone decide.
    """

    name: str
    regions: tuple[tuple[Guard, ...], ...]
    graph: Graph
    example: Patch
    patches: list[Patch] = field(default_factory=list)
    decisions: tuple[Decision, ...] = ()

    @property
    def predicates(self) -> tuple[Node, ...]:
        """The nodes whose values are the decisions."""
        results = self.graph.outputs
        return results[len(results) - len(self.decisions) :]

    def holds(self, sizes: dict[sympy.Symbol, int]) -> bool:
        """Whether the sizes lie in one of its regions."""
        return any(all(guard.holds(sizes) for guard in region) for region in self.regions)

    @property
    def predicate(self) -> str:
        """The user's own conditions as text, ``always`` if there are none."""
        return predicate(self.regions[0], self.decisions)


def predicate(region: Iterable[Guard], decisions: Iterable[Decision]) -> str:
    """The user's own conditions as text, ``always`` if there are none."""
    sizes = dict.fromkeys(str(guard.condition) for guard in region if guard.line)
    return " and ".join([*sizes, *map(str, decisions)]) or "always"


@dataclass
class Program:
    """A network as dydca sees it.

    Attributes:
        inputs: The tensors it takes, in the order of forward's arguments.
        arguments: How forward is called with them.
        outputs: Names of the results, in order.
        structure: How forward puts them together, e.g. 0 for one bare tensor.
        routes: All routes that declared patches and ranges take.
        uncovered: Regions that the network distinguishes and nothing declared enters, as text with source lines.
        ranges: Declared ranges of patches; every patch in them takes one of the routes.
    """

    inputs: tuple[Input, ...]
    arguments: tuple[Argument, ...]
    outputs: tuple[str, ...]
    structure: Structure
    routes: list[Route]
    uncovered: tuple[str, ...] = ()
    ranges: tuple[PatchRange, ...] = ()

    def sizes(self, patch: Patch) -> dict[sympy.Symbol, int]:
        """Binds the dimension symbols of all inputs to the sizes of `patch`."""
        return bind_sizes(self.inputs, patch)

    def promise(self, declared: Range | Mapping[str, Range] | None) -> None:
        """Declares what values callers will pass: ``(0, 1)`` for every input, a range by the name of an input, or none.

        Raises:
            ShapeError: DYD203, a range has no two ends in order, or names no input.
        """
        if declared is None:
            return
        named = declared if isinstance(declared, Mapping) else {tensor.name: declared for tensor in self.inputs}
        if unknown := sorted(named.keys() - {tensor.name for tensor in self.inputs}):
            known = [tensor.name for tensor in self.inputs]
            raise ShapeError("DYD203", "a range is declared for no input of the network", got=unknown, want=known)
        self.inputs = tuple(
            replace(tensor, range=ordered(tensor.name, named[tensor.name])) if tensor.name in named else tensor
            for tensor in self.inputs
        )

    def route(self, *inputs: Tensor) -> Route:
        """The route that the inputs take.

        Raises:
            ShapeError: DYD110, none was captured for their sizes.
        """
        patch = tuple(tuple(tensor.shape) for tensor in inputs)
        routes, depth = self.accepting(patch), 0
        while len(routes) > 1 or depth < len(routes[0].decisions):
            (value,) = routes[0].graph.returning(routes[0].predicates[depth]).run(*inputs)
            routes = [route for route in routes if route.decisions[depth].outcome == int(value)]
            depth += 1
        return routes[0]

    def accepting(self, patch: Patch) -> list[Route]:
        """The routes that values choose from on a patch.

        Raises:
            ShapeError: DYD110, there are none.
        """
        ranks = tuple(len(tensor.dims) for tensor in self.inputs)
        fits = tuple(map(len, patch)) == ranks
        routes = [route for route in self.routes if route.holds(self.sizes(patch))] if fits else []
        if not routes:
            got, want = patch_label(patch), " or ".join(route.predicate for route in self.routes)
            raise ShapeError("DYD110", "the program has no route for this patch", got=got, want=want)
        return routes

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Executes the route that the inputs take, in PyTorch.

        Raises:
            ShapeError: DYD110, none was captured for their sizes.
        """
        graph = self.route(*inputs).graph
        return graph.returning(*graph.outputs[: len(self.outputs)]).run(*inputs)

    @property
    def patches(self) -> list[tuple[Route, Patch]]:
        """Every declared (route, patch)."""
        return [(route, patch) for route in self.routes for patch in route.patches]
