"""The demo's pieces that need no compiler: frames, training, measuring."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from bench.demo.scene import CLIP_FRAMES, COARSE, QUADRANT, THRESHOLD, WEIGHTS, Scene, pick, prepare
from bench.demo.train import evaluate, overfit
from bench.demo.upscale_clip import load_model, parse, picture, run_batched, run_eager, upscale_frames
from dydca.content.score import patch_psnr
from dydca.models import DynamicWDSR


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Smooth on the left, hard to upscale on the right; 1 row and 1 column too many."""
    y, x = np.mgrid[0:433, 0:577]
    wave = 127 + 100 * np.sin(x / 40) * np.cos(y / 30) * (x < 290) + 60 * np.sin(x * 2.2) * np.sin(y * 1.9) * (x >= 290)
    return prepare(np.repeat(wave[..., None], 3, axis=2).astype(np.uint8))


def test_a_scene_is_split_where_bicubic_fails(scene: Scene) -> None:
    assert scene.original.shape == (434, 578, 3)
    assert scene.small.shape == (217, 289, 3)
    assert {(patch.height, patch.width) for patch in scene.layout.patches} == {COARSE, QUADRANT}
    scores = patch_psnr(scene.bicubic, scene.original, scene.coarse, 2)
    assert [score < THRESHOLD for score in scores] == [i in scene.hard for i in range(len(scores))]


def test_the_frames_are_spread_over_the_clip() -> None:
    assert pick(1) == [66]
    assert pick(CLIP_FRAMES) == list(range(CLIP_FRAMES))
    assert all(b - a in (16, 17) for a, b in pairwise(pick(8)))
    with pytest.raises(ValueError, match="132 frames"):
        pick(133)


def test_a_few_steps_bring_the_frame_nearer(scene: Scene) -> None:
    torch.manual_seed(0)
    model = DynamicWDSR(2)
    told: list[int] = []
    _, before = evaluate(model, [scene])
    overfit(model, [scene], 12, 2, 0, lambda done, total, note: told.append(done))
    _, after = evaluate(model, [scene])
    assert told == list(range(1, 13))
    assert after > before + 2.0


def test_the_weights_are_the_demos() -> None:
    assert WEIGHTS.stat().st_size < 1_200_000
    with safe_open(WEIGHTS, "pt") as file:
        facts = file.metadata()
    assert float(facts["psnr_y"]) > float(facts["psnr_y_bicubic"]) + 1.0
    assert sum(parameter.numel() for parameter in load_model().parameters()) == 233_000


def test_the_job_measures_and_compares(scene: Scene) -> None:
    model = load_model()
    result, upscaled = upscale_frames([scene], model, run_batched(model), threads=1, repeat=1)
    assert result.patches_shallow + result.patches_deep == len(scene.layout.patches)
    assert result.is_same
    assert result.psnr_y_dydca == pytest.approx(evaluate(model, [scene])[1], abs=0.01)
    assert math.isfinite(result.eager.median_ms)
    assert upscaled[0].shape == scene.original.shape
    assert picture(scene, upscaled[0]).ndim == 3


def test_the_job_sees_a_difference(scene: Scene) -> None:
    model = load_model()

    def wrong(patches: list[Tensor]) -> list[Tensor]:
        return [patch + 1e-3 for patch in run_eager(model)(patches)]

    result, _ = upscale_frames([scene], model, wrong, threads=1, repeat=1)
    assert not result.is_same
    assert ("largest difference to eager", "1.0e-03 (DIFFERENT PIXELS)") in result.rows()


@pytest.mark.parametrize("arguments", [["--frames", "0"], ["--frames", "999"], ["--threads", "0"], ["--what"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
