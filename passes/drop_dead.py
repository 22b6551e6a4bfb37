"""Drops what nobody reads."""

from __future__ import annotations

from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.program import Graph


class DropDead(Pass):
    """A node without readers goes, and with it all that only it read; inputs stay, they are part of the signature.

    Sound because the graph is functional: no operator has an effect but its result. The runner sweeps after every
    rewrite, so this pass finds only what the capture or a pass that edits the graph by hand left behind.
    """

    def looks_at(self, node: Node) -> bool:
        return not node.users

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        return node

    def ensures(self, graph: Graph, facts: Facts) -> str | None:
        dead = [node.name for node in graph if not node.users and node.op not in ("placeholder", "output")]
        return f"nobody reads %{', %'.join(dead)}" if dead else None
