"""The main job: a network and its patches in, a native library as a callable out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dydca.cache.key import key_of
from dydca.cache.store import Store, find_folder
from dydca.compiled import CompiledNetwork, CrossCompiledNetwork, Request
from dydca.runtime.machine import is_runnable
from dydca.shapes import MAX_ROUTES
from dydca.snapshot import snapshot

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn
    from torch.export import ExportedProgram

    from dydca.capture.signature import Examples, PatchShapes
    from dydca.inputs import Range
    from dydca.lower.select_kernels import Precision
    from dydca.passes import Pass


def compile(
    model: nn.Module | ExportedProgram | ModelProto | str | Path,
    patch_shapes: PatchShapes,
    *,
    example_inputs: Examples | None = None,
    target: str | Sequence[str] = "host",
    cpu: str | None = None,
    threads: int | None = None,
    input_range: Range | Mapping[str, Range] | None = None,
    precision: Precision = "fast",
    max_routes: int = MAX_ROUTES,
    memory: str | int | None = None,
    passes: Sequence[Pass] | None = None,
    verify: bool = False,
    dump: str | Path | None = None,
    cache: bool = True,
) -> CompiledNetwork:
    """Compiles a network for exactly the declared patches.

    Args:
        model: The network, in its training form or not, which is copied, never changed; or the path of a file that
            `dydca.capture.files.read_model` reads.
        patch_shapes: Each ``(N, C, H, W)``, ``(H, W)``, or ``{input name: shape}``.
        example_inputs: One tensor per argument, nested as forward takes them, where element types or channels
            cannot be told otherwise.
        target: ``host`` (this machine), ``x86-64-v3``, ``x86-64-v4``, ``linux-aarch64``, ``linux-aarch64-musl``,
            ``android-aarch64``, or several of them, of one platform each.
        cpu: LLVM's name of the processor, e.g. ``cortex-a78``; by default the least of the target, or this machine's.
        threads: Of the returned network, and of every loaded or exported copy, 1..64; by default one per processor, or
            one if `memory` is limited.
        input_range: The least and the largest value that will ever be passed, ``(0, 1)``, or this by input name. What
            follows from it is compiled in and not checked: a clip that never clips goes, for example.
        precision: ``fast`` may choose kernels whose results are off by up to 6e-6 of the largest, a convolution;
            ``exact`` only those that are as near as the sum computed in order, 2e-6.
        max_routes: How many routes one patch may have.
        memory: The most that a loaded network may allocate for values and scratch, in bytes or as ``8MB``, ``7.5MiB``,
            for `threads`, each of which can have a patch in work. Where it is short, calls run in longer chains of
            fewer rows, which costs time; the report says how much.
        passes: Run in this order; by default `dydca.passes.default_passes`.
        verify: Executes the graph before and after every pass on every route and patch; runs what was compiled for
            another machine in an emulator, if there is one.
        dump: Folder for every graph as text after every pass.
        cache: Whether a network that was compiled before is taken from the folder ``DYDCA_CACHE`` (``~/.cache/dydca``)
            and kept there, by its values and the code of all it may call, not by what that reads from files or the
            environment. With `passes`, `verify` or `dump` everything is done anew.

    Returns:
        A callable from tensors to tensors, if it was compiled for this machine. Inputs must be free of NaN; values are
        not checked.

    Raises:
        FileError, CaptureError, ShapeError, PassError, LoweringError, BuildError: see `dydca.errors`.
    """
    targets = (target,) if isinstance(target, str) else tuple(target)
    given = snapshot(_open(model)), patch_shapes, example_inputs, targets, cpu, threads, input_range
    request = Request(*given, precision, max_routes, memory, passes, verify, dump)
    anew = passes is not None or verify or dump is not None
    manifest, members = request.package if anew or not cache else _cached(request)
    network = CompiledNetwork if is_runnable(manifest) else CrossCompiledNetwork
    return network(request, manifest, members)


def _open(model: Any) -> Any:
    if not isinstance(model, str | Path) and not hasattr(model, "opset_import"):  # which ONNX's protos have
        return model  # what is in the cache is found without importing the capture
    from dydca.capture.files import open_model

    return open_model(model)


def _cached(request: Request) -> tuple[Mapping[str, object], Mapping[str, bytes]]:
    """The package that was kept under the request's key; else a new one, kept from now on."""
    folder = find_folder()
    key = None if folder is None else key_of(vars(request))
    if folder is None or key is None:
        return request.package
    store = Store(folder)
    if (found := store.get(key)) is None:
        found = request.package
        store.put(key, *found)
    return found
