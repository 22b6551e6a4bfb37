"""The contract of a pass: what it looks at, what it puts in place, and how it refuses.

A pass is its algebra plus its refusals. The runner (`dydca.passes.running`) does the rest: it walks the graph to a
fixpoint, counts, checks the order, keeps the facts current and proves the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.program import Graph, op_name, where


@dataclass(frozen=True)
class Miss:
    """A refusal: the pass is for this node, but here its conditions do not hold.

    Attributes:
        node: The node that was not rewritten.
        reason: Which condition failed, with the values that made it fail; starts in lower case, no full stop.
    """

    node: Node
    reason: str

    def to_dict(self) -> dict[str, str]:
        """The refusal as data; stays true when the node is gone later."""
        return {"where": where(self.node), "reason": self.reason}


class Pass:
    """One rewriting of a graph, exact over the reals, that a subclass states in `rewrite`.

    Attributes:
        name: The name of the pass's file, unless the class states another; used in `after`, reports and flags.
        root: Names of the operators the pass looks at (``conv2d`` for ``aten.conv2d.default``); empty for all.
        after: Names of passes that must have run before this one.
        before: Names of passes that must run after this one.
        per_patch: This pass, and all that follow it, run on one graph per declared patch, where sizes are numbers.
    """

    name: ClassVar[str]
    root: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[tuple[str, ...]] = ()
    before: ClassVar[tuple[str, ...]] = ()
    per_patch: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        if "name" not in vars(cls):
            cls.name = cls.__module__.rpartition(".")[2]

    def looks_at(self, node: Node) -> bool:
        """Whether `rewrite` is to be asked about this node, which is no input; by default operators, not constants."""
        return node.op == "call_function" and (not self.root or op_name(node) in self.root)

    def requires(self, graph: Graph, facts: Facts) -> str | None:
        """Why this graph as a whole cannot be treated, None if it can; the reason is reported, nothing is rewritten."""
        return None

    def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
        """Puts the equivalent of `node` in place.

        Returns:
            The node that the readers of `node` are to read from now on: a new one, one of its operands, or `node`
            itself with other arguments. The runner redirects the readers and sweeps what nobody reads any more, so a
            pass that removes returns the operand that stays, and one that removes the dead returns the dead node.
            `Miss` is a refusal to report; None says that the node is none of this pass's business. After either the
            graph must be as it was.

        Note:
            `facts` knows `node` and its operands. An operand of an operand may be too new; ask with ``facts.get``.
        """
        raise NotImplementedError

    def ensures(self, graph: Graph, facts: Facts) -> str | None:
        """What this pass promised and did not reach in the rewritten graph, None if all is well."""
        return None
