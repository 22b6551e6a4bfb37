"""Why a patch cannot be exported: whether it is its size that the network refuses, and which size it would take."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dydca.analysis.nearest import broken, refusal
from dydca.capture.export import export_route
from dydca.errors import CaptureError, DydcaError
from dydca.program import Input, Program, Route
from dydca.shapes import Patch


def refused(
    module: nn.Module, inputs: Sequence[Input], routes: Sequence[Route], patch: Patch, error: CaptureError
) -> DydcaError:
    """`error`, or a better one if the routes known, or one of a patch nearby, need what `patch` has not.

    Args:
        module: The network.
        inputs: What it takes.
        routes: Those found so far; if there are none, a patch of a size near by is tried.
        patch: Whose export failed.
        error: How it failed.
    """
    if error.code != "DYD101":
        return error
    program = Program(tuple(inputs), (), True, list(routes) or _route_nearby(module, inputs, patch))
    constraint = broken(program, patch) if program.routes else None
    if constraint is None or not _failed_at(error, constraint.line):
        return error
    return refusal(program, patch)


def _failed_at(error: CaptureError, line: str | None) -> bool:
    """Whether the export failed while ``model.py:41`` ran."""
    cause = error.__cause__ or error
    frames = traceback.extract_tb(cause.__traceback__)
    return line is None or line in {f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames}


def _route_nearby(module: nn.Module, inputs: Sequence[Input], patch: Patch) -> list[Route]:
    for near in _patches_nearby(patch):
        if _runs(module, inputs, near):
            try:
                export = export_route(module, inputs, near, ())
            except CaptureError:
                continue
            return [Route("route0", ((),), export.graph, near, decisions=export.decisions)]
    return []


def _patches_nearby(patch: Patch) -> Iterator[Patch]:
    """Rounded up to what networks divide by, then square, then larger."""
    largest = max(size for shape in patch for size in shape[-2:])
    for multiple in (2, 3, 4, 8, 16, 32, 64):
        yield tuple((*shape[:-2], *(-(-size // multiple) * multiple for size in shape[-2:])) for shape in patch)
    yield tuple((*shape[:-2], *[-(-largest // 8) * 8 for _ in shape[-2:]]) for shape in patch)
    yield tuple((*shape[:-2], *(4 * size for size in shape[-2:])) for shape in patch)


def _runs(module: nn.Module, inputs: Sequence[Input], patch: Patch) -> bool:
    """Whether the network accepts the sizes; no element is computed."""
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            module(*(torch.empty(shape, dtype=spec.dtype) for spec, shape in zip(inputs, patch, strict=True)))
    except Exception:  # any refusal of the user's network, of whatever type, and any value it asks for
        return False
    return True
