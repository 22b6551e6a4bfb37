"""The main job: upscale frames of a clip with a network dydca compiled, beside PyTorch eager on the same patches.

python -m bench.demo.upscale_clip [--frames N] [--threads T] [--repeat R] [--json F] [--out comparison.png]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from bench.demo.result import Result, Timing, print_table
from bench.demo.scene import COARSE, QUADRANT, SCALE, WEIGHTS, Scene, pick, scenes
from dydca.content.compare import compose, draw_layout, write_png
from dydca.content.grid import Patch, cut, stitch
from dydca.content.pixels import Frame, to_frame, to_planes
from dydca.content.score import psnr
from dydca.models import DynamicWDSR

Upscaler = Callable[[list[Tensor]], list[Tensor]]
"""Patches, float32 ``[1, 3, h, w]``, to patches ``[1, 3, 2 h, 2 w]``, in the same order. May change its input."""


class Run(NamedTuple):
    """What the three upscalers did with one frame."""

    eager_patches: list[Tensor]
    dydca_patches: list[Tensor]
    seconds: tuple[list[float], ...]
    """One list for each upscaler, one entry for each round."""


def load_model() -> DynamicWDSR:
    """Return the network with the weights of `bench.demo.train`, in eval mode."""
    model = DynamicWDSR(SCALE)
    model.load_state_dict(load_file(WEIGHTS))
    return model.eval()


def run_eager(model: DynamicWDSR) -> Upscaler:
    """Return eager PyTorch, patch by patch, as a user's loop over the patches runs it."""
    return lambda patches: [model(patch) for patch in patches]


def run_batched(model: DynamicWDSR) -> Upscaler:
    """Return eager PyTorch on one batch for each patch size; the stacking is part of its time."""

    def upscale(patches: list[Tensor]) -> list[Tensor]:
        done: dict[int, Tensor] = {}
        for height in {patch.shape[2] for patch in patches}:
            members = [i for i, patch in enumerate(patches) if patch.shape[2] == height]
            outputs = model(torch.cat([patches[i] for i in members]))
            done.update(zip(members, outputs.split(1), strict=True))
        return [done[i] for i in range(len(patches))]

    return upscale


def run_frame(scene: Scene, upscalers: tuple[Upscaler, Upscaler, Upscaler], repeat: int) -> Run:
    """Run eager, batched eager and dydca in turn, so that a change of the machine's clock meets all alike.

    Args:
        scene: What to upscale.
        upscalers: The three, in this order.
        repeat: Timed rounds, after one that is not timed and whose pixels are kept.
    """
    patches = [torch.from_numpy(patch) for patch in cut(to_planes(scene.small), scene.layout)]
    with torch.inference_mode():
        outputs = [_time(upscale, patches)[1] for upscale in upscalers]
        rounds = [[_time(upscale, patches)[0] for upscale in upscalers] for _ in range(repeat)]
    return Run(outputs[0], outputs[2], tuple(list(column) for column in zip(*rounds, strict=True)))


def upscale_frames(
    frames: Sequence[Scene], model: DynamicWDSR, dydca: Upscaler, threads: int, repeat: int
) -> tuple[Result, list[Frame]]:
    """Upscale and measure.

    Args:
        frames: One or more.
        model: The reference.
        dydca: What is measured against it; made for the same number of threads.
        threads: Given to PyTorch.
        repeat: Timed rounds for each frame.

    Returns:
        The figures, and the frames `dydca` made, uint8 ``[720, 1280, 3]``.
    """
    torch.set_num_threads(threads)
    runs = [run_frame(scene, (run_eager(model), run_batched(model), dydca), repeat) for scene in frames]
    upscaled = [_stitched(run.dydca_patches, scene) for run, scene in zip(runs, frames, strict=True)]
    pairs = [pair for run in runs for pair in zip(run.dydca_patches, run.eager_patches, strict=True)]
    shapes = [(patch.height, patch.width) for scene in frames for patch in scene.layout.patches]
    eager, batched, ours = (Timing.of([s for run in runs for s in run.seconds[i]]) for i in range(3))
    result = Result(
        frames=len(frames),
        threads=threads,
        patches_shallow=shapes.count(COARSE),
        patches_deep=shapes.count(QUADRANT),
        eager=eager,
        eager_batched=batched,
        dydca=ours,
        max_abs_difference=max(float((got - want).abs().max()) for got, want in pairs),
        max_abs_eager=max(float(want.abs().max()) for _, want in pairs),
        psnr_y_bicubic=_mean_psnr([scene.bicubic for scene in frames], frames),
        psnr_y_dydca=_mean_psnr(upscaled, frames),
    )
    return result, upscaled


