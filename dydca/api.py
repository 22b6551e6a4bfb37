"""The main job: a network and its patches in, a native library as a callable out."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.export import ExportedProgram

from dydca.capture import capture
from dydca.capture.capture import PatchShapes
from dydca.lower.build import build_library
from dydca.lower.lower import lower
from dydca.lower.plan import Entry, write_plan
from dydca.lower.targets import Target, find_target
from dydca.passes import Variant, default_passes, run_passes
from dydca.program import Program
from dydca.runtime import Network
from dydca.shapes import patch_label


def compile(  # noqa: A001 - the ecosystem's own word
    model: nn.Module | ExportedProgram,
    patch_shapes: PatchShapes,
    *,
    example_inputs: Sequence[Tensor] | None = None,
    target: str = "host",
    threads: int | None = None,
    verify: bool = False,
) -> Network:
    """Compiles a network for exactly the declared patches.

    Args:
        model: The network, in its training form or not; it is copied, never changed.
        patch_shapes: Each ``(N, C, H, W)``, ``(H, W)``, or ``{input name: shape}``.
        example_inputs: One tensor per input, where element types or channels cannot be told otherwise.
        target: A name of `dydca.lower.targets`; ``host`` is this machine.
        threads: Of the returned network, 1..64; by default one per processor.
        verify: Executes the graph before and after every pass on every route and patch.

    Returns:
        A callable from float32 tensors to float32 tensors. Inputs must be free of NaN; values are not checked.

    Raises:
        CaptureError, ShapeError, PassError, LoweringError, BuildError: see `dydca.errors`.
    """
    processor = find_target(target)
    program = capture(model, patch_shapes, example_inputs)
    outcome = run_passes(program, default_passes(), verify=verify or "fast")
    entries = [_entry(variant, processor) for variant in outcome.variants]
    manifest = _manifest(program, outcome.variants, entries, processor)
    plan = write_plan(entries, manifest)
    return Network(build_library(plan, processor), manifest, threads=threads)


def _entry(variant: Variant, target: Target) -> Entry:
    name = f"{variant.route.name}_{patch_label(variant.patch).replace('+', '_')}"
    shapes = tuple(variant.facts.shape(node) for node in variant.graph.outputs)
    return Entry(lower(variant, name, target), variant.patch, shapes)


def _manifest(
    program: Program, variants: Sequence[Variant], entries: Sequence[Entry], target: Target
) -> dict[str, object]:
    return {
        "target": {"name": target.name, "triple": target.triple, "cpu": target.cpu, "features": list(target.requires)},
        "inputs": [tensor.name for tensor in program.inputs],
        "outputs": list(program.outputs),
        "routes": {route.name: route.predicate for route in program.routes},
        "patches": [
            {"route": variant.route.name, "inputs": list(map(list, entry.inputs)), "outputs": list(map(list, entry.outputs))}
            for variant, entry in zip(variants, entries, strict=True)
        ],
    }
