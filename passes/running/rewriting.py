"""Applies one pass to one graph until it comes to rest."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch.fx import Node

from dydca.analysis.facts import Fact, Facts
from dydca.errors import DydcaError, PassError
from dydca.passes.base import Miss, Pass
from dydca.passes.running.proof import check_form
from dydca.passes.running.subject import Subject
from dydca.program import Graph, where

ROUNDS_LIMIT = 64
"""Walks over the graph after which a pass is taken to undo its own work for ever."""


@dataclass
class Rewriting:
    """What happened: how many rewrites, and the refusals that stood at the end."""

    rewrites: int = 0
    misses: list[Miss] = field(default_factory=list)


def rewrite_to_rest(pass_: Pass, subject: Subject) -> Rewriting:
    """Walks the graph in node order, again and again with fresh facts, until a walk rewrites nothing.

    Raises:
        PassError: DYD302, the pass failed, does not come to rest, or does not keep its own promise.
    """
    done = Rewriting()
    if reason := pass_.requires(subject.graph, subject.facts):
        done.misses.append(Miss(subject.graph.fx.output_node(), reason))
        return done
    for _ in range(ROUNDS_LIMIT):
        before, nodes = done.rewrites, tuple(subject.graph)
        done.misses.clear()
        postponed = _walk(pass_, subject, done)
        if done.rewrites > before:
            subject.facts = _analyze(pass_, subject)
        elif tuple(subject.graph) != nodes:
            raise PassError("DYD302", f"{pass_.name} changed the graph without a rewrite to show for it")
        elif not postponed:
            break
    else:
        raise PassError("DYD302", f"{pass_.name} does not come to rest", got=f"{done.rewrites} rewrites")
    if reason := pass_.ensures(subject.graph, subject.facts):
        raise PassError("DYD302", f"{pass_.name} did not reach what it promises", got=reason)
    return done


def _analyze(pass_: Pass, subject: Subject) -> Facts:
    check_form(subject, pass_.name)
    try:
        return subject.analyze()
    except Exception as error:  # the analysis of a graph that makes no sense may fail in any way
        got = f"{type(error).__name__}: {error}"
        raise PassError("DYD302", f"{pass_.name} left a graph that cannot be analysed", got=got) from error


def _walk(pass_: Pass, subject: Subject, done: Rewriting) -> bool:
    """One walk; returns whether a node had to wait because an operand of it is too new to have a fact."""
    graph, facts, postponed = subject.graph, subject.facts, False
    gone: set[Node] = set()
    for node in graph:
        if node.op in ("placeholder", "output") or node in gone or not pass_.looks_at(node):
            continue
        if any(operand not in facts for operand in node.all_input_nodes):
            postponed = True
            continue
        result = _asked(pass_, graph, node, facts)
        if isinstance(result, Miss):
            done.misses.append(result)
        elif result is not None:
            known = set(graph)
            done.rewrites += 1
            _put(graph, node, result, facts)
            gone |= known - set(graph)
    return postponed


def _asked(pass_: Pass, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
    try:
        return pass_.rewrite(graph, node, facts)
    except DydcaError:
        raise
    except Exception as error:  # a pass is foreign code; its failure must name the pass and the node
        got = f"{type(error).__name__}: {error}"
        raise PassError("DYD302", f"{pass_.name} failed", where=where(node), got=got) from error


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
