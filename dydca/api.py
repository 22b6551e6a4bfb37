"""The main job: a network and its patches in, a native library as a callable out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from dydca.capture.capture import PatchShapes, capture, own_copy
from dydca.errors import LoweringError
from dydca.lower.build import build_library
from dydca.lower.lower import lower
from dydca.lower.plan import Entry, write_plan
from dydca.lower.targets import Target, find_target
from dydca.passes import Pass, Variant, default_passes, run_passes
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
        A callable from float32 tensors to float32 tensors. Inputs must be free of NaN; values are not checked.

    Raises:
        CaptureError, ShapeError, PassError, LoweringError, BuildError: see `dydca.errors`.
    """
    processor = find_target(target)
    program = capture(model, patch_shapes, example_inputs)
    analysis = explain_program(program, type(model).__name__, dict(_parameters(model)))
    chosen = default_passes() if passes is None else passes
    outcome = run_passes(program, chosen, verify=verify or "fast", dump=None if dump is None else Path(dump))
    by_patch: dict[Patch, list[Variant]] = {}
    for variant in outcome.variants:
        by_patch.setdefault(variant.patch, []).append(variant)
    entries = [_entry(program, patch, variants, processor) for patch, variants in by_patch.items()]
    manifest = _manifest(program, list(by_patch.values()), entries, processor)
    plan = write_plan(entries, manifest)
    library = build_library(plan, processor)
    report = CompiledReport(
        analysis,
        outcome.reports,
        describe_programs([entry.calls for entry in entries], plan.arenas),
        len(plan.kernels),
        len(library),
        len(plan.weights),
    )
    network = Network(library, manifest, str(report), json.dumps(report.to_dict()), threads)
    try:
        _check(network, own_copy(model), by_patch)
    except BaseException:
        network.close()
        raise
    return network


def _parameters(model: nn.Module | ExportedProgram) -> Iterable[tuple[str, Tensor]]:
    return model.named_parameters() if isinstance(model, nn.Module) else model.state_dict.items()


def _entry(program: Program, patch: Patch, variants: Sequence[Variant], target: Target) -> Entry:
    route = "_".join(variant.route.name for variant in variants[:3])
    name = f"{route}_{patch_label(patch).replace('+', '_')}"
    calls = lower(variants, name, target)
    first = variants[0]
    return Entry(calls, patch, tuple(map(first.facts.shape, first.graph.outputs[: len(program.outputs)])))


def _check(network: Network, module: nn.Module, patches: Iterable[Patch]) -> None:
    """Runs every patch once beside the user's own network: whatever went wrong, no wrong picture leaves the compiler.

    The mean decides, not the maximum: a comparison on the way may fall differently by rounding on single pixels.
    """
    generator = torch.Generator().manual_seed(0)
    for patch in patches:
        inputs = [torch.rand(shape, generator=generator) for shape in patch]
        result = network(*inputs)
        with torch.no_grad():
            expected = [leaf.detach() for leaf in tree_leaves(module(*inputs))]
        pairs = zip(expected, result if isinstance(result, tuple) else (result,), strict=True)
        worst = max(_mean_difference(want.nan_to_num(), have.nan_to_num()) for want, have in pairs)
        if not worst <= MEAN_TOLERANCE:
            got = f"a mean difference of {worst:.1e} of the maximum on {patch_label(patch)}"
            raise LoweringError("DYD404", "the native code computes something else", got=got, want=MEAN_TOLERANCE)


def _mean_difference(want: Tensor, have: Tensor) -> float:
    """As a part of the largest value wanted; 0 for tensors without elements."""
    return float((want - have).abs().mean() / want.abs().max().clamp_min(1e-20)) if want.numel() else 0.0


def _manifest(
    program: Program, variants: Sequence[Sequence[Variant]], entries: Sequence[Entry], target: Target
) -> dict[str, object]:
    return {
        "target": {"name": target.name, "triple": target.triple, "cpu": target.cpu, "features": list(target.requires)},
        "inputs": [tensor.name for tensor in program.inputs],
        "outputs": list(program.outputs),
        "single": program.single,
        "routes": {route.name: route.predicate for route in program.routes},
        "patches": [
            {
                "route": " or ".join(variant.route.name for variant in of_patch),
                "inputs": list(map(list, entry.inputs)),
                "outputs": list(map(list, entry.outputs)),
            }
            for of_patch, entry in zip(variants, entries, strict=True)
        ],
    }
