"""Drops operators that return their operand: views of everything, neutral elements, copies, sleeping dropout."""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph, op_name

# The element that leaves the other operand as it is, and whether the operands may change places.
_NEUTRAL = {"add": (0, True), "sub": (0, False), "mul": (1, True), "div": (1, False), "pow": (1, False)}
_COPIES = ("clone", "contiguous", "alias", "detach", "lift_fresh_copy", "_to_copy", "to")
# Operators that can only return all of the first operand in its own order once shape and type are those of it.
_WINDOWS = (
    "view",
    "reshape",
    "_unsafe_view",
    "expand",
    "squeeze",
    "unsqueeze",
    "slice",
    "pixel_shuffle",
    "pixel_unshuffle",
)
_WRITES = ("copy", "slice_scatter")
_DROPOUTS = ("dropout", "feature_dropout", "alpha_dropout")


class DropIdentity(Pass):
    """``x + 0``, ``x * 1``, ``clone(x)``, ``x[:]``, ``cat([x])``, ``pixel_shuffle(x, 1)``, ... become ``x``.

    A candidate is dropped only if the facts give the operand the shape and the element type of the result, for every
    patch. The graph has no aliases, so a copy is an identity; an output may then be an input or a constant as such,
    which is legal, and whoever runs the graph copies it. A write that covers all (``copy``, ``slice_scatter``) is what
    is written. ``x + 0`` turns -0 into 0 and ``x`` does not: equal by comparison.
    """

    root = (*_NEUTRAL, *_COPIES, *_WINDOWS, *_WRITES, *_DROPOUTS, "cat")
    after = ("merge_reshape",)

    def requires(self, graph: Graph, facts: Facts) -> str | None:
        reader = next((node for node in graph if op_name(node).startswith("as_strided")), None)
        return f"%{reader.name} reads the memory layout, which a copy may have set" if reader else None

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        fact = facts[node]
        kept = (x for x in _candidates(graph, node) if isinstance(x, Node))
        return next((x for x in kept if (facts[x].shape, facts[x].dtype) == (fact.shape, fact.dtype)), None)


def _candidates(graph: Graph, node: Node) -> Iterator[object]:
    """The operands that `node` equals as far as its operator tells."""
    name, args = op_name(node), node.args
    if name in _NEUTRAL and not node.kwargs.get("rounding_mode"):
        element, commutes = _NEUTRAL[name]
        if _is_all(graph, args[1], element):
            yield args[0]
        if commutes and _is_all(graph, args[0], element) and node.kwargs.get("alpha", 1) == 1:
            yield args[1]
    elif name in _COPIES or name in _WINDOWS or (name in _DROPOUTS and not (args[1] and args[2])):
        yield args[0]
    elif name in _WRITES:
        yield args[1]
    elif name == "cat" and isinstance(args[0], list | tuple) and len(args[0]) == 1:
        yield args[0][0]


def _is_all(graph: Graph, operand: object, element: int) -> bool:
    tensor = graph.constant(operand)
    return (
        bool((tensor == element).all()) if tensor is not None else not isinstance(operand, Node) and operand == element
    )
