"""How a network may be run on tiles of a picture: how far its pixels see, on which grid, and at what memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, lcm

from torch import nn
from torch.fx import Node

from dydca.analysis.cost import memory
from dydca.analysis.receptive_field import receptive_field
from dydca.capture import capture
from dydca.content.tiles import WHOLE, Reach
from dydca.models.registry import Facts
from dydca.passes import Variant, default_passes, run_passes
from dydca.program import Program, arguments, op_name
from dydca.shapes import Patch

GRID = 12
"""The grid of every kernel divides it: Winograd writes 2x2, 4x4 or 6x6 outputs at a time, the others single ones."""
LARGEST_TILE = 6


@dataclass(frozen=True)
class Needs:
    """What a network needs of tiles.

    Attributes:
        reach: What they must respect.
        bytes_per_pixel: Of activations alive at once, per pixel of the input.
        program: The network as captured for the whole picture.
    """

    reach: Reach
    bytes_per_pixel: float
    program: Program

    def cover(self, tile: Patch) -> bool:
        """Whether a tile takes the route of the whole picture."""
        sizes = self.program.sizes(tile)
        return any(all(guard.holds(sizes) for guard in region) for region in self.program.routes[0].regions)


def needs_of(model: nn.Module, facts: Facts, picture: tuple[int, int]) -> Needs:
    """Find out how a network may be cut.

    The graph for the picture is asked, after the passes, for it is the simplest. It hides where a network computes with
    its own height and width; none of the zoo does.

    Args:
        model: In eval mode.
        facts: Of the network.
        picture: Height and width.

    Returns:
        Its needs. The halo is None if values choose the route or a pixel sees the whole picture.

    Raises:
        CaptureError, ShapeError: The network cannot be captured.
    """
    program = capture(model, [facts.shapes(*picture)])
    variants = run_passes(program, default_passes(), verify=False).variants
    per_pixel = max(memory(variant.graph, variant.facts).peak for variant in variants) / (picture[0] * picture[1])
    return Needs(_reach(program, variants), per_pixel, program)


def _reach(program: Program, variants: Sequence[Variant]) -> Reach:
    if len(program.routes) > 1:
        return WHOLE
    variant = variants[0]
    fields = receptive_field(variant.graph, variant.facts)
    picture = [field for field in fields if field.output is variant.graph.outputs[0]]
    halo, steps = 0, [_grid(variant)]
    for sight in (sight for field in picture for sight in (field.rows, field.columns)):
        if sight.before is None or sight.after is None:
            return WHOLE
        halo = max(halo, sight.before, sight.after)
        steps.append(sight.step)
    return Reach(halo + _slack(variant), lcm(*steps))


def _slack(variant: Variant) -> int:
    """What the grids of convolutions on one path add to the halo: each is felt up to the borders of its tile."""
    slack: dict[Node, int] = {}
    for node in variant.graph:
        own = (LARGEST_TILE - 1) * _coarseness(variant, node) if _has_grid(variant, node) else 0
        slack[node] = own + max((slack[operand] for operand in node.all_input_nodes), default=0)
    return max(slack.values())


def _grid(variant: Variant) -> int:
    return lcm(*(GRID * _coarseness(variant, node) for node in variant.graph if _has_grid(variant, node)))


def _has_grid(variant: Variant, node: Node) -> bool:
    """Whether a kernel may write several outputs at once: of convolutions, not the pointwise and depthwise ones."""
    if "conv" not in op_name(node):
        return False
    _, channels, *window = variant.facts.shape(node.all_input_nodes[1])
    return max(window) > 1 and (channels > 1 or arguments(node)["groups"] == 1)


def _coarseness(variant: Variant, node: Node) -> int:
    """How many rows of the input one row of a convolution's result stands for, 1 for less than one."""
    return max(1, ceil(variant.patch[0][2] / variant.facts.shape(node)[2]))
