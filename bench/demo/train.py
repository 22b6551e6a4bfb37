"""Overfit the dynamic network to the demo's frames, each route to the patches it will get.

Run it as ``python -m bench.demo.train [--steps N] [--out F]``. `dydca overfit` does this for any video, its frames
compressed as they will be delivered; the demo's are not, so that it measures the network alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from bench.demo.scene import CLIP_FRAMES, COARSE, QUADRANT, SCALE, WEIGHTS, Scene, pick, scenes
from dydca.content.grid import cut, stitch
from dydca.content.pixels import Frame, to_frame, to_planes
from dydca.content.score import psnr
from dydca.content.terminal import Bar, progress_bar
from dydca.content.training.bicubic_start import start_from_bicubic
from dydca.content.training.clip import Pair
from dydca.content.training.lessons import teach_by_size
from dydca.content.training.loop import Progress, train
from dydca.content.training.samples import FrameCache, Place
from dydca.models import DynamicWDSR


def overfit(model: DynamicWDSR, frames: Sequence[Scene], steps: int, batch: int, seed: int, show: Bar) -> float:
    """Train both routes side by side.

    Args:
        model: Changed in place.
        frames: Both classes must have patches.
        steps: Each is one batch of either route.
        batch: Patches in a batch.
        seed: Of the choice of patches and windows.
        show: Told after each step.

    Returns:
        The mean of the two routes' absolute errors on the scale 0..1 in the last step.
    """
    loss = 0.0

    def watch(progress: Progress) -> None:
        nonlocal loss
        loss = progress.loss
        show(progress.step, steps, f"loss {loss:.5f}")

    with tempfile.TemporaryDirectory() as folder:
        pairs = (Pair(scene.small, scene.original) for scene in frames)
        cache = FrameCache(Path(folder) / "frames.u8", pairs, len(frames))
        layouts = [frames[number].layout for number in cache.numbers]
        places = [Place(slot, patch) for slot, layout in enumerate(layouts) for patch in layout.patches]
        easy, hard = ([place for place in places if place.patch[2:] == size] for size in (COARSE, QUADRANT))
        lesson = teach_by_size(model, cache, (easy, hard), (COARSE, QUADRANT), batch, steps)
        train(model, lesson, steps, 1e-3, seed, Path(folder) / "checkpoint", watch)
    return loss


def upscale(model: nn.Module, scene: Scene) -> Frame:
    """Upscale a scene patch by patch, uint8 ``[720, 1280, 3]``."""
    with torch.inference_mode():
        patches = [model(torch.from_numpy(patch)).numpy() for patch in cut(to_planes(scene.small), scene.layout)]
    return to_frame(stitch(patches, scene.layout, SCALE))


def evaluate(model: nn.Module, frames: Sequence[Scene]) -> tuple[float, float]:
    """Return the mean PSNR-Y in dB of bicubic and of the network, on stitched frames, borders of `SCALE` left out."""
    model.eval()
    bicubic = [psnr(scene.bicubic, scene.original, SCALE) for scene in frames]
    network = [psnr(upscale(model, scene), scene.original, SCALE) for scene in frames]
    return sum(bicubic) / len(frames), sum(network) / len(frames)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, compare with bicubic, save; the result to stdout, the progress to stderr."""
    parser = argparse.ArgumentParser(prog="python -m bench.demo.train", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=226)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    model = DynamicWDSR(SCALE)
    start_from_bicubic(model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with progress_bar("training") as show:
        overfit(model, list(scenes(range(CLIP_FRAMES))), options.steps, 16, options.seed, show)
    bicubic, network = evaluate(model, list(scenes(pick(8))))
    facts = {
        "seed": options.seed,
        "steps": options.steps,
        "psnr_y": f"{network:.2f}",
        "psnr_y_bicubic": f"{bicubic:.2f}",
    }
    tensors = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    partial = options.out.with_suffix(".partial")
    save_file(tensors, partial, {name: str(value) for name, value in facts.items()})
    partial.chmod(0o644)  # safetensors leaves it readable by its owner only
    partial.replace(options.out)
    print(f"PSNR-Y of 8 stitched frames: bicubic {bicubic:.2f} dB, trained {network:.2f} dB -> {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
