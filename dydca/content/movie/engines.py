"""What runs the networks of a package: its own compiled ones, or its weights compiled where none fits this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import cast

from dydca.content.movie.package import Movie
from dydca.content.pixels import Planes
from dydca.errors import FileError, UsageError
from dydca.runtime import Network, load

Run = Callable[[list[Planes]], Sequence[Planes]]
"""Patches to enlarged patches in the same order; what happens to its arguments is its own business."""

Engine = Callable[[int], AbstractContextManager[Run]]
"""For the number of a chunk, what runs its network."""


def compiled(movie: Movie, threads: int | None = None, tell: Callable[[str], object] = lambda text: None) -> Engine:
    """The package's own networks, or its weights compiled now where none is for this machine.

    Args:
        movie: The package.
        threads: 1..64; by default one per processor. The pixels do not depend on it.
        tell: Told when something must be compiled, which takes seconds and needs torch.

    Raises:
        FileError: DYD702, a network or its weights are damaged.
        RunError: DYD605, memory or threads are not to be had.
        UsageError: DYD902, the weights must be compiled and torch is not installed.
    """

    @contextmanager
    def engine(chunk: int) -> Iterator[Run]:
        with _network(movie, chunk, threads, tell) as network:
            yield cast(Run, network.run_many)

    return engine


def _network(movie: Movie, chunk: int, threads: int | None, tell: Callable[[str], object]) -> Network:
    for member in movie.networks(chunk):
        with tempfile.NamedTemporaryFile(suffix=".dydca") as file:
            file.write(movie.read(member))
            file.flush()
            try:
                return load(file.name, threads)
            except FileError as error:
                if error.code != "DYD704":  # of another machine
                    raise
    if find_spec("torch") is None:
        raise UsageError("DYD902", "no network is for this machine, and compiling the weights needs torch")
    tell(f"chunk {chunk}: no network for this machine, compiling the weights")
    from dydca.content.movie.weights import compile_weights

    return compile_weights(movie.manifest.chunks[chunk].plan, movie.weights(chunk), "host", threads)
