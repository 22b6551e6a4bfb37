"""The main job: a network and its patches in, a native library as a callable out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import inf
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from dydca.capture.capture import PatchShapes, capture, own_copy
from dydca.errors import LoweringError
from dydca.lower.build import build_library
from dydca.lower.calls import Calls, TensorType
from dydca.lower.lower import lower
from dydca.lower.plan import write_plan
from dydca.lower.targets import Target, find_target
from dydca.passes import Dump, Pass, Variant, default_passes, run_passes
from dydca.program import Program
from dydca.report import explain_program
from dydca.report.compiled import CompiledReport, describe_programs
from dydca.runtime import Network
from dydca.shapes import Patch, patch_label

MEAN_TOLERANCE = 1e-4
"""Largest mean difference to PyTorch that compiled code may show, as a part of the output's maximum."""


def compile(
    model: nn.Module | ExportedProgram,
    patch_shapes: PatchShapes,
    *,
    example_inputs: Sequence[Tensor] | None = None,
    target: str = "host",
    threads: int | None = None,
    passes: Sequence[Pass] | None = None,
    verify: bool = False,
    dump: str | Path | None = None,
) -> Network:
    """Compiles a network for exactly the declared patches.

    Args:
        model: The network, in its training form or not; it is copied, never changed.
        patch_shapes: Each ``(N, C, H, W)``, ``(H, W)``, or ``{input name: shape}``.
        example_inputs: One tensor per input, where element types or channels cannot be told otherwise.
        target: A name of `dydca.lower.targets`; ``host`` is this machine.
        threads: Of the returned network, 1..64; by default one per processor.
        passes: Run in this order; by default `dydca.passes.default_passes`.
        verify: Executes the graph before and after every pass on every route and patch.
        dump: Folder for every graph as text after every pass.

    Returns:
        A callable from tensors to tensors. Inputs must be free of NaN; values are not checked.

    Raises:
        CaptureError, ShapeError, PassError, LoweringError, BuildError: see `dydca.errors`.
    """
    processor = find_target(target)
    program = capture(model, patch_shapes, example_inputs)
    analysis = explain_program(program, type(model).__name__, dict(_parameters(model)))
    chosen = default_passes() if passes is None else passes
    observers = [] if dump is None else [Dump(Path(dump))]
    outcome = run_passes(program, chosen, verify=verify or "fast", observers=observers)
    by_patch: dict[Patch, list[Variant]] = {}
    for variant in outcome.variants:
        by_patch.setdefault(variant.patch, []).append(variant)
    entries = [_entry(patch, variants, processor) for patch, variants in by_patch.items()]
    manifest = _manifest(program, list(by_patch.values()), entries, processor)
    plan = write_plan(entries, manifest)
    library = build_library(plan, processor)
    report = CompiledReport(
        analysis,
        outcome.reports,
        describe_programs(entries, plan.arenas),
        len(plan.kernels),
        len(library),
        len(plan.weights),
    )
    network = Network(library, manifest, str(report), json.dumps(report.to_dict()), threads)
    try:
        _check(network, own_copy(model), entries)
    except BaseException:
        network.close()
        raise
    return network


def _parameters(model: nn.Module | ExportedProgram) -> Iterable[tuple[str, Tensor]]:
    return model.named_parameters() if isinstance(model, nn.Module) else model.state_dict.items()


def _entry(patch: Patch, variants: Sequence[Variant], target: Target) -> Calls:
    route = "_".join(variant.route.name for variant in variants[:3])
    return lower(variants, f"{route}_{patch_label(patch).replace('+', '_')}", target)


def _check(network: Network, module: nn.Module, entries: Iterable[Calls]) -> None:
    """Runs every patch once beside the user's own network: whatever went wrong, no wrong picture leaves the compiler.

    The mean decides, not the maximum: a comparison on the way may fall differently by rounding on single pixels.
    """
    generator = torch.Generator().manual_seed(0)
    for entry in entries:
        inputs = [_random(tensor, generator) for tensor in entry.inputs]
        result = network(*inputs)
        with torch.no_grad():
            expected = [leaf.detach() for leaf in tree_leaves(module(*inputs))]
        pairs = zip(expected, result if isinstance(result, tuple) else (result,), strict=True)
        worst = max(_mean_difference(want.double().nan_to_num(), have.double().nan_to_num()) for want, have in pairs)
        if not worst <= MEAN_TOLERANCE:
            got = f"a mean difference of {worst:.1e} of the maximum in {entry.name}"
            raise LoweringError("DYD404", "the native code computes something else", got=got, want=MEAN_TOLERANCE)


def _random(tensor: TensorType, generator: torch.Generator) -> Tensor:
    """Values a picture may have; whole numbers are 0 or 1, which an index bears, too."""
    if tensor.dtype == "float32":
        return torch.rand(tensor.shape, generator=generator)
    limit = 256 if tensor.dtype == "uint8" else 2
    return torch.randint(limit, tensor.shape, generator=generator, dtype=getattr(torch, tensor.dtype))


def _mean_difference(want: Tensor, have: Tensor) -> float:
    """As a part of the largest value wanted; infinite for another shape, 0 for tensors without elements."""
    if want.shape != have.shape:
        return inf
    return float((want - have).abs().mean() / want.abs().max().clamp_min(1e-20)) if want.numel() else 0.0


def _manifest(
    program: Program, variants: Sequence[Sequence[Variant]], entries: Sequence[Calls], target: Target
) -> dict[str, object]:
    first = entries[0]
    return {
        "target": {"name": target.name, "triple": target.triple, "cpu": target.cpu, "features": list(target.requires)},
        "inputs": [
            {"name": tensor.name, "type": given.dtype}
            for tensor, given in zip(program.inputs, first.inputs, strict=True)
        ],
        "outputs": [
            {"name": name, "type": made.dtype} for name, made in zip(program.outputs, first.largest, strict=True)
        ],
        "single": program.single,
        "routes": {route.name: route.predicate for route in program.routes},
        "patches": [
            {"route": " or ".join(variant.route.name for variant in of_patch), **_shapes(entry)}
            for of_patch, entry in zip(variants, entries, strict=True)
        ],
    }


def _shapes(entry: Calls) -> dict[str, object]:
    """The shapes of a patch; each way's own only where values decide them."""

    def of(tensors: Sequence[TensorType]) -> list[list[int]]:
        return [list(tensor.shape) for tensor in tensors]

    found: dict[str, object] = {"inputs": of(entry.inputs), "outputs": of(entry.largest)}
    return found if len(entry.results) == 1 else found | {"results": list(map(of, entry.results))}
