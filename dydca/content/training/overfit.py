"""From a video to a package: prepare, train the chunks, compile, write; each step is found done after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dydca.content.files import WorkFolder, json_text, refuse_reading
from dydca.content.grid import choose_patch
from dydca.content.movie import package
from dydca.content.movie.networks import NetworkPlan
from dydca.content.movie.package import Chunk, Manifest, write_package
from dydca.content.movie.weights import compile_weights
from dydca.content.training.chunk import RESULT, SCORES, SPLITS, WEIGHTS, ChunkJob
from dydca.content.training.clip import Clip, prepare
from dydca.content.training.loop import Progress
from dydca.content.training.pools import open_pool, train_chunks
from dydca.content.training.settings import Settings
from dydca.errors import ContentError
from dydca.lower.targets import find_target


class Watcher(Protocol):
    """Who shows how far the work is."""

    def prepared(self, frames: int) -> None:
        """So many frames have been made small."""

    def trained(self, chunks: int, progress: Progress) -> None:
        """See `dydca.content.training.pools.Watch`."""

    def compiling(self, chunk: int, target: str) -> None:
        """The network of a chunk is being compiled."""


@dataclass(frozen=True)
class Workers:
    """Who does the work; none of it changes the result by more than the rounding of sums.

    Attributes:
        processes: Chunks trained at a time.
        ray: See `open_pool`.
        threads: Of torch for each; by default the processors, shared among the processes.
    """

    processes: int = 1
    ray: str | None = None
    threads: int | None = None


def overfit(
    source: Path,
    output: Path,
    settings: Settings,
    watcher: Watcher,
    workers: Workers = Workers(),
    targets: Sequence[str] = ("host",),
    restart: bool = False,
) -> dict[str, Any]:
    """Make a package of a video, or go on where an interrupted run stopped.

    Args:
        source: Anything FFmpeg reads.
        output: The ``.dydcav`` file; replaced when the new one is whole.
        settings: What to make.
        watcher: Told of the progress.
        workers: Who makes it.
        targets: Names of `dydca.lower.targets` to compile for; without any, playing compiles the weights.
        restart: Discard interrupted work that had other settings.

    Returns:
        The report, which is also in the package.

    Raises:
        ContentError: DYD801..DYD812, see `prepare`, `open_pool` and `dydca.content.training.chunk.train_chunk`;
            DYD802, the frames are too small; DYD806, other work is in the way.
        FileError: DYD701, the source cannot be read; DYD705, the output cannot be written.
        DydcaError: The compiler's.
    """
    for target in targets:
        find_target(target)  # before hours of training
    with refuse_reading(source):
        state = source.stat()
    job = {**asdict(settings), "source": str(source.resolve()), "bytes": state.st_size, "changed": state.st_mtime_ns}
    with WorkFolder(output, job, restart) as work:
        clip = prepare(source, work.path, settings, watcher.prepared)
        jobs = list(_jobs(clip, settings, work.path, workers))
        with open_pool(min(workers.processes, len(jobs)), workers.ray) as submit:
            train_chunks(jobs, submit, watcher.trained)
        report = _write(output, clip, settings, jobs, targets, watcher)
        work.remove()
    return report


def _jobs(clip: Clip, settings: Settings, folder: Path, workers: Workers) -> Iterator[ChunkJob]:
    size = clip.size(settings.scale)
    plan = NetworkPlan(settings.gate, settings.scale, settings.patch or choose_patch(size))
    if size[0] < 2 or size[1] < 2:
        got = f"{size[1]}x{size[0]} in low resolution"
        raise ContentError("DYD802", "the frames are too small", where=clip.source, got=got, want="2x2 or more")
    threads = workers.threads or max(1, len(os.sched_getaffinity(0)) // workers.processes)
    for number, frames in enumerate(_chunks(clip, settings.chunk)):
        yield ChunkJob(clip, settings, plan, frames, folder / f"chunk-{number:04d}", threads)


def _chunks(clip: Clip, seconds: float) -> Iterator[range]:
    """Stretches of equal duration, as near to the wish as can be."""
    times = (clip.times - clip.times[0]) * float(clip.time_base)
    count = max(1, round(float(times[-1]) / seconds))
    borders = np.searchsorted(times, np.arange(count) * (times[-1] / count)).tolist()
    for first, end in zip(borders, [*borders[1:], len(times)], strict=True):
        if first < end:
            yield range(first, end)


def _write(
    output: Path, clip: Clip, settings: Settings, jobs: Sequence[ChunkJob], targets: Sequence[str], watcher: Watcher
) -> dict[str, Any]:
    results = [json.loads((job.folder / RESULT).read_text()) for job in jobs]
    plans = [NetworkPlan(**{**result["plan"], "patch": tuple(result["plan"]["patch"])}) for result in results]
    members: dict[str, Path | bytes] = {
        package.VIDEO: Path(clip.low),
        package.TIMES: package.array_bytes(clip.times),
        package.SPLITS: package.array_bytes(np.packbits(_joined(jobs, SPLITS), axis=1)),
    }
    for number, (job, plan) in enumerate(zip(jobs, plans, strict=True)):
        members[package.weights_member(number)] = job.folder / WEIGHTS
        for target in targets:
            compiled = job.folder / f"{target}.dydca"
            if not compiled.exists():
                watcher.compiling(number, target)
                with compile_weights(plan, (job.folder / WEIGHTS).read_bytes(), target, threads=1) as network:
                    network.save(compiled)
            members[package.network_member(number, target)] = compiled
    scores = _joined(jobs, SCORES)
    report = {
        "settings": asdict(settings),
        "frames": len(clip.times),
        "scores_db": {"least": float(scores.min()), "median": float(np.median(scores))},
        "chunks": results,
        "bytes": {name: len(m) if isinstance(m, bytes) else m.stat().st_size for name, m in members.items()},
    }
    members[package.REPORT] = json_text(report).encode()
    chunks = (Chunk(job.frames.start, len(job.frames), plan) for job, plan in zip(jobs, plans, strict=True))
    write_package(output, Manifest(clip.height, clip.width, clip.time_base, tuple(chunks)), members)
    return report


def _joined(jobs: Sequence[ChunkJob], name: str) -> Any:
    return np.concatenate([np.load(job.folder / name) for job in jobs])
