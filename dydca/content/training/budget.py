"""What a way of cutting costs, and which patches to make hard so that it costs what it may."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dydca.content.movie.networks import NetworkPlan
from dydca.errors import ContentError
from dydca.models.dydca_wdsr import WDSR, GatedWDSR

GIGA = 1e9
CHANNELS = range(2, 66, 2)


@dataclass(frozen=True)
class Costs:
    """Multiply-adds of one coarse patch of a network that has two routes.

    Attributes:
        easy: On the shallow route.
        hard: On the deep route, in quadrants if it is cut into them.
    """

    easy: int
    hard: int

    @classmethod
    @cache
    def of(cls, plan: NetworkPlan) -> Costs:
        """Of the two routes of a plan; for gate ``none`` those of gate ``shape`` at the same patch."""
        deep, shallow = (WDSR(plan.scale, blocks, 2) for blocks in (4, 2))
        if plan.gate == "learned":
            gate = _macs(GatedWDSR(plan.scale).features, plan.patch)
            return cls(_macs(shallow, plan.patch) + gate, _macs(deep, plan.patch) + gate)
        quarters = NetworkPlan("shape", plan.scale, plan.patch).sizes[1]
        return cls(_macs(shallow, plan.patch), 4 * _macs(deep, quarters))

    def of_frames(self, coarse: int, hard: float) -> float:
        """10^9 multiply-adds of a frame of so many coarse patches, of which on average `hard` are so."""
        return ((coarse - hard) * self.easy + hard * self.hard) / GIGA


def hard_share(costs: Costs, coarse: int, budget: float) -> float:
    """The largest part of the coarse patches, 0..1, that may be hard.

    Args:
        costs: Of the network.
        coarse: Patches in a frame.
        budget: 10^9 multiply-adds for a frame.

    Raises:
        ContentError: DYD808, it is less than all patches easy or more than all patches hard.
    """
    least, most = costs.of_frames(coarse, 0), costs.of_frames(coarse, coarse)
    if not least <= budget <= most:
        raise ContentError("DYD808", "no cutting costs that", got=f"{budget} GMAC", want=f"{least:.3f} to {most:.3f}")
    return float((budget - least) / (most - least))


def threshold_for(scores: NDArray[np.float32], share: float) -> float:
    """The score in dB below which no more than this share of all patches lies."""
    count = int(share * scores.size + 1e-9)
    ordered = np.sort(scores, axis=None)
    return float(ordered[count]) if count < ordered.size else float("inf")


def widest(scale: int, patch: tuple[int, int], coarse: int, budget: float) -> int:
    """The most channels with which one deep route on every coarse patch stays within the budget.

    Raises:
        ContentError: DYD808, not even the narrowest does.
    """
    costs = {channels: coarse * _macs(WDSR(scale, 4, 2, channels), patch) / GIGA for channels in CHANNELS}
    fitting = [channels for channels, cost in costs.items() if cost <= budget]
    if not fitting:
        least = f"{min(costs.values()):.3f} or more"
        raise ContentError("DYD808", "no network is that small", got=f"{budget} GMAC", want=least)
    return fitting[-1]


def frame_gmacs(plan: NetworkPlan, splits: NDArray[np.bool_]) -> float:
    """Mean 10^9 multiply-adds of a frame, where ``splits``, bool ``[frames, coarse patches]``, says what is hard."""
    coarse = splits.shape[1]
    if plan.gate == "none":
        return float(coarse * _macs(WDSR(plan.scale, 4, 2, plan.channels), plan.patch) / GIGA)
    return Costs.of(plan).of_frames(coarse, float(splits.sum(1).mean()))


def _macs(model: nn.Module, patch: tuple[int, int]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.to("meta")(torch.zeros(1, 3, *patch, device="meta"))
    return int(counter.get_total_flops()) // 2
