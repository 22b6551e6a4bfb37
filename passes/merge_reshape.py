"""Merges chains of reshapes; afterwards no operator asks how a tensor lies in memory."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph, op_name

_RESHAPES = ("view", "reshape", "_unsafe_view")


class MergeReshape(Pass):
    """``view(x, s)`` becomes ``reshape(x, s)``, and ``reshape(reshape(x, s), t)`` becomes ``reshape(x, t)``.

    ``view`` is ``reshape`` that refuses some memory layouts. The graph has no aliases, so the difference shows only
    as an error once a ``contiguous`` before it is dropped. Each merge removes one node; nothing is computed.
    """

    root = _RESHAPES

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        source, shape = node.args
        if not _is_reshape(node) or (op_name(node) == "reshape" and not _is_reshape(source)):
            return None
        base = source.args[0] if _is_reshape(source) else source
        return graph.add(torch.ops.aten.reshape.default, base, shape, before=node)


def _is_reshape(value: object) -> TypeGuard[Node]:
    """Whether it takes a list of sizes; ``view(x, dtype)`` of the same name reads the bytes as another type."""
    return isinstance(value, Node) and op_name(value) in _RESHAPES and isinstance(value.args[1], list | tuple)
