"""What the networks of a movie are taught, one step at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.content.training.loop import Error, Lesson
from dydca.content.training.samples import Batch, FrameCache, Place, draw
from dydca.models.dydca_wdsr import DynamicWDSR, GatedWDSR

WHOLE_FROM = 0.75
"""Part of the steps after which easy patches are seen whole; windows, which cost a quarter, before."""


def teach_one(
    model: nn.Module, cache: FrameCache, places: Sequence[Place], size: tuple[int, int], count: int
) -> Lesson:
    """One route: `count` windows of `size` out of any place."""

    def lesson(step: int, generator: random.Random) -> Error:
        return _error(model, draw(cache, places, size, count, generator))

    return lesson


def teach_by_size(
    model: DynamicWDSR,
    cache: FrameCache,
    places: tuple[Sequence[Place], Sequence[Place]],
    sizes: tuple[tuple[int, int], tuple[int, int]],
    count: int,
    steps: int,
) -> Lesson:
    """Two routes side by side, in true batches; the deep one sees the patches it will get.

    So does the shallow one in the end. Before, it sees windows of all: easy patches alone hold few edges to learn from,
    which costs 0.2 dB.

    Args:
        model: Its routes are trained, not its shape test, so that windows may have any size.
        cache: The frames.
        places: The whole coarse patches, then the quadrants.
        sizes: Of either, in the same order.
        count: Windows of quadrant size in a batch; whole coarse patches are a quarter as many.
        steps: In all.
    """
    (easy, hard), (coarse, quarter) = places, sizes
    everything = [*easy, *hard]

    def lesson(step: int, generator: random.Random) -> Error:
        errors = []
        if hard:
            errors.append(_error(model.deep, draw(cache, hard, quarter, count, generator)))
        if easy:
            if step < WHOLE_FROM * steps:
                batch = draw(cache, everything, quarter, count, generator)
            else:
                batch = draw(cache, easy, coarse, max(1, count // 4), generator)
            errors.append(_error(model.shallow, batch))
        mean = torch.stack([error.loss for error in errors]).mean()
        return Error(mean, sum(error.squared for error in errors) / len(errors))

    return lesson


def teach_gate(
    model: GatedWDSR,
    cache: FrameCache,
    places: Sequence[Place],
    sizes: tuple[tuple[int, int], tuple[int, int]],
    count: int,
    share: float,
) -> Lesson:
    """Two routes and the gate between them, which learns to find those patches that gain most by the deep route.

    Both routes see every patch, each with the weight that the gate gives it, so that they come to differ. Of a batch,
    the patches that gain most, as many as the budget allows, are the gate's positive examples.

    Args:
        model: Trained whole.
        cache: The frames.
        places: Coarse patches.
        sizes: Of these, and of the windows of them that the routes see.
        count: Patches in a batch.
        share: Of the patches that may take the deep route, 0..1.
    """
    coarse, window = sizes

    def lesson(step: int, generator: random.Random) -> Error:
        chosen = [generator.choice(places) for _ in range(count)]
        seen = [draw(cache, [place], window, 1, generator) for place in chosen]
        batch = Batch(*(torch.cat(tensors) for tensors in zip(*seen, strict=True)))
        whole = torch.cat([draw(cache, [place], coarse, 1, generator).low for place in chosen])
        deep, shallow = (route(batch.low.clone()) - batch.high for route in (model.deep, model.shallow))
        gains = _per_patch(shallow) - _per_patch(deep)
        scores = model.score(whole)[:, 0]
        wanted = torch.zeros_like(scores).index_fill(0, gains.detach().topk(round(share * count)).indices, 1.0)
        # Neither route is ever left out, or its error would say nothing of what it could do.
        weight = scores.detach().sigmoid().clamp(0.1, 0.9)
        error = (weight * _per_patch(deep) + (1 - weight) * _per_patch(shallow)).mean()
        squared = (weight[:, None, None, None] * deep + (1 - weight)[:, None, None, None] * shallow).detach()
        gate = functional.binary_cross_entropy_with_logits(scores, wanted)
        return Error(error + 0.1 * gate, float(squared.square().mean()))

    return lesson


def _per_patch(difference: Tensor) -> Tensor:
    return difference.abs().mean((1, 2, 3))


def _error(route: nn.Module, batch: Batch) -> Error:
    result = route(batch.low)
    return Error(functional.l1_loss(result, batch.high), float((result.detach() - batch.high).square().mean()))
