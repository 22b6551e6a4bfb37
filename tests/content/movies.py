"""Packages for the tests, with untrained weights and random splits, and without compiled networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from dydca.content.movie import package
from dydca.content.movie.networks import Gate, NetworkPlan
from dydca.content.movie.package import Chunk, Manifest, Movie, write_package
from dydca.content.movie.weights import compile_weights, save_weights
from dydca.content.training.clip import prepare
from dydca.content.training.settings import Settings
from tests.content.clips import write_clip


def write_movie(
    folder: Path,
    frames: int = 7,
    size: tuple[int, int] = (66, 98),
    scale: int = 2,
    chunks: tuple[int, ...] | None = None,
    gate: Gate = "shape",
    patch: tuple[int, int] = (20, 24),
    sound: str | None = "aac",
    compiled: bool = False,
) -> Movie:
    """A package of a clip that is left beside it as ``clip.mp4``; with networks for this machine if `compiled`."""
    source = folder / "clip.mp4"
    if not source.exists():
        write_clip(source, frames, size, sound=sound)
    work = folder / "work"
    work.mkdir()
    clip = prepare(source, work, Settings(scale=scale), lambda count: None)
    plan = NetworkPlan(gate, scale, patch)
    counts = chunks or (len(clip.times),)
    manifest = Manifest(
        clip.height,
        clip.width,
        clip.time_base,
        tuple(Chunk(sum(counts[:i]), count, plan) for i, count in enumerate(counts)),
    )
    splits = np.random.default_rng(0).random((manifest.frames, manifest.coarse)) < 0.4
    members: dict[str, Path | bytes] = {
        package.VIDEO: Path(clip.low),
        package.TIMES: package.array_bytes(clip.times),
        package.SPLITS: package.array_bytes(np.packbits(splits & (gate == "shape"), axis=1)),
        package.REPORT: json.dumps({"chunks": [{"gmac_per_frame": 1.0}] * len(counts)}).encode(),
    }
    for number in range(len(counts)):
        torch.manual_seed(number)
        weights = save_weights(plan.build())
        members[package.weights_member(number)] = weights
        if compiled:
            with compile_weights(plan, weights, "host", threads=1) as network:
                network.save(work / f"{number}.dydca")
            members[package.network_member(number, "host")] = work / f"{number}.dydca"
    path = folder / "movie.dydcav"
    write_package(path, manifest, members)
    return Movie(path)
