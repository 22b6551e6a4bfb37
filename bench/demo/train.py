"""Overfit the dynamic network to the demo's clip, each route to the patches it will get.

Run it as ``python -m bench.demo.train [--steps N] [--out F]``.

Both routes are trained side by side, in true batches of one size. Hard patches go to the deep route as the quadrants
they are cut into. The shallow route sees windows of quadrant size of the easy patches, which cost a quarter, and
whole easy patches in the last quarter of the steps. As in Dy-DCA the training set is the clip that will be upscaled.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from bench.demo.scene import CLIP_FRAMES, COARSE, QUADRANT, SCALE, WEIGHTS, Scene, pick, scenes
from dydca.content.grid import Patch, cut, stitch
from dydca.content.pixels import Frame, to_frame, to_planes
from dydca.content.score import psnr
from dydca.models import DynamicWDSR

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """A patch of one of the scenes."""

    scene: Scene
    patch: Patch


class Samples:
    """The patches of all scenes by class, and random batches of them.

    Args:
        frames: What to train on.
        seed: Of the choice of patches and windows.
    """

    def __init__(self, frames: Sequence[Scene], seed: int) -> None:
        self.random = random.Random(seed)
        places = [Place(scene, patch) for scene in frames for patch in scene.layout.patches]
        self.hard = [place for place in places if (place.patch.height, place.patch.width) == QUADRANT]
        self.easy = [place for place in places if (place.patch.height, place.patch.width) == COARSE]

    def batch(self, places: Sequence[Place], size: tuple[int, int], count: int) -> tuple[Tensor, Tensor]:
        """Draw windows of `size` out of random places.

        Returns:
            The low-resolution batch, float32 ``[count, 3, h, w]``, and its original ``[count, 3, 2 h, 2 w]``.
        """
        pairs = [self._window(self.random.choice(places), size) for _ in range(count)]
        small, large = zip(*pairs, strict=True)
        return torch.cat(small), torch.cat(large)

    def _window(self, place: Place, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        top = place.patch.top + self.random.randint(0, place.patch.height - size[0])
        left = place.patch.left + self.random.randint(0, place.patch.width - size[1])
        window = Patch(top, left, *size)
        pair = place.scene.small[window.window()], place.scene.original[window.window(SCALE)]
        small, large = (torch.from_numpy(to_planes(pixels)) for pixels in pair)
        return small, large


def train(model: DynamicWDSR, samples: Samples, steps: int, batch: int = 16) -> list[float]:
    """Train both routes with L1, Adam and a cosine from 1e-3 to 4e-8.

    Args:
        model: Changed in place.
        samples: Both classes must have patches.
        steps: Each is one batch of either route.
        batch: Patches in a batch; a quarter of it when the shallow route sees whole patches.

    Returns:
        The loss of every step, the mean of the two routes' absolute errors on the scale 0..1.
    """
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = CosineAnnealingLR(optimizer, steps, eta_min=4e-8)
    losses = []
    start = time.monotonic()
    for step in range(steps):
        whole = step >= steps * 3 // 4
        hard = samples.batch(samples.hard, QUADRANT, batch)
        easy = samples.batch(samples.easy, COARSE if whole else QUADRANT, max(1, batch // 4) if whole else batch)
        optimizer.zero_grad()
        loss = (_error(model.deep, *hard) + _error(model.shallow, *easy)) / 2
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            log.info("step %d/%d  L1 %.5f  %.0f s", step + 1, steps, sum(losses[-100:]) / 100, time.monotonic() - start)
    return losses


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


def _error(route: nn.Module, small: Tensor, large: Tensor) -> Tensor:
    # The routes write to their input, so they get a copy; in this layout convolutions train faster on a CPU.
    copy = small.clone(memory_format=torch.channels_last)
    return functional.l1_loss(route(copy), large)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, compare with bicubic, save; the result to stdout, the log to stderr."""
    parser = argparse.ArgumentParser(prog="python -m bench.demo.train", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=226)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    model = DynamicWDSR(SCALE).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    samples = Samples(list(scenes(range(CLIP_FRAMES))), options.seed)
    log.info("%d hard and %d easy patches", len(samples.hard), len(samples.easy))
    train(model, samples, options.steps)
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
