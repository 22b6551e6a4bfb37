"""Applies one pass to one graph until it comes to rest."""

from __future__ import annotations

import math

from torch.fx import Node

from dydca.analysis.facts import Fact, Facts
from dydca.errors import DydcaError, PassError
from dydca.passes.base import Miss, Pass
from dydca.passes.running.proof import check_form
from dydca.passes.running.subject import Subject
from dydca.program import Graph, where

ROUNDS_LIMIT = 64
"""Walks over the graph after which a pass is taken to undo its own work for ever."""


class Rewriting:
    """One pass at work on one graph.

    Args:
        pass_: Decides what is rewritten.
        subject: Its graph is edited, its facts are kept current.
        limit: Rewrites after which to stop; what the pass promises is then not asked for.

    Attributes:
        rewritten: The nodes that were rewritten, in order, as text.
        misses: Refusals that stood in the last walk.
    """

    def __init__(self, pass_: Pass, subject: Subject, limit: float = math.inf) -> None:
        self.pass_, self.subject, self.limit = pass_, subject, limit
        self.rewritten: list[str] = []
        self.misses: list[Miss] = []

    @property
    def rewrites(self) -> int:
        """How many there were."""
        return len(self.rewritten)

    def run(self) -> None:
        """Walks the graph in node order, again and again with fresh facts, until a walk rewrites nothing.

        Raises:
            PassError: DYD302, the pass failed, does not come to rest, or does not keep its own promise.
        """
        pass_, subject = self.pass_, self.subject
        if reason := pass_.requires(subject.graph, subject.facts):
            self.misses.append(Miss(subject.graph.fx.output_node(), reason))
            return
        for _ in range(ROUNDS_LIMIT):
            before, nodes = self.rewrites, tuple(subject.graph)
            postponed = self._walk()
            if self.rewrites > before:
                subject.facts = self._analyzed()
            elif tuple(subject.graph) != nodes:
                raise PassError("DYD302", f"{pass_.name} changed the graph without a rewrite to show for it")
            elif not postponed:
                break
            if self.rewrites == self.limit:
                return
        else:
            raise PassError("DYD302", f"{pass_.name} does not come to rest", got=f"{self.rewrites} rewrites")
        if reason := pass_.ensures(subject.graph, subject.facts):
            raise PassError("DYD302", f"{pass_.name} did not reach what it promises", got=reason)

    def _analyzed(self) -> Facts:
        check_form(self.subject, self.pass_.name)
        try:
            return self.subject.analyze()
        except Exception as error:  # the analysis of a graph that makes no sense may fail in any way
            got = f"{type(error).__name__}: {error}"
            raise PassError("DYD302", f"{self.pass_.name} left a graph that cannot be analysed", got=got) from error

    def _walk(self) -> bool:
        """One walk; returns whether a node had to wait because an operand of it is too new to have a fact."""
        graph, facts, postponed = self.subject.graph, self.subject.facts, False
        gone: set[Node] = set()
        self.misses.clear()
        for node in graph:
            if node.op in ("placeholder", "output") or node in gone or not self.pass_.looks_at(node):
                continue
            if any(operand not in facts for operand in node.all_input_nodes):
                postponed = True
                continue
            result = self._asked(node)
            if isinstance(result, Miss):
                self.misses.append(result)
            elif result is not None:
                self.rewritten.append(where(node))
                known = set(graph)
                _put(graph, node, result, facts)
                gone |= known - set(graph)
                if self.rewrites == self.limit:
                    break
        return postponed

    def _asked(self, node: Node) -> Node | Miss | None:
        try:
            return self.pass_.rewrite(self.subject.graph, node, self.subject.facts)
        except DydcaError:
            raise
        except Exception as error:  # a pass is foreign code; its failure must name the pass and the node
            got = f"{type(error).__name__}: {error}"
            raise PassError("DYD302", f"{self.pass_.name} failed", where=where(node), got=got) from error


def _put(graph: Graph, old: Node, new: Node, facts: Facts) -> None:
    """Lets the readers of `old` read `new` and gives the new nodes the facts that can be told without analysis."""
    if new is old:
        graph.sweep()
    else:
        facts.setdefault(new, facts[old])
        graph.replace(old, new)
    for node in graph:
        tensor = graph.constants.get(str(node.target)) if node.op == "get_attr" else None
        if tensor is not None and node not in facts:
            facts[node] = Fact(tuple(tensor.shape), tensor.dtype, constant=True)
