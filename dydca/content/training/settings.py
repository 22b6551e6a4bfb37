"""What `dydca overfit` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from dydca.content.movie.networks import Gate


@dataclass(frozen=True)
class Settings:
    """How a movie is made small, cut and trained; everything that determines the result.

    Attributes:
        scale: 2, 3 or 4.
        gate: See `NetworkPlan`.
        patch: Height and width of a coarse patch in low resolution; chosen to fit the frame by default.
        psnr_threshold: dB on luma; coarse patches that the bootstrap network restores to less are hard.
        budget: Mean 10^9 multiply-adds for a frame; the threshold then follows from it.
        steps: Of training, for each chunk.
        batch: Patches of a batch.
        learning_rate: Of Adam in the beginning; a cosine takes it to 4e-8.
        seed: Of weights and batches.
        bootstrap: safetensors of the scoring network; trained on the clip by default.
        bootstrap_steps: How long, then.
        chunk: Seconds for which one network is trained.
        crf: x264's constant rate factor of the low-resolution video.
        sound: Keep it.
    """

    scale: int = 2
    gate: Gate = "shape"
    patch: tuple[int, int] | None = None
    psnr_threshold: float = 40.0
    budget: float | None = None
    steps: int = 1000
    batch: int = 16
    learning_rate: float = 1e-3
    seed: int = 226
    bootstrap: str | None = None
    bootstrap_steps: int = 100
    chunk: float = 60.0
    crf: int = 12
    sound: bool = True