def picture(scene: Scene, upscaled: Frame) -> Frame:
    """Compare bicubic, dydca and the original where bicubic is furthest off, below the layout of the frame."""
    error = (scene.bicubic.astype(float) - scene.original) ** 2
    hard = [patch for patch in scene.layout.patches if (patch.height, patch.width) == QUADRANT]
    worst = sorted(hard or scene.layout.patches, key=lambda patch: -float(error[patch.window(SCALE)].mean()))[:3]
    crops = [Patch(patch.top * SCALE, patch.left * SCALE, QUADRANT[0] * SCALE, QUADRANT[1] * SCALE) for patch in worst]
    versions = {"bicubic": scene.bicubic, "dydca": upscaled, "original": scene.original}
    return compose(versions, crops, draw_layout(upscaled, scene.layout, SCALE), zoom=3)


def _stitched(patches: Sequence[Tensor], scene: Scene) -> Frame:
    return to_frame(stitch([patch.numpy() for patch in patches], scene.layout, SCALE))


def _time(upscale: Upscaler, patches: list[Tensor]) -> tuple[float, list[Tensor]]:
    # The network writes to its input; everyone gets a fresh copy, made outside the time.
    copies = [patch.clone() for patch in patches]
    start = time.perf_counter()
    output = upscale(copies)
    return time.perf_counter() - start, output


def _mean_psnr(candidates: Sequence[Frame], frames: Sequence[Scene]) -> float:
    pairs = zip(candidates, frames, strict=True)
    return statistics.fmean(psnr(candidate, scene.original, SCALE) for candidate, scene in pairs)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; a wrong one exits with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.demo.upscale_clip", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--frames", type=int, default=8, help="how many frames, spread over the clip (8)")
    parser.add_argument("--threads", type=int, default=1, help="for eager and for dydca (1)")
    parser.add_argument("--repeat", type=int, default=3, help="timed rounds for each frame (3)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--out", type=Path, help="write the comparison picture (PNG) here")
    options = parser.parse_args(arguments)
    if options.repeat < 1 or options.threads < 1:
        parser.error("--repeat and --threads must be 1 or more")
    try:
        options.numbers = pick(options.frames)
    except ValueError as error:
        parser.error(str(error))
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; 0 when the pixels are eager's, 1 when they are not."""
    options = parse(arguments)
    import dydca

    model = load_model()
    shapes = [(1, 3, *COARSE), (1, 3, *QUADRANT)]
    net = dydca.compile(model, patch_shapes=shapes, threads=options.threads)
    frames = list(scenes(options.numbers))

    def run(patches: list[Tensor]) -> list[Tensor]:
        return [patch for patch in net.run_many(patches) if isinstance(patch, Tensor)]

    result, upscaled = upscale_frames(frames, model, run, options.threads, options.repeat)
    print_table(result)
    if options.json:
        options.json.write_text(json.dumps({**asdict(result), "is_same": result.is_same}, indent=2) + "\n")
    if options.out:
        write_png(options.out, picture(frames[0], upscaled[0]))
        print(f"wrote {options.out}", file=sys.stderr)
    return 0 if result.is_same else 1


if __name__ == "__main__":
    sys.exit(main())
