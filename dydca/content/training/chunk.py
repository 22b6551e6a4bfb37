"""Makes the network of one chunk of a movie: score its patches, cut its frames, train. Runs in any process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dydca.content.files import json_text, refuse_reading, write_whole
from dydca.content.grid import lay_out, quadrant
from dydca.content.movie.networks import NetworkPlan
from dydca.content.movie.weights import fill, save_weights
from dydca.content.pixels import to_frame, to_planes
from dydca.content.score import patch_psnr
from dydca.content.training.bicubic_start import start_from_bicubic
from dydca.content.training.budget import Costs, frame_gmacs, hard_share, threshold_for, widest
from dydca.content.training.clip import Clip, Pair, pairs
from dydca.content.training.lessons import teach_by_size, teach_gate, teach_one
from dydca.content.training.loop import Lesson, Progress, train
from dydca.content.training.samples import FrameCache, Place
from dydca.content.training.settings import Settings
from dydca.models.dydca_wdsr import WDSR, DynamicWDSR, GatedWDSR

WEIGHTS, SCORES, SPLITS, RESULT, PROGRESS = (
    "weights.safetensors", "scores.npy", "splits.npy", "result.json", "progress.json",
)  # fmt: skip
BOOTSTRAP = "bootstrap.safetensors"


@dataclass(frozen=True)
class ChunkJob:
    """All that a process needs to know.

    Attributes:
        clip: Its files must be there for the process, on a cluster by a shared folder.
        settings: As given.
        plan: Of the network; what the budget decides is decided here.
        frames: Of the clip.
        folder: For the results.
        threads: Of torch.
    """

    clip: Clip
    settings: Settings
    plan: NetworkPlan
    frames: range
    folder: Path
    threads: int

    def pairs(self) -> Iterator[Pair]:
        """Decode the chunk."""
        return pairs(self.clip, self.plan.scale, self.frames)


class Decision(NamedTuple):
    """What is hard, and the network for it."""

    plan: NetworkPlan
    threshold: float
    """dB; infinity where every patch is hard or there are no routes."""
    hard: NDArray[np.bool_]
    """``[frames, coarse patches]``."""


def train_chunk(job: ChunkJob) -> None:
    """Score, cut and train, or go on where an earlier process stopped; a finished chunk is left alone.

    It leaves `WEIGHTS`, `SCORES` (float32 dB ``[frames, coarse patches]``), `SPLITS` (bool of that shape) and
    `RESULT` in the job's folder.

    Raises:
        ContentError: DYD801, a video cannot be decoded; DYD808, the budget cannot be kept; DYD810, the bootstrap's
            weights do not fit; DYD811, the training has diverged.
        FileError: DYD705, the folder cannot be written.
    """
    if (job.folder / RESULT).exists():
        return
    started = time.process_time()
    torch.set_num_threads(job.threads)
    job.folder.mkdir(parents=True, exist_ok=True)
    cached = job.folder / "frames.u8"
    cache = FrameCache(cached, job.pairs(), len(job.frames), _device())
    decision = decide(job.plan, job.settings, _scores(job, cache))
    model = _on_device(decision.plan.build, job.settings.seed)
    last = _train(job, "training", model, _lesson(model, job, decision, cache), job.settings.steps)
    if isinstance(model, GatedWDSR):
        _calibrate(model, job, int(decision.hard.sum()))
    _write(job.folder / WEIGHTS, save_weights(model))
    # With a gate, or with one route, the frames are not cut any further.
    splits = decision.hard if job.plan.gate == "shape" else np.zeros_like(decision.hard)
    write_whole(job.folder / SPLITS, lambda partial: _save(partial, splits))
    result = {
        "plan": asdict(decision.plan),
        "threshold_db": decision.threshold,
        "hard_share": float(decision.hard.mean()),
        "gmac_per_frame": frame_gmacs(decision.plan, decision.hard),
        "cached_frames": len(cache.numbers),
        "last": last._asdict(),
        "cpu_seconds": time.process_time() - started,
    }
    _write(job.folder / RESULT, json_text(result).encode())
    cached.unlink()


def decide(plan: NetworkPlan, settings: Settings, scores: NDArray[np.float32]) -> Decision:
    """Find the hard patches by threshold, or by budget; a network of one route gets the width that costs the same.

    Args:
        plan: The network.
        settings: Threshold and budget matter here.
        scores: dB, ``[frames, coarse patches]``.

    Raises:
        ContentError: DYD808, the budget is out of reach.
    """
    coarse, threshold = scores.shape[1], settings.psnr_threshold
    if plan.gate == "none" and settings.budget is not None:
        channels = widest(plan.scale, plan.patch, coarse, settings.budget)
        return Decision(replace(plan, channels=channels), float("inf"), np.zeros(scores.shape, bool))
    if settings.budget is not None:
        threshold = threshold_for(scores, hard_share(Costs.of(plan), coarse, settings.budget))
    hard = scores < threshold
    if plan.gate == "none":
        budget = Costs.of(plan).of_frames(coarse, float(hard.sum(1).mean()))
        plan = replace(plan, channels=widest(plan.scale, plan.patch, coarse, budget))
    return Decision(plan, threshold, hard)


def _scores(job: ChunkJob, cache: FrameCache) -> NDArray[np.float32]:
    """How well the bootstrap network restores each coarse patch."""
    done = job.folder / SCORES
    if not done.exists():
        coarse = lay_out(job.clip.size(job.plan.scale), job.plan.patch)
        model = _bootstrap(job, cache).eval()
        scores = []
        for pair in job.pairs():
            with torch.inference_mode():
                enlarged = model(torch.from_numpy(to_planes(pair.low)).to(cache.device)).cpu()
            scores.append(patch_psnr(to_frame(enlarged.numpy()), pair.high, coarse, job.plan.scale))
        write_whole(done, lambda partial: _save(partial, np.array(scores, np.float32)))
    loaded: NDArray[np.float32] = np.load(done)
    return loaded


def _bootstrap(job: ChunkJob, cache: FrameCache) -> nn.Module:
    """A network a tenth of the size, given or trained for a short time on patches of all kinds alike."""
    model: nn.Module = _on_device(lambda: WDSR(job.plan.scale, blocks=1, width=2, channels=16), job.settings.seed)
    if (given := job.settings.bootstrap) is not None:
        with refuse_reading(Path(given)):
            weights = Path(given).read_bytes()
        return fill(model, weights, given)
    lesson = teach_one(model, cache, _places(job, cache), quadrant(job.plan.patch), job.settings.batch)
    _train(job, "bootstrap", model, lesson, job.settings.bootstrap_steps)
    _write(job.folder / BOOTSTRAP, save_weights(model))
    return model


def _lesson(model: nn.Module, job: ChunkJob, decision: Decision, cache: FrameCache) -> Lesson:
    coarse, quarter = job.plan.patch, quadrant(job.plan.patch)
    everywhere, settings = _places(job, cache), job.settings
    if isinstance(model, DynamicWDSR):
        cut = _places(job, cache, decision.hard)
        easy, hard = ([place for place in cut if place.patch[2:] == size] for size in (coarse, quarter))
        return teach_by_size(model, cache, (easy, hard), (coarse, quarter), settings.batch, settings.steps)
    if isinstance(model, GatedWDSR):
        share = float(decision.hard.mean())
        return teach_gate(model, cache, everywhere, (coarse, quarter), settings.batch, share)
    # As many windows as both routes get together.
    return teach_one(model, cache, everywhere, quarter, 2 * settings.batch)


def _places(job: ChunkJob, cache: FrameCache, hard: NDArray[np.bool_] | None = None) -> list[Place]:
    """The patches of all cached frames, the hard ones cut into quadrants."""
    size, patch = job.clip.size(job.plan.scale), job.plan.patch
    layouts = (
        lay_out(size, patch, () if hard is None else np.flatnonzero(hard[number]).tolist()) for number in cache.numbers
    )
    return [Place(slot, piece) for slot, layout in enumerate(layouts) for piece in layout.patches]


def _train(job: ChunkJob, stage: str, model: nn.Module, lesson: Lesson, steps: int) -> Progress:
    told, last = 0.0, Progress(0, steps, 0.0, 0.0)

    def watch(progress: Progress) -> None:
        nonlocal told, last
        # The mean of the last few steps: single batches jump.
        weight = max(0.05, 1 / progress.step)
        loss, psnr = (old + weight * (new - old) for old, new in zip(last[2:], progress[2:], strict=True))
        last = Progress(progress.step, steps, loss, psnr)
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            _write(job.folder / PROGRESS, json.dumps({"stage": stage, **last._asdict()}).encode())

    settings = job.settings
    train(model, lesson, steps, settings.learning_rate, settings.seed, job.folder / f"{stage}.checkpoint", watch)
    return last


def _calibrate(model: GatedWDSR, job: ChunkJob, hard: int) -> None:
    """Shift the gate's border so that exactly the budgeted number of the chunk's patches is above it."""
    coarse = lay_out(job.clip.size(job.plan.scale), job.plan.patch)
    model.eval()
    scores = []
    with torch.no_grad():
        for pair in job.pairs():
            planes = torch.from_numpy(to_planes(pair.low)).to(_device())
            scores += [model.score(planes[(..., *patch.window())]).item() for patch in coarse.patches]
        ordered = sorted(scores, reverse=True)
        border = (ordered[min(hard, len(ordered) - 1)] + ordered[max(hard - 1, 0)]) / 2
        border += {0: 1.0, len(ordered): -1.0}.get(hard, 0.0)  # none, or all
        model.decide.bias.sub_(border)


def _on_device(build: Callable[[], nn.Module], seed: int) -> Any:
    torch.manual_seed(seed)
    model = build()
    start_from_bicubic(model)
    return model.to(_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _write(path: Path, content: bytes) -> None:
    write_whole(path, lambda partial: partial.write_bytes(content))


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:  # given a name, numpy would append .npy to it
        np.save(file, array)
