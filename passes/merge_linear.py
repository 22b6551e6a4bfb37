"""Merges whatever linear operators lie between two tensors into one convolution."""

from __future__ import annotations

from dataclasses import dataclass

from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.passes.base import Miss, Pass
from dydca.passes.linear.affine import NotAffine
from dydca.passes.linear.convolution import Convolution
from dydca.passes.linear.regions import LinearRegions, Region
from dydca.program import Graph, arguments, op_name


@dataclass(frozen=True)
class _Merge:
    """One convolution of `base` in the place of `region`."""

    base: Node
    convolution: Convolution
    region: Region
    saved: int

    @property
    def rank(self) -> tuple[int, int]:
        """Multiply-adds and operators saved."""
        return self.saved, sum(map(_operators, self.region.dying)) - self.convolution.nodes

    @property
    def pays(self) -> bool:
        """No more of either, and less of one."""
        return min(self.rank) >= 0 and max(self.rank) > 0


class MergeLinear(Pass):
    """``t = K * x + b`` for any t that linear operators make of x, where one convolution costs no more than they do.

    Each operator's rule (`linear.rules`) turns the affine forms of its operands into its own, in float64:
    ``K2 * (K1 * x + b1) + b2 = (K2 K1) * x + (sum K2) b1 + b2``, sums add kernels, norms scale them, and so on. The
    result is rounded once. Borders are exact: a zero-padded operand must have the form's own value, which beyond the
    picture is its bias, so 1x1 convolutions merge into a padded one if they have no bias or their frame was set to
    it, and a window over a zero-padded window never does. The best base is chosen by multiply-adds a pixel; what
    other operators read stays and is not counted as saved.

    Covers RepVGG, ACNet, DBB, MobileOne, ECB, RT4KSR and any other re-parameterisation, and batch norms after
    convolutions. Source: `affine`.
    """

    after = ("fold_constants", "merge_frame_writes")

    def __init__(self) -> None:
        self._plan: _Plan | None = None

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        if self._plan is None or self._plan.graph is not graph or node not in self._plan.regions.order:
            self._plan = _Plan(graph, facts)  # a new node: another graph, or a walk after one that rewrote
        plan = self._plan
        if node not in plan.merges:
            return plan.misses.get(node)
        merge, dtype = plan.merges.pop(node), facts[node].dtype
        assert dtype is not None
        base = plan.regions.renamed(merge.base)
        new = merge.convolution.emit(graph, base, node.name, dtype, before=node)
        plan.regions.rename(node, new)
        return new

    def ensures(self, graph: Graph, facts: Facts) -> str | None:
        self._plan = None
        return None


class _Plan:
    """The merges of one graph, chosen from its end, so that each region is as large as it can be."""

    def __init__(self, graph: Graph, facts: Facts) -> None:
        self.graph, self.regions = graph, LinearRegions(graph, facts)
        self.merges: dict[Node, _Merge] = {}
        self.misses: dict[Node, Miss] = {}
        self._read: set[Node] = set()  # bases of merges already chosen, which must live on
        gone: set[Node] = set()
        for node in reversed(self.regions.order):
            if node not in self.regions.operands or node in gone:
                continue
            found = self._choose(node)
            if isinstance(found, _Merge):
                self.merges[node] = found
                self._read.add(found.base)
                gone |= found.region.dying
            elif found is not None:
                self.misses[node] = Miss(node, found)

    def _choose(self, node: Node) -> _Merge | str | None:
        """The best merge that ends in `node`, or why there is none where several operators could have merged."""
        best: _Merge | None = None
        reason: str | None = None
        for base in self.regions.bases(node):
            found = self._merge(node, base)
            if isinstance(found, str):
                reason = reason or found
            elif found is not None and (best is None or found.rank >= best.rank):
                best = found
        return best or reason

    def _merge(self, node: Node, base: Node) -> _Merge | str | None:
        region = self.regions.region(node, base, self._read)
        cost, several = self.regions.cost(region), region.arithmetic > 1
        if len(region.nodes) == 1 or (cost == 0 and not several):
            return None
        affine = self.regions.affine(node, base)
        if isinstance(affine, NotAffine):
            return str(affine) if several and self.regions.refused_at(node, base) else None
        if len(affine.channels) != 1:
            return None
        convolution = Convolution.of(affine.windows[base], affine.bias, cost)
        merge = _Merge(base, convolution, region, cost - convolution.macs)
        if merge.pays:
            return merge
        return _too_dear(merge, cost) if several else None


def _operators(node: Node) -> int:
    """A convolution that adds as much as its kernel needs is a pad and a convolution."""
    same = node.op == "call_function" and op_name(node) == "conv2d" and arguments(node)["padding"] == "same"
    return 2 if same else 1


def _too_dear(merge: _Merge, cost: int) -> str:
    kept = [f"%{node.name}" for node in merge.region.kept if node.op == "call_function"]
    staying = f"; {', '.join(kept)} {'stays' if len(kept) == 1 else 'stay'}, being read elsewhere" if kept else ""
    macs = merge.convolution.macs
    return f"one convolution of %{merge.base.name} takes {macs} multiply-adds a pixel, what it frees {cost}{staying}"
