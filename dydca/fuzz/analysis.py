"""The analysis against PyTorch: random programs whose shapes, types, values, bounds and verdicts are all compared.

A program is analysed for all patches of a route at once, for ranges of sizes, and for single patches, among them such
as PyTorch refuses. What was predicted of every node must hold of what PyTorch computes; a patch must be accepted
exactly if PyTorch runs it; and inputs that are said not to be read must not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import sympy
import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis import Fact, Facts, analyze, analyze_patch, analyze_route
from dydca.analysis.acceptance import acceptance, accepted_by, arrays
from dydca.analysis.boxes import only, run
from dydca.analysis.demand import demanded
from dydca.analysis.intervals import spanning
from dydca.capture import capture
from dydca.errors import ShapeError
from dydca.fuzz.graphs import FAMILIES
from dydca.fuzz.growing import Growing
from dydca.fuzz.networks import RandomNetwork, random_recipe
from dydca.fuzz.observed import Recorder, violations
from dydca.inputs import Argument, Input
from dydca.program import Graph, Guard, Program, Route, op_name
from dydca.shapes import Patch

CAPTURED = 0.01
"""Share of the programs that come from networks by way of the capture, which costs a hundred times as much."""


@dataclass(frozen=True)
class Case:
    """A program, and patches some of which it may not accept.

    Attributes:
        program: Its routes are told apart by sizes, or its graphs are those of a captured network.
        patches: Each with the place of the route to run.
        seed: Of the values of the inputs.
        thorough: Whether constraints and demand are compared as well.
    """

    program: Program
    patches: tuple[tuple[int, Patch], ...]
    seed: int
    thorough: bool


@dataclass(frozen=True)
class Violation:
    """Something that was said wrongly.

    Attributes:
        what: In words, with the node.
        route: Place of the route.
        node: Whose fact it is; None for a verdict on a patch.
        patch: That showed it.
    """

    what: str
    route: int
    node: Node | None
    patch: Patch


def random_case(seed: int) -> Case:
    """The same for the same seed."""
    random = Random(seed)
    return _captured(seed, random) if random.random() < CAPTURED else _built(seed, random)


def _captured(seed: int, random: Random) -> Case:
    recipe = random_recipe(seed)
    program = capture(RandomNetwork(recipe), recipe.declared)
    program.promise(random.choice([None, (0, 1), (-2, 2)]))
    place = {id(route): number for number, route in enumerate(program.routes)}
    return Case(program, tuple((place[id(route)], patch) for route, patch in program.patches), seed, thorough=False)


def _built(seed: int, random: Random) -> Case:
    count, batch, depth = random.choice([1, 1, 1, 2]), random.choice([1, 1, 2]), random.choice([1, 3, 4, 4, 8])
    inputs = tuple(
        Input(
            name,
            torch.float32,
            tuple(sympy.Symbol(f"{letter}{name}", integer=True, positive=True) for letter in "NCHW"),
        )
        for name in "xy"[:count]
    )
    bound, routes = random.randint(5, 12), list[Route]()
    for side in random.choice([[None], [None], [None], [None], [sympy.Lt, sympy.Ge]]):
        guards = [_bounded(tensor, batch, depth) for tensor in inputs]
        if side is not None:
            guards[0].append(Guard(side(inputs[0].dims[2], bound), "model.py:1"))
        low, high = (2, bound - 1) if side is sympy.Lt else (bound if side else 2, 18)
        shape = (batch, depth, random.randint(low, high), random.choice([2, 4, 6, 7, 8, 9, 12, 16]))
        patch = (shape,) * count
        graph = Growing(random, patch).grow(FAMILIES, random.randint(2, 14))
        routes.append(Route(f"route{len(routes)}", (tuple(g for each in guards for g in each),), graph, patch, [patch]))
    names = tuple(node.name for node in routes[0].graph.outputs)
    arguments = tuple(Argument(tensor.name, place) for place, tensor in enumerate(inputs))
    program = Program(inputs, arguments, names, {"tuple": list(range(len(names)))}, routes)
    program.promise(random.choice([None, (0, 1), (-0.5, 1.5), (-3, 255), {"x": (0, 2)}]))
    patches = [route.example for route in routes]
    patches += [_another(random, random.choice(patches)) for _ in range(3)]
    taken = [(_route_of(program, patch), patch) for patch in dict.fromkeys(patches)]
    return Case(program, tuple(taken), seed, thorough=random.random() < 0.25)


def _bounded(tensor: Input, batch: int, depth: int) -> list[Guard]:
    """What the capture takes for granted: the batch and the channels, and that sizes of 1 are apart."""
    n, c, h, w = tensor.dims
    return [Guard(sympy.Eq(n, batch)), Guard(sympy.Eq(c, depth)), Guard(h >= 2), Guard(w >= 2)]


def _another(random: Random, patch: Patch) -> Patch:
    height, width = (max(2, patch[0][axis] + random.choice([-4, -2, -1, 0, 1, 2, 3, 8])) for axis in (2, 3))
    return tuple((*shape[:2], height, width) for shape in patch)


def _route_of(program: Program, patch: Patch) -> int:
    sizes = program.sizes(patch)
    return next(n for n, route in enumerate(program.routes) if all(g.holds(sizes) for g in route.regions[0]))


def check(case: Case) -> list[Violation]:
    """Everything that the analysis says wrongly of a case."""
    return list(_checked(case))


def _checked(case: Case) -> Iterator[Violation]:
    program = case.program
    symbolic = [_attempt(partial(analyze_route, program, route)) for route in program.routes]
    ranged = [_attempt(partial(_on_ranges, program, route, case)) for route in program.routes]
    for place, patch in case.patches:
        route, sizes = program.routes[place], program.sizes(patch)
        generator = torch.Generator().manual_seed(case.seed)
        inputs = [tensor.example(shape, generator) for tensor, shape in zip(program.inputs, patch, strict=True)]
        recorder = Recorder(route.graph.module())
        try:
            with torch.no_grad():
                recorder.run(*inputs)
            refusal = None
        except Exception as error:  # whatever an operator raises
            refusal = str(error).splitlines()[0][:200]
        concrete = _attempt(partial(analyze_patch, program, route, patch))
        for kind, facts in (("patch", concrete), ("route", symbolic[place]), ("ranges", ranged[place])):
            for node, what in _compared(route.graph, facts, recorder.values, sizes, refusal):
                yield Violation(f"for the {kind}: {what}", place, node, patch)
        if not case.thorough or isinstance(concrete, ShapeError) or concrete.unknown:
            continue
        for what in () if _reaches_nothing(recorder.values) else _verdict(program, sizes, refusal):
            yield Violation(what, place, None, patch)
        if refusal is None:
            for node, what in _unread(route.graph, concrete, inputs, case):
                yield Violation(what, place, node, patch)


def _attempt(analysis: Callable[[], Facts]) -> Facts | ShapeError:
    try:
        return analysis()
    except ShapeError as error:
        return error


def _on_ranges(program: Program, route: Route, case: Case) -> Facts:
    """The facts on the box of sizes round the patches that take the route."""
    patches = [program.sizes(patch) for place, patch in case.patches if program.routes[place] is route]
    spans = {dim: (min(sizes[dim] for sizes in patches), max(sizes[dim] for sizes in patches)) for dim in patches[0]}
    facts = [
        Fact(
            tuple(spans[dim][0] if spans[dim][0] == spans[dim][1] else dim for dim in tensor.dims),
            tensor.dtype,
            interval=spanning(*tensor.range) if tensor.promised else None,
        )
        for tensor in program.inputs
    ]
    return analyze(route.graph, facts, program.sizes(route.example), spans)


def _compared(
    graph: Graph,
    facts: Facts | ShapeError,
    values: Mapping[str, object],
    sizes: Mapping[sympy.Symbol, int],
    refusal: str | None,
) -> Iterator[tuple[Node | None, str]]:
    if isinstance(facts, ShapeError):
        if refusal is None and "number of parts" not in facts.what and not _reaches_nothing(values):
            yield None, f"refused though PyTorch runs it: {facts}"
        return
    numbers = {symbol: sympy.Integer(size) for symbol, size in sizes.items()}
    verdicts = [(need, need.condition.xreplace(numbers)) for need in facts.assumptions]
    if refusal is not None:
        if all(verdict == sympy.true for _, verdict in verdicts) and not _reaches_nothing(values):
            yield None, f"accepted though PyTorch refuses it: {refusal}"
        return
    if any(verdict != sympy.true and _has_one_form(need.node) for need, verdict in verdicts):
        return
    for need, verdict in verdicts:
        if verdict == sympy.false and not _reaches_nothing(values):
            yield need.node, f"%{need.node.name} needs {need.condition} though PyTorch runs it"
    for node in graph:
        if node.op != "output" and node.name in values:
            for wrong in violations(facts, facts[node], values[node.name], sizes):
                yield node, f"{node.format_node()}: {wrong}"


def _reaches_nothing(values: Mapping[str, object]) -> bool:
    """Whether some tensor is empty: what PyTorch then refuses depends on the kernel it picks."""
    return any(isinstance(value, Tensor) and not value.numel() for value in values.values())


def _has_one_form(node: Node) -> bool:
    """Whether sizes tell how many results an operator or axes its result has; a captured graph holds for one number."""
    return op_name(node) in ("chunk", "split", "squeeze", "unbind")


def _verdict(program: Program, sizes: Mapping[sympy.Symbol, int], refusal: str | None) -> Iterator[str]:
    """Of the constraints that are told to the user."""
    routes = [acceptance(program, route) for route in program.routes]
    if any(_has_one_form(need.node) for route in routes for need in route.constraints):
        return
    accepted = bool(accepted_by(routes, arrays(sizes)))
    if accepted != (refusal is None):
        yield f"constraints {'accept' if accepted else 'refuse'} the patch, PyTorch says {refusal or 'nothing'}"


def _unread(graph: Graph, facts: Facts, inputs: Sequence[Tensor], case: Case) -> Iterator[tuple[Node, str]]:
    """Changes every element of the inputs that one element of an output is said not to read."""
    random = Random(case.seed)
    place = random.randrange(len(graph.outputs))
    output, before = graph.outputs[place], graph.run(*inputs)[place]
    if not isinstance(before, Tensor) or not before.numel() or not before.is_floating_point():
        return
    index = tuple(random.randrange(size) for size in before.shape)
    demand = demanded(
        graph, facts, {output: tuple(only(size, at) for size, at in zip(before.shape, index, strict=True))}
    )
    changed = []
    for node, x in zip(graph.inputs, inputs, strict=True):
        other, box = x.flip(-1) * 0.5 + 0.25, demand.box(node)
        if box is not None:
            read = tuple(slice(max(int(max(r.low, 0)), 0), int(min(r.high, r.size - 1)) + 1) for r in map(run, box))
            other[read] = x[read]
        changed.append(other)
    after = graph.run(*changed)[place]
    scale = float(before.abs().nan_to_num(0, 0, 0).max())
    if not torch.isclose(before[index], after[index], rtol=1e-4, atol=1e-5 * scale, equal_nan=True):
        yield output, f"%{output.name}{list(index)} depends on what it is said not to read"


def minimised(case: Case, violation: Violation) -> tuple[Case, Violation]:
    """The same fault on the one route and patch that show it, with the node as the only output if that is enough."""
    route = case.program.routes[violation.route]
    small, shown = _on(case, route, violation.patch), violation
    if violation.node is not None:
        graph = route.graph.copy()
        node = next(other for other in graph if other.name == violation.node.name)
        graph.fx.output_node().args = ((node,),)
        graph.sweep()
        tried = _on(case, replace(route, graph=graph), violation.patch)
        if found := check(tried):
            return tried, found[0]
    found = check(small)
    return (small, found[0]) if found else (case, shown)


def _on(case: Case, route: Route, patch: Patch) -> Case:
    program = replace(case.program, routes=[route])
    return Case(program, tuple((0, each) for each in dict.fromkeys([route.example, patch])), case.seed, case.thorough)
