"""The main job: a network and its patches in, a native library as a callable out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn
from torch.export import ExportedProgram

from dydca.capture.capture import MAX_ROUTES, capture
from dydca.capture.network import own_copy
from dydca.capture.signature import PatchShapes
from dydca.compiled import CompiledNetwork, CrossCompiledNetwork, Source
from dydca.errors import LoweringError
from dydca.lower.targets import find_target
from dydca.passes import Dump, Pass, default_passes, run_passes
from dydca.program import Range
from dydca.report import explain_program


def compile(
    model: nn.Module | ExportedProgram,
    patch_shapes: PatchShapes,
    *,
    example_inputs: Sequence[Tensor] | None = None,
    target: str | Sequence[str] = "host",
    cpu: str | None = None,
    threads: int | None = None,
    input_range: Range | Mapping[str, Range] | None = None,
    max_routes: int = MAX_ROUTES,
    passes: Sequence[Pass] | None = None,
    verify: bool = False,
    dump: str | Path | None = None,
) -> CompiledNetwork:
    """Compiles a network for exactly the declared patches.

    Args:
        model: The network, in its training form or not; it is copied, never changed.
        patch_shapes: Each ``(N, C, H, W)``, ``(H, W)``, or ``{input name: shape}``.
        example_inputs: One tensor per input, where element types or channels cannot be told otherwise.
        target: ``host`` (this machine), ``x86-64-v3``, ``x86-64-v4``, ``linux-aarch64``, ``linux-aarch64-musl``,
            ``android-aarch64``, or several of them, of one platform each.
        cpu: LLVM's name of the processor, e.g. ``cortex-a78``; by default the least of the target, or this machine's.
        threads: Of the returned network, and of every loaded or exported copy, 1..64; by default one per processor.
        input_range: The least and the largest value that will ever be passed, ``(0, 1)``, or this by input name. What
            follows from it is compiled in and not checked: a clip that never clips goes, for example.
        max_routes: How many routes one patch may have.
        passes: Run in this order; by default `dydca.passes.default_passes`.
        verify: Executes the graph before and after every pass on every route and patch; runs what was compiled for
            another machine in an emulator, if there is one.
        dump: Folder for every graph as text after every pass.

    Returns:
        A callable from tensors to tensors, if it was compiled for this machine. Inputs must be free of NaN; values are
        not checked.

    Raises:
        CaptureError, ShapeError, PassError, LoweringError, BuildError: see `dydca.errors`.
    """
    names = [target] if isinstance(target, str) else list(target)
    targets = [find_target(name, cpu) for name in names]
    program = capture(model, patch_shapes, example_inputs, max_routes=max_routes)
    program.promise(input_range)
    if program.ranges:
        got = " and ".join(map(str, program.ranges))
        raise LoweringError("DYD107", "code is made for single sizes, not for ranges", got=got)
    analysis = explain_program(program, type(model).__name__, dict(_parameters(model)))
    chosen = default_passes() if passes is None else passes
    observers = [] if dump is None else [Dump(Path(dump))]
    outcome = run_passes(program, chosen, verify=verify or "fast", observers=observers)
    source = Source(program, analysis, outcome, own_copy(model), threads, verify)
    builds = [source.build(each) for each in targets]
    here = find_target("host")
    if any(each.triple == here.triple and set(each.requires) <= set(here.requires) for each in targets):
        return CompiledNetwork(source, builds, threads)
    return CrossCompiledNetwork(source, builds)


def _parameters(model: nn.Module | ExportedProgram) -> Iterable[tuple[str, Tensor]]:
    return model.named_parameters() if isinstance(model, nn.Module) else model.state_dict.items()
