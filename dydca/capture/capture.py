"""Finds the routes that the declared patches take.

A patch outside every region known so far is exported once more, until all are covered; regions the network
distinguishes and no patch enters are reported, not guessed.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence

import sympy
import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import ExportedProgram

from dydca.capture.decisions import choose_arm
from dydca.capture.export import Export, export_route
from dydca.errors import CaptureError, ShapeError
from dydca.program import Decision, Input, Program, Route
from dydca.shapes import Patch, parse_patches

PatchShapes = Sequence[Sequence[int] | Mapping[str, Sequence[int]]]


MAX_ROUTES = 64


def capture(
    model: nn.Module | ExportedProgram,
    patch_shapes: PatchShapes,
    example_inputs: Sequence[Tensor] | None = None,
    *,
    max_routes: int = MAX_ROUTES,
) -> Program:
    """Captures every route that a declared patch takes.

    Args:
        model: The network; it is copied and put into eval mode, never changed.
        patch_shapes: See `dydca.shapes.parse_patches`.
        example_inputs: One tensor per input; shows element types and the sizes that `patch_shapes` leaves out.
        max_routes: How many routes one patch may have.

    Raises:
        CaptureError: DYD101 the network cannot be exported, DYD102 it is no network, DYD103 it changes its own state,
            DYD104 a value decides without a trace, DYD105 there are more routes than `max_routes`.
        ShapeError: DYD201 a patch is not understood, DYD202 an operator does not accept it.
    """
    module = own_copy(model)
    names = _input_names(module, patch_shapes, example_inputs)
    dtypes = [tensor.dtype for tensor in example_inputs or ()] or [torch.float32] * len(names)
    known = {name: _known_sizes(module, patch_shapes, example_inputs, axis) for axis, name in enumerate(names)}
    patches = parse_patches(patch_shapes, known)
    trees: list[tuple[list[Export], list[Patch]]] = []
    for patch in patches:
        home = next((served for exports, served in trees if all(export.accepts(patch) for export in exports)), None)
        if home is None:
            trees.append((_explore(module, names, dtypes, patch, max_routes), home := []))
        home.append(patch)
    first = trees[0][0][0]
    exports = [(export, served) for tree, served in trees for export in tree]
    return Program(
        inputs=tuple(Input(name, dtype, dims) for name, dtype, dims in zip(names, dtypes, first.dims, strict=True)),
        outputs=first.outputs,
        single=first.single,
        routes=_merge_equal_routes(exports),
        uncovered=_uncovered(exports, patches),
    )


def _explore(
    module: nn.Module, names: Sequence[str], dtypes: Sequence[torch.dtype], patch: Patch, limit: int
) -> list[Export]:
    """Every path that values can choose for the patch: each question's last answer is varied first."""
    exports: list[Export] = []
    script: tuple[int, ...] | None = ()
    while script is not None:
        exports.append(export_route(module, names, dtypes, patch, script))
        decisions = exports[-1].decisions
        if len(exports) > limit:
            lines = sorted({str(decision.line) for export in exports for decision in export.decisions})
            got, want = f"over {limit}, branching at {', '.join(lines)}", f"at most {limit}"
            raise CaptureError("DYD105", "too many routes", where=lines[0], got=got, want=want)
        script = _next_script(decisions)
    return exports


def _next_script(decisions: Sequence[Decision]) -> tuple[int, ...] | None:
    """The script that differs from this path at its last question with an answer left; None when all are done."""
    for depth in range(len(decisions) - 1, -1, -1):
        if decisions[depth].outcome + 1 < decisions[depth].arity:
            return (*(decision.outcome for decision in decisions[:depth]), decisions[depth].outcome + 1)
    return None


def own_copy(model: object) -> nn.Module:
    """The network as a module of ours, in eval mode.

    Raises:
        CaptureError: DYD102, it is no network.
    """
    if isinstance(model, ExportedProgram):
        return _asking(model.module())  # a fresh module each time; eval mode was settled when it was exported
    if isinstance(model, torch.jit.ScriptModule):
        fix = "pass the nn.Module the script was made from, or torch.export.export it"
        raise CaptureError("DYD102", "a TorchScript module has no capturable source", got=type(model).__name__, fix=fix)
    if not isinstance(model, nn.Module):
        raise CaptureError("DYD102", "this is no network", got=type(model).__name__, want="an nn.Module")
    # torch.nn.utils.weight_norm leaves computed tensors in __dict__, which deepcopy refuses; a detached copy is equal.
    computed = [value for part in model.modules() for value in vars(part).values() if isinstance(value, Tensor)]
    memo = {id(value): value.detach().clone() for value in computed if not value.is_leaf}
    return _asking(copy.deepcopy(model, memo).eval())


