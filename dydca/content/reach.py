"""How a network may be run on tiles of a picture: how far its pixels see, on which grid, and at what memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, lcm

import torch
from torch import nn
from torch.fx import Node

from dydca.analysis.cost import memory
from dydca.capture import capture
from dydca.content.tiles import Reach
from dydca.models.registry import Facts
from dydca.passes import Variant, default_passes, run_passes
from dydca.program import Program, arguments, op_name
from dydca.shapes import Patch

GRID = 12
"""The grid of every kernel divides it: Winograd writes 2x2, 4x4 or 6x6 outputs at a time, the others single ones."""
LARGEST_TILE = 6
PROBES = (128, 256)
LONGEST_PERIOD = 8
"""Of a network whose pixels see differently far by their place, as behind a pixel unshuffle or in windows."""


@dataclass(frozen=True)
class Needs:
    """What a network needs of tiles.

    Attributes:
        reach: What they must respect.
        bytes_per_pixel: Of activations alive at once, per pixel of the input.
    """

    reach: Reach
    bytes_per_pixel: float


def needs_of(model: nn.Module, facts: Facts, picture: tuple[int, int]) -> Needs:
    """Find out how a network may be cut, from small probes on the route that the whole picture takes.

    Args:
        model: In eval mode.
        facts: Of the network.
        picture: Height and width.

    Returns:
        Its needs. The halo is None if values choose the route, if the sizes of probes choose another route than the
        picture's, or if a pixel sees further than a probe is wide, be it everything.

    Raises:
        CaptureError, ShapeError: The network cannot be captured.
    """
    whole = tuple(facts.shapes(*picture).values())
    for side in PROBES:
        program = capture(model, [facts.shapes(side, side)])
        variants = run_passes(program, default_passes(), verify=False).variants
        found = _bytes_per_pixel(variants)
        if len(program.routes) == 1 and not program.routes[0].decisions and _takes(program, whole):
            halo, period = _seen(variants[0])
            if halo is not None:
                return Needs(Reach(halo + _slack(variants[0]), _step(variants[0], period)), found)
    return Needs(Reach(None, 1), found)


def _takes(program: Program, patch: Patch) -> bool:
    sizes = program.sizes(patch)
    return any(all(guard.holds(sizes) for guard in region) for region in program.routes[0].regions)


def _bytes_per_pixel(variants: Sequence[Variant]) -> float:
    height, width = variants[0].patch[0][2:]
    return max(memory(variant.graph, variant.facts).peak for variant in variants) / (height * width)


def _seen(variant: Variant) -> tuple[int | None, int]:
    """How far a pixel is felt, None if too far for this probe, and with which period that varies.

    A value that is not a number makes everything that depends on it none, so one such pixel in a picture shows exactly
    which outputs depend on it.
    """
    height = variant.patch[0][2]
    middle = (height - 2 * LONGEST_PERIOD) // 2
    extents = [_extent(variant, middle + offset) for offset in range(2 * LONGEST_PERIOD)]
    if any(extent is None for extent in extents):
        return None, 1
    known = [extent for extent in extents if extent is not None]
    periods = range(1, LONGEST_PERIOD + 1)
    period = next((p for p in periods if known[p:] == known[:-p]), None)
    return (None, 1) if period is None else (ceil(max(map(max, known))), period)


def _extent(variant: Variant, place: int) -> tuple[float, float] | None:
    """How far before and behind a row and column it is felt, in pixels of the input."""
    inputs = [torch.zeros(shape) for shape in variant.patch]
    for x in inputs:
        x[:, :, place, place] = torch.nan
    (output, *_), height = variant.graph.run(*inputs), variant.patch[0][2]
    felt = output.isnan()[0].any(0)
    scale, lines = output.shape[2] / height, (felt.any(0) | felt.any(1)).nonzero()
    if not len(lines):
        return 0.0, 0.0
    first, last = int(lines.min()), int(lines.max())
    if first == 0 or last == felt.shape[0] - 1:
        return None
    return place - first / scale, (last + 1) / scale - (place + 1)


def _slack(variant: Variant) -> int:
    """What the grids of convolutions on one path add to the halo: each is felt up to the borders of its tile."""
    slack: dict[Node, int] = {}
    for node in variant.graph:
        own = (LARGEST_TILE - 1) * _coarseness(variant, node) if _has_grid(variant, node) else 0
        slack[node] = own + max((slack[operand] for operand in node.all_input_nodes), default=0)
    return max(slack.values())


def _step(variant: Variant, period: int) -> int:
    return lcm(period, *(GRID * _coarseness(variant, node) for node in variant.graph if _has_grid(variant, node)))


def _has_grid(variant: Variant, node: Node) -> bool:
    """Whether a kernel may write several outputs at once: of convolutions, not the pointwise and depthwise ones."""
    if "conv" not in op_name(node):
        return False
    _, channels, *window = variant.facts.shape(node.all_input_nodes[1])
    return max(window) > 1 and (channels > 1 or arguments(node)["groups"] == 1)


def _coarseness(variant: Variant, node: Node) -> int:
    """How many rows of the input one row of a convolution's result stands for, 1 for less than one."""
    return max(1, ceil(variant.patch[0][2] / variant.facts.shape(node)[2]))
