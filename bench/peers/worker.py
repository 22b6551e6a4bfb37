"""The process of one engine on one case: it converts once, or answers one JSON line for each it reads.

python -m bench.peers.worker convert SPECIFICATION
python -m bench.peers.worker serve SPECIFICATION      {"do": "open" | "check" | "time" | "memory"}

It runs in the environment of its engine, so it imports numpy and the standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.place import INPUTS, REFERENCE, Arrays, Place, Run, read_arrays


@dataclass(frozen=True)
class Specification:
    """What a worker needs to know.

    Attributes:
        case: Key of `cases.CASES`.
        prepared: Folder of the prepared case.
        target: Folder of what the engine's converter makes of it.
        session: Module in `bench.peers.sessions`.
        options: Keyword arguments of its functions.
        order: The sizes of one pass, as positions.
        threads: Its threads; also the number of cores it is held to.
    """

    case: str
    prepared: str
    target: str
    session: str
    options: dict[str, Any] = field(default_factory=dict)
    order: list[int] = field(default_factory=lambda: [0])
    threads: int = 1

    @property
    def place(self) -> Place:
        """What every function of a session takes first."""
        return Place(self.case, Path(self.prepared), Path(self.target))

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


class Worker:
    """Serves the requests of `measure`.

    Args:
        specification: What to run; the engine's package is imported here, its model not yet loaded.
    """

    def __init__(self, specification: Specification) -> None:
        self._specification = specification
        self._session = import_module(f"bench.peers.sessions.{specification.session}")
        self._inputs = read_arrays(Path(specification.prepared) / INPUTS)
        self._run: Run | None = None

    def open(self) -> dict[str, float]:
        """Load the model and run the first pass, which plans whatever the engine plans at run time."""
        given = self._specification
        started = time.perf_counter()
        self._run = self._session.start(given.place, given.threads, **given.options)
        loaded = time.perf_counter()
        self._one_pass()
        return {"load_s": loaded - started, "cold_s": time.perf_counter() - loaded}

    def check(self) -> dict[str, float]:
        """The largest error against eager's float64 at any size, as a part of the largest value."""
        reference = read_arrays(Path(self._specification.prepared) / REFERENCE)
        assert self._run is not None
        pairs = [
            (want, have)
            for inputs, outputs in zip(self._inputs, reference, strict=True)
            for want, have in zip(_by_shape(outputs), _by_shape(self._run(inputs)), strict=True)
        ]
        return {"error": max(float(np.abs(have - want).max() / np.abs(want).max()) for want, have in pairs)}

    def time(self, seconds: float) -> dict[str, list[float]]:
        """Passes until the time is over, at least one: wall clock of each, and the processor time of all threads."""
        wall: list[float] = []
        processor: list[float] = []
        until = time.perf_counter() + seconds
        while not wall or time.perf_counter() < until:
            before = time.perf_counter(), time.process_time()
            self._one_pass()
            wall.append(time.perf_counter() - before[0])
            processor.append(time.process_time() - before[1])
        return {"wall_s": wall, "cpu_s": processor}

    def memory(self) -> dict[str, float]:
        """MiB of resident memory that loading and three passes add at their peak, and of these one pass's outputs."""
        base = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        self.open()
        assert self._run is not None
        outputs = self._run(self._inputs[0])
        self._one_pass()
        return {"peak_mib": _status("VmHWM") - base, "outputs_mib": sum(y.nbytes for y in outputs) / 2**20}

    def _one_pass(self) -> None:
        assert self._run is not None
        for index in self._specification.order:
            self._run(self._inputs[index])


def _by_shape(arrays: Arrays) -> Arrays:
    """Engines that name their outputs anew give them in another order; no case has two of one shape."""
    return sorted(arrays, key=lambda array: array.shape)


def _status(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Convert, or serve until stdin ends; stdout is the protocol's alone, so engines print to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    action, specification = sys.argv[1], Specification(**json.loads(sys.argv[2]))
    if action == "convert":
        session = import_module(f"bench.peers.sessions.{specification.session}")
        session.convert(specification.place, **specification.options)
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-specification.threads :])
    worker = Worker(specification)
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(worker, request.pop("do"))(**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
