"""Trains the chunks of a movie here, in several processes, or on a cluster of Ray: one interface, one piece of work."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait

from dydca.content.training.chunk import PROGRESS, RESULT, ChunkJob, train_chunk
from dydca.content.training.loop import Progress
from dydca.errors import ContentError, UsageError

POLL_SECONDS = 0.5

Submit = Callable[[ChunkJob], Callable[[], object]]
"""Begins a job, or does it; returns what waits for its end and raises what it raised."""

Watch = Callable[[int, Progress], object]
"""Told how many chunks are done, and the progress of all together: steps are summed, loss and PSNR averaged."""


@contextmanager
def open_pool(processes: int, ray: str | None) -> Iterator[Submit]:
    """Who trains; workers of this machine end with this process.

    Args:
        processes: 1 trains in this process.
        ray: The address of a cluster whose machines share the folder of the work, ``local`` for one made here; None
            for processes of this machine.

    Raises:
        UsageError: DYD902, Ray is not installed.
        ContentError: DYD812, a process has been killed.
    """
    if ray is not None:
        with _cluster(ray) as submit:
            yield submit
    elif processes == 1:
        yield _at_once
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, _end_with_parent) as executor:
            try:
                yield lambda job: executor.submit(train_chunk, job).result
            except BrokenProcessPool as error:
                raise ContentError("DYD812", "a process that trained a chunk has died", got=error) from error


def train_chunks(jobs: Sequence[ChunkJob], submit: Submit, watch: Watch) -> None:
    """Train all, or go on with what is left of them.

    Raises:
        DydcaError: The first one's of `train_chunk`, after those under way have ended.
    """
    with _polling(jobs, watch):
        for result in [submit(job) for job in jobs]:
            result()


def _at_once(job: ChunkJob) -> Callable[[], object]:
    train_chunk(job)
    return lambda: None


@contextmanager
def _cluster(address: str) -> Iterator[Submit]:
    try:
        import ray
    except ImportError as error:
        raise UsageError("DYD902", "training on a cluster needs Ray", fix="pip install 'dydca[ray]'") from error
    ray.init(address=address, log_to_driver=False)
    try:
        remote = ray.remote(train_chunk)
        yield lambda job: remote.options(num_cpus=job.threads).remote(job).future().result
    finally:
        ray.shutdown()


@contextmanager
def _polling(jobs: Sequence[ChunkJob], watch: Watch) -> Iterator[None]:
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(POLL_SECONDS):
            tell()

    def tell() -> None:
        watch(sum((job.folder / RESULT).exists() for job in jobs), _progress(jobs))

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    tell()


def _progress(jobs: Sequence[ChunkJob]) -> Progress:
    seen = [_read(job) for job in jobs]
    begun = [progress for progress in seen if progress.step] or seen
    loss, psnr = (sum(column) / len(begun) for column in list(zip(*begun, strict=True))[2:])
    return Progress(sum(progress.step for progress in seen), sum(progress.steps for progress in seen), loss, psnr)


def _read(job: ChunkJob) -> Progress:
    """Of both stages of a chunk as one."""
    first = 0 if job.settings.bootstrap else job.settings.bootstrap_steps
    steps = first + job.settings.steps
    try:
        told = json.loads((job.folder / PROGRESS).read_text())
    except FileNotFoundError:
        return Progress(0, steps, 0.0, 0.0)
    done = steps if (job.folder / RESULT).exists() else told["step"] + (first if told["stage"] == "training" else 0)
    return Progress(done, steps, told["loss"], told["psnr"])


def _end_with_parent() -> None:
    """A killed parent must not leave a worker behind that writes into the folder of whoever goes on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the parent tells the user
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
