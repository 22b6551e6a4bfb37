"""The training loop: Adam, a cosine, a checkpoint that survives a kill, and the same batches in every run."""

from __future__ import annotations

import math
import pickle
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dydca.content.files import write_whole
from dydca.errors import ContentError

FINAL_RATE = 4e-8
CHECKPOINT_SECONDS = 30.0


class Progress(NamedTuple):
    """After a step of training."""

    step: int
    steps: int
    loss: float
    """Mean absolute error on 0..1, as the lesson weighs it."""
    psnr: float
    """dB over the three colours of the last batches."""


class Error(NamedTuple):
    """What a lesson found."""

    loss: Tensor
    """To be lowered; a scalar with a gradient."""
    squared: float
    """Mean squared error on 0..1."""


Lesson = Callable[[int, random.Random], Error]
"""One step: its number, and a generator that depends on nothing else but the seed."""


def train(
    model: nn.Module,
    lesson: Lesson,
    steps: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
    watch: Callable[[Progress], object],
) -> None:
    """Train a network, or go on where a checkpoint says; the result does not depend on interruptions.

    Args:
        model: Changed in place.
        lesson: See `Lesson`.
        steps: In all.
        learning_rate: Of Adam in the beginning; a cosine takes it to `FINAL_RATE`.
        seed: Of the generators handed to the lesson.
        checkpoint: Written every `CHECKPOINT_SECONDS`, read if it is there.
        watch: Told after every step.

    Raises:
        ContentError: DYD811, the loss is not finite any more.
        FileError: DYD705, the checkpoint cannot be written.
    """
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    saved = time.monotonic()
    for step in range(_restore(checkpoint, model, optimizer), steps):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, steps, learning_rate)
        optimizer.zero_grad()
        error = lesson(step, random.Random(f"{seed} {step}"))
        error.loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss = error.loss.item()
        if not math.isfinite(loss):
            raise ContentError("DYD811", "the training has diverged", got=f"loss {loss} in step {step}")
        watch(Progress(step + 1, steps, loss, -10 * math.log10(max(error.squared, 1e-12))))
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            state = {"step": step + 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
            write_whole(checkpoint, lambda partial, state=state: torch.save(state, partial))  # type: ignore[misc]
            saved = time.monotonic()


def _rate(step: int, steps: int, first: float) -> float:
    return FINAL_RATE + (first - FINAL_RATE) * (1 + math.cos(math.pi * step / steps)) / 2


def _restore(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """The steps that are done already."""
    try:
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
    except FileNotFoundError:
        return 0
    except (RuntimeError, ValueError, KeyError, pickle.UnpicklingError, EOFError):
        checkpoint.unlink()  # torn by a full disk or a crash of the machine: train anew
        return 0
