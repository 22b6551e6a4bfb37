"""Lessons: which patches a route is taught with, and when."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dydca.content.grid import lay_out
from dydca.content.training.clip import Pair
from dydca.content.training.lessons import teach_by_size
from dydca.content.training.samples import FrameCache, Place
from dydca.models.dydca_wdsr import DynamicWDSR

COARSE, QUARTER = (12, 16), (6, 8)


def test_the_shallow_route_sees_everything_and_then_its_own_patches_whole(tmp_path: Path) -> None:
    low = np.full((24, 32, 3), 200, np.uint8)
    low[:, 16:] = 50  # hard patches are dark
    cache = FrameCache(tmp_path / "frames", [Pair(low, low.repeat(2, 0).repeat(2, 1))], 1)
    places = [Place(0, patch) for patch in lay_out((24, 32), COARSE, {1, 3}).patches]
    easy, hard = ([place for place in places if place.patch[2:] == size] for size in (COARSE, QUARTER))
    model = DynamicWDSR(patch_limit=12)
    deep, shallow = watched(model.deep), watched(model.shallow)
    lesson = teach_by_size(model, cache, (easy, hard), (COARSE, QUARTER), count=8, steps=20)
    for step in range(20):
        lesson(step, random.Random(step)).loss.backward()  # type: ignore[no-untyped-call]
    assert [seen.shape for seen in deep] == [(8, 3, *QUARTER)] * 20
    assert [seen.shape for seen in shallow] == [(8, 3, *QUARTER)] * 15 + [(2, 3, *COARSE)] * 5
    assert levels(deep) == {50}
    assert levels(shallow[:15]) == {50, 200}
    assert levels(shallow[15:]) == {200}
    assert all(parameter.grad is not None for parameter in model.parameters())


def watched(route: nn.Module) -> list[Tensor]:
    """What the route will be given."""
    seen: list[Tensor] = []
    route.register_forward_pre_hook(lambda module, given: seen.append(given[0].clone()))
    return seen


def levels(batches: list[Tensor]) -> set[int]:
    return {int(level) for batch in batches for level in torch.unique((batch * 255).round())}
