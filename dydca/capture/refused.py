"""Why a patch cannot be exported: whether it is its size that the network refuses, and which size it would take."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dydca.analysis.nearest import broken, refusal
from dydca.capture.export import Export
from dydca.capture.signature import Signature
from dydca.errors import CaptureError, DydcaError
from dydca.program import Program, Route
from dydca.shapes import Patch


def refused(
    module: nn.Module,
    signature: Signature,
    routes: Sequence[Route],
    patch: Patch,
    error: CaptureError,
    export: Callable[[Patch], tuple[Export | None, object]],
) -> DydcaError:
    """`error`, or a better one if the routes known, or one of a patch nearby, need what `patch` has not.

    Args:
        module: The network.
        signature: What it takes.
        routes: Those found so far; if there are none, a patch of a size near by is tried.
        patch: Whose export failed.
        error: How it failed.
        export: Of another patch.
    """
    if error.code != "DYD101":
        return error
    known = list(routes) or _route_nearby(module, signature, patch, export)
    program = Program(signature.inputs, signature.arguments, (), {"tuple": []}, known)
    constraint = broken(program, patch) if program.routes else None
    if constraint is None or not _failed_at(error, constraint.line):
        return error
    return refusal(program, patch)


def _failed_at(error: CaptureError, line: str | None) -> bool:
    """Whether the export failed while ``model.py:41`` ran."""
    cause = error.__cause__ or error
    frames = traceback.extract_tb(cause.__traceback__)
    return line is None or line in {f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames}


def _route_nearby(
    module: nn.Module, signature: Signature, patch: Patch, export: Callable[[Patch], tuple[Export | None, object]]
) -> list[Route]:
    for near in _patches_nearby(patch):
        if _runs(module, signature, near):
            try:
                found, _ = export(near)
            except CaptureError:
                continue
            return [Route("route0", ((),), found.graph, near, decisions=found.decisions)] if found else []
    return []


def _patches_nearby(patch: Patch) -> Iterator[Patch]:
    """Rounded up to what networks divide by, then square, then larger."""
    largest = max(size for shape in patch for size in shape[-2:])
    for multiple in (2, 3, 4, 8, 16, 32, 64):
        yield tuple((*shape[:-2], *(-(-size // multiple) * multiple for size in shape[-2:])) for shape in patch)
    yield tuple((*shape[:-2], *[-(-largest // 8) * 8 for _ in shape[-2:]]) for shape in patch)
    yield tuple((*shape[:-2], *(4 * size for size in shape[-2:])) for shape in patch)


def _runs(module: nn.Module, signature: Signature, patch: Patch) -> bool:
    """Whether the network accepts the sizes; no element is computed."""
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            pairs = zip(signature.inputs, patch, strict=True)
            signature.call(module, [torch.empty(shape, dtype=own.dtype) for own, shape in pairs])
    except Exception:  # any refusal of the user's network, of whatever type, and any value it asks for
        return False
    return True
