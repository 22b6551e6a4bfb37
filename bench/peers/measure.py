"""One slice of the comparison: one case, one number of threads, all engines in turn, round after round.

python -m bench.peers.measure SLICE     SLICE as `Slice.to_json` writes it; figures as JSON on stdout
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from bench.peers.cases import CASES
from bench.peers.engines import ENGINES
from bench.peers.environments import interpreter
from bench.peers.store import ROOT, converted, environment, prepared
from bench.peers.worker import Specification


@dataclass(frozen=True)
class Slice:
    """What is measured in one run.

    Attributes:
        case: Key of `cases.CASES`.
        threads: Of every engine.
        engines: Keys of `engines.ENGINES`; their models are converted already.
        rounds: How often every engine has its turn.
        seconds: A turn lasts at least so long.
        memory: Measure peak memory instead of time.
    """

    case: str
    threads: int
    engines: list[str]
    rounds: int
    seconds: float
    memory: bool = False

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


class Process:
    """The worker of one engine; it is stopped whenever it has nothing to answer, so that no idle thread spins."""

    def __init__(self, engine: str, part: Slice) -> None:
        self.engine = engine
        kind = ENGINES[engine]
        folder = converted(kind, part.case)
        given = Specification(
            part.case,
            str(prepared(part.case)),
            str(folder),
            kind.session,
            dict(kind.options),
            CASES[part.case].order,
            part.threads,
        )
        command = [str(interpreter(kind.environment)), "-m", "bench.peers.worker", "serve", given.to_json()]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=ROOT,
        )

    def ask(self, do: str, **arguments: float) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            RuntimeError: The worker has ended; the message is the last line it printed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._process.stdout.readline()
        if not answer:
            _, stderr = self._process.communicate()
            raise RuntimeError((stderr.strip().splitlines() or ["it ended without a word"])[-1][:300])
        self._process.send_signal(signal.SIGSTOP)
        decoded: dict[str, Any] = json.loads(answer)
        return decoded

    def close(self) -> None:
        """End the worker."""
        self._process.kill()
        self._process.wait()


@contextmanager
def _process(engine: str, part: Slice) -> Iterator[Process]:
    process = Process(engine, part)
    try:
        yield process
    finally:
        process.close()


def measure(part: Slice) -> dict[str, dict[str, Any]]:
    """For each engine its figures, or ``{"failed": why}``."""
    return _memory(part) if part.memory else _times(part)


def _times(part: Slice) -> dict[str, dict[str, Any]]:
    figures: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        running: list[Process] = []
        for engine in part.engines:
            process = stack.enter_context(_process(engine, part))
            try:
                figures[engine] = {**process.ask("open"), **process.ask("check"), "wall_s": [], "cpu_s": []}
                running.append(process)
            except RuntimeError as error:
                figures[engine] = {"failed": str(error)}
        for _ in range(part.rounds):
            for process in running:
                for name, values in process.ask("time", seconds=part.seconds).items():
                    figures[process.engine][name] += values
    return {engine: _summary(figure) for engine, figure in figures.items()}


def _summary(figure: dict[str, Any]) -> dict[str, Any]:
    if "failed" in figure:
        return figure
    wall, processor = figure.pop("wall_s"), figure.pop("cpu_s")
    times = {
        "min_ms": min(wall),
        "median_ms": statistics.median(wall),
        "cpu_min_ms": min(processor),
        "cpu_median_ms": statistics.median(processor),
    }
    return {**figure, **{name: value * 1e3 for name, value in times.items()}, "passes": len(wall)}


def _memory(part: Slice) -> dict[str, dict[str, Any]]:
    figures: dict[str, dict[str, Any]] = {}
    for engine in part.engines:
        with _process(engine, part) as process:
            try:
                figures[engine] = process.ask("memory")
            except RuntimeError as error:
                figures[engine] = {"failed": str(error)}
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(Slice(**json.loads(sys.argv[1])))))
