"""Which network upscales a movie, and the patches it is made for; described by numbers that a package can keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from dydca.content.grid import quadrant

if TYPE_CHECKING:
    from torch import nn

Gate = Literal["shape", "learned", "none"]
GATES: tuple[Gate, ...] = get_args(Gate)

Cutting = Literal["auto", "deep", "shallow"]
CUTTINGS: tuple[Cutting, ...] = get_args(Cutting)


@dataclass(frozen=True)
class NetworkPlan:
    """A network by what decides its route.

    Attributes:
        gate: ``shape``: hard patches are cut into quadrants, which are lower and so take the deep route (Dy-DCA).
            ``learned``: a small classifier in the network decides for each coarse patch. ``none``: one route, the
            deep one, made narrow enough for the budget; what content-awareness has to beat.
        scale: High resolution to low.
        patch: Height and width of a coarse patch.
        channels: Between the blocks of the one route, for ``none``; 32 else.
    """

    gate: Gate
    scale: int
    patch: tuple[int, int]
    channels: int = 32

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Heights and widths of the patches the network gets: the coarse one, then the quadrant if there are any."""
        return (self.patch, quadrant(self.patch)) if self.gate == "shape" else (self.patch,)

    @property
    def patch_shapes(self) -> list[tuple[int, int, int, int]]:
        """`sizes` as `dydca.compile` takes them."""
        return [(1, 3, *size) for size in self.sizes]

    def build(self) -> nn.Module:
        """The network with random weights."""
        from dydca.models.dydca_wdsr import WDSR, DynamicWDSR, GatedWDSR

        if self.gate == "shape":
            return DynamicWDSR(self.scale, patch_limit=self.patch[0])
        if self.gate == "learned":
            return GatedWDSR(self.scale)
        return WDSR(self.scale, blocks=4, width=2, channels=self.channels)
