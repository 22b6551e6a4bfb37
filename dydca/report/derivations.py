"""Why a tensor is what the report says: the way its facts came about, as text."""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from dydca.analysis import Facts, analyze_route
from dydca.analysis.derivation import why, widened_by
from dydca.errors import UsageError
from dydca.program import Program, Route


def derivations(program: Program, name: str) -> str:
    """How shape and interval of a tensor came about on every route that has it, inputs first, with source lines.

    Args:
        program: The captured network.
        name: Of the tensor, as the report lists it, with or without ``%``.

    Raises:
        UsageError: DYD850, no route has a tensor of that name.
    """
    wanted = name.removeprefix("%")
    found = [(route, node) for route in program.routes for node in route.graph if node.name == wanted]
    if not found:
        names = sorted({f"%{node.name}" for route in program.routes for node in route.graph})
        raise UsageError("DYD850", "no route has this tensor", got=f"%{wanted}", want=", ".join(names))
    return "\n\n".join("\n".join(_lines(program, route, node)) for route, node in found)


def _lines(program: Program, route: Route, node: Node) -> Iterator[str]:
    facts = analyze_route(program, route)
    yield f"why %{node.name}, {route.name}"
    shown = set[Node]()
    for title, steps in (("shape", why(facts, node)), ("values", why(facts, node, "interval"))):
        if any(step.node not in shown for step in steps):
            yield f"  {title}"
            yield from (f"    {step}" for step in steps)
        shown |= {step.node for step in steps}
    yield from _unknown(facts, node)


def _unknown(facts: Facts, node: Node) -> Iterator[str]:
    """What could be narrower, and by what it is not."""
    if lost := widened_by(facts, node):
        yield "  not known closer because of"
        yield from (f"    {each}" for each in lost)
