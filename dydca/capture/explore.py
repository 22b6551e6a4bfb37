"""Finds the routes that the declared patches take.

A patch outside every region known so far is exported once more, until all declared patches and all points of declared
ranges are covered; regions the network distinguishes and nothing declared enters are reported, not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import sympy
from torch import nn

from dydca.capture.cover import uncovered_patch
from dydca.capture.export import Export, Question, export_route
from dydca.capture.refused import refused
from dydca.capture.signature import Signature
from dydca.capture.values import of_network
from dydca.errors import CaptureError
from dydca.inputs import bind_sizes
from dydca.program import Guard, Route, predicate
from dydca.shapes import Declared, Patch, PatchRange


class _Tree(NamedTuple):
    """All paths that values can choose for the patches of one region, and the declared patches that lie in it."""

    exports: list[Export]
    patches: list[Patch]

    @property
    def region(self) -> list[sympy.Basic]:
        return list(dict.fromkeys(guard.condition for export in self.exports for guard in export.guards))


class Exploration:
    """The routes found so far.

    Args:
        module: The network.
        signature: What it takes.
        limit: How many routes one patch may have, and how many regions one range of sizes may be divided into.
    """

    def __init__(self, module: nn.Module, signature: Signature, limit: int) -> None:
        self.module, self.signature, self.limit = module, signature, limit
        self._stored = of_network(module)
        self._trees: list[_Tree] = []

    @property
    def exports(self) -> list[Export]:
        """Every path found."""
        return [export for tree in self._trees for export in tree.exports]

    def take(self, patch: Patch) -> None:
        """Finds the routes of a patch.

        Raises:
            CaptureError: DYD101, DYD103, DYD104, DYD105.
        """
        accepting = (tree for tree in self._trees if all(export.accepts(patch) for export in tree.exports))
        home = next(accepting, None) or self._explore(patch)
        home.patches.append(patch)

    def cover(self, span: PatchRange) -> None:
        """Finds the routes of every patch of a range.

        Raises:
            CaptureError: DYD101, DYD103, DYD104, DYD105, DYD108.
        """
        before = len(self._trees)
        while patch := uncovered_patch(span, self.signature.inputs, [tree.region for tree in self._trees]):
            if len(self._trees) - before == self.limit:
                self._refuse([*self.exports])
            self._explore(patch)

    def _explore(self, patch: Patch) -> _Tree:
        """Every path that values can choose for the patch: each question's last answer is varied first."""
        exports: list[Export] = []
        script: tuple[int, ...] | None = ()
        while script is not None:
            try:
                export, questions = self._export(patch, script)
            except CaptureError as error:
                raise refused(self.module, self.signature, self.routes(), patch, error, self._export) from error
            exports += [export] if export else []
            if len(exports) > self.limit:
                self._refuse(exports)
            script = _next_script(questions)
        self._trees.append(tree := _Tree(exports, []))
        return tree

    def _export(self, patch: Patch, script: Sequence[int] = ()) -> tuple[Export | None, list[Question]]:
        return export_route(self.module, self.signature, patch, script, limit=self.limit, stored=self._stored)

    def _refuse(self, exports: Sequence[Export]) -> NoReturn:
        decided = [step.line for export in exports for step in export.decisions]
        guarded = [step.line for export in exports for step in export.guards]
        lines = sorted({line for line in decided + guarded if line}) or ["no line of the network"]
        got, want = f"over {self.limit}, branching at {', '.join(lines)}", f"at most {self.limit}"
        raise CaptureError("DYD105", "too many routes", where=lines[0], got=got, want=want)

    def routes(self) -> list[Route]:
        """The routes; regions that lead to the same graph, as PyTorch sets sizes of 1 apart, are one route.

        Raises:
            CaptureError: DYD111, they differ in more than the shapes of what they return.
        """
        for export in self.exports:
            _require_alike(self.exports[0], export)
        routes: dict[object, Route] = {}
        for export, patches in [(export, tree.patches) for tree in self._trees for export in tree.exports]:
            key = export.graph.key(), export.decisions
            if key in routes:
                routes[key].patches += patches
                routes[key].regions += (export.guards,)
            else:
                name = f"route{len(routes)}"
                routes[key] = Route(name, (export.guards,), export.graph, export.patch, [*patches], export.decisions)
        return list(routes.values())

    def uncovered(self, declared: Declared) -> tuple[str, ...]:
        """The other side of each of the user's own conditions, where nothing declared lies on it."""
        found: dict[str, None] = {}
        for export in self.exports:
            decided = [guard for guard in export.guards if guard.line]
            for depth, guard in enumerate(decided):
                region = [*(before.condition for before in decided[:depth]), sympy.Not(guard.condition)]
                if not self._enters(declared, region):
                    found[" and ".join(map(str, region)) + f" ({guard.line})"] = None
        return tuple(found)

    def _enters(self, declared: Declared, region: Sequence[sympy.Basic]) -> bool:
        outside = [[sympy.Not(condition)] for condition in region]
        bound = [bind_sizes(self.signature.inputs, patch) for patch in declared.patches]
        return any(all(Guard(condition).holds(sizes) for condition in region) for sizes in bound) or any(
            uncovered_patch(span, self.signature.inputs, outside) is not None for span in declared.ranges
        )


def _require_alike(first: Export, last: Export) -> None:
    """Routes may differ in the shapes they return, not in what they return."""
    if first.structure != last.structure:
        told = (f"{each.structure} if {predicate(each.guards, each.decisions)}" for each in (first, last))
        raise CaptureError("DYD111", "routes differ in what they return", got=", ".join(told))


def _next_script(questions: Sequence[Question]) -> tuple[int, ...] | None:
    """The script that differs from this path at its last question with an answer left; None when all are done."""
    for depth in range(len(questions) - 1, -1, -1):
        if questions[depth].outcome + 1 < questions[depth].arity:
            return (*(question.outcome for question in questions[:depth]), questions[depth].outcome + 1)
    return None