def _asking(module: nn.Module) -> nn.Module:
    """Lets graphs that hold a ``torch.cond`` ask for its predicate."""
    for part in module.modules():
        if isinstance(part, fx.GraphModule):
            for node in part.graph.find_nodes(op="call_function", target=torch.ops.higher_order.cond):
                node.target = choose_arm
            part.recompile()
    return module


def _input_names(
    module: nn.Module, patch_shapes: PatchShapes, example_inputs: Sequence[Tensor] | None
) -> tuple[str, ...]:
    """The tensor arguments of forward: those the patches name, else as many as there are examples, else one."""
    parameters = [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ] or ["x"]
    named = next((entry for entry in patch_shapes if isinstance(entry, Mapping)), None)
    if named is not None and not set(named) <= set(parameters):
        raise ShapeError("DYD201", "the patch names an input that forward has not", got=sorted(named), want=parameters)
    if named is not None:
        return tuple(name for name in parameters if name in named)
    return tuple(parameters[: len(example_inputs)] if example_inputs else parameters[:1])


def _known_sizes(
    module: nn.Module, patch_shapes: PatchShapes, example_inputs: Sequence[Tensor] | None, axis: int
) -> Sequence[int]:
    """Rank and channels of an input as far as they can be told; -1 for a size that is free, () for nothing."""
    if example_inputs:
        shape = example_inputs[axis].shape
        return (*shape[:2], -1, -1) if len(shape) == 4 else (-1,) * len(shape)
    if isinstance(module, fx.GraphModule) and isinstance(value := _placeholders(module)[axis].meta.get("val"), Tensor):
        return tuple(size if isinstance(size, int) else -1 for size in value.shape)
    short = [entry for entry in patch_shapes if not isinstance(entry, Mapping) and len(entry) == 2]
    return (1, _channels(module, short[0]), -1, -1) if short else ()


def _placeholders(module: fx.GraphModule) -> list[fx.Node]:
    return list(module.graph.find_nodes(op="placeholder"))


def _channels(module: nn.Module, size: Sequence[int]) -> int:
    """The one number of input channels the network accepts among those its convolutions suggest, else -1."""
    wanted = {part.in_channels for part in module.modules() if isinstance(part, nn.Conv2d)}
    shuffled = {c // r**2 for c in wanted for r in (2, 3, 4) if c % r**2 == 0}
    accepted = [c for c in sorted(wanted | shuffled | {1, 3}) if _runs(module, (1, c, *size))]
    return accepted[0] if len(accepted) == 1 else -1


def _runs(module: nn.Module, shape: Sequence[int]) -> bool:
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            module(torch.empty(*shape))
    except Exception:  # any refusal of the user's network, of whatever type, means: not this number of channels
        return False
    return True


def _merge_equal_routes(exports: Sequence[tuple[Export, list[Patch]]]) -> list[Route]:
    """PyTorch sets sizes of 1 apart; regions that lead to the same graph are one route all the same."""
    routes: dict[object, Route] = {}
    for export, patches in exports:
        key = export.graph.key(), export.decisions
        if key in routes:
            routes[key].patches += patches
            routes[key].regions += (export.guards,)
        else:
            routes[key] = Route(f"route{len(routes)}", (export.guards,), export.graph, list(patches), export.decisions)
    return list(routes.values())


def _uncovered(exports: Sequence[tuple[Export, list[Patch]]], patches: Sequence[Patch]) -> tuple[str, ...]:
    """The other side of each of the user's own conditions, where no declared patch lies on it."""
    found: dict[str, None] = {}
    for export, _ in exports:
        decided = [guard for guard in export.guards if guard.line]
        for depth, guard in enumerate(decided):
            region = [*(before.condition for before in decided[:depth]), sympy.Not(guard.condition)]
            if not any(all(export.holds(condition, patch) for condition in region) for patch in patches):
                found[" and ".join(map(str, region)) + f" ({guard.line})"] = None
    return tuple(found)
