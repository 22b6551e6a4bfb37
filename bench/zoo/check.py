"""One network of the zoo: compiled as it is created, on three sizes and every route, against eager."""

from __future__ import annotations

import json
import re
import statistics
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import dydca
import dydca.models
from bench.zoo.decisions import Way, way_of
from dydca.models.registry import Entry, Facts
from dydca.runtime import Network
from dydca.runtime.package import REPORT_DATA

WANTED = ((37, 45), (72, 64), (48, 40))
"""An odd patch, a tall one for the routes that a height decides, a small one."""
SEEDS = 20
BRIGHTNESS = (1.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 2.0, 4.0, 16.0, 100.0)
CONTRAST = (1.0, 0.1, 0.02, 0.0)


@dataclass(frozen=True)
class PatchFigures:
    """One declared patch; of routes that values choose from, all together.

    Attributes:
        routes: How many this patch may take.
        compared: How many of them were taken and compared.
        error: The largest, as a part of the output's largest value.
        gmac_before: Multiply-adds in the network as captured.
        gmac_after: In the kernels that run.
        kernels: Calls in the plan.
        legalised: Of these, those made by TVM's legalisation with our schedule, by operator.
        arena_mib: Allocated for intermediate values.
        eager_ms: Median processor time on one thread.
        dydca_ms: The same.
    """

    routes: int
    compared: int
    error: float
    gmac_before: float
    gmac_after: float
    kernels: int
    legalised: dict[str, int]
    arena_mib: float
    eager_ms: float
    dydca_ms: float


def wanted_sizes(facts: Facts, most: int = len(WANTED)) -> list[tuple[int, int]]:
    """The first of `WANTED`, each enlarged to what the network accepts."""
    square = [(max(size), max(size)) if facts.square else size for size in WANTED[:most]]
    step = facts.multiple_of
    return [(-(-height // step) * step, -(-width // step) * step) for height, width in square]


def attempt(name: str, scale: int, most: int, seconds: float) -> dict[str, Any]:
    """`check` of the named entry, or ``{"failed": why}``."""
    entry = next(entry for entry in dydca.models.every() if (entry.facts.name, entry.facts.scale) == (name, scale))
    try:
        return check(entry, most, seconds)
    except dydca.DydcaError as error:
        return {"failed": str(error)}
    except Exception:
        return {"failed": traceback.format_exc(limit=-3)}


def check(entry: Entry, most: int, seconds: float) -> dict[str, Any]:
    """Everything the table tells of an entry at its first `most` sizes; each time is measured for at least `seconds`.

    Raises:
        DydcaError: The network is refused.
    """
    torch.set_num_threads(1)
    sizes = wanted_sizes(entry.facts, most)
    shapes = [entry.facts.shapes(*size) for size in sizes]
    model, probes = _probed(entry, [list(shape.values()) for shape in shapes])
    started = time.perf_counter()
    with dydca.compile(model, shapes, threads=1, cache=False) as network:
        compiled = time.perf_counter() - started
        report = _report(network)
        patches = {}
        for size, shape, inputs in zip(sizes, shapes, probes, strict=True):
            error = max(_difference(model, network, each) for each in inputs)
            eager, ours = _times(model, network, inputs[0], seconds)
            planned = _planned(report, network, list(shape.values()))
            figures = PatchFigures(**planned, compared=len(inputs), error=error, eager_ms=eager, dydca_ms=ours)
            patches["x".join(map(str, size))] = asdict(figures)
    return {"library_kib": report["builds"][0]["library_bytes"] / 1024, "compile_s": compiled, "patches": patches}


def _report(network: Network) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        network.save(Path(folder) / "network.dydca")
        with zipfile.ZipFile(Path(folder) / "network.dydca") as file:
            report: dict[str, Any] = json.loads(file.read(REPORT_DATA))
    return report


def _planned(report: dict[str, Any], network: Network, shape: Sequence[Sequence[int]]) -> dict[str, Any]:
    declared: list[dict[str, Any]] = network.manifest["patches"]  # type: ignore[assignment]
    wanted = list(map(list, shape))
    number = next(number for number, patch in enumerate(declared) if patch["inputs"] == wanted)
    program = report["builds"][0]["programs"][number]
    kernels = program["kernels"]
    nests = (node for kernel in kernels if kernel["kernel"] == "legalized_nest" for node in set(kernel["nodes"]))
    patches = [patch for route in report["analysis"]["routes"] for patch in route["patches"]]
    macs = [patch["macs"] for patch in patches if patch["inputs"] == wanted]
    return {
        "routes": len(macs),
        "gmac_before": sum(macs) / 1e9,
        "gmac_after": sum(kernel["macs"] for kernel in kernels) / 1e9,
        "kernels": len(kernels),
        "legalised": dict(Counter(re.sub(r"_\d+$", "", node) for node in nests)),
        "arena_mib": program["arena_bytes"] / 2**20,
    }


def _probed(entry: Entry, shapes: Sequence[Sequence[tuple[int, ...]]]) -> tuple[nn.Module, list[list[list[Tensor]]]]:
    """The network, and for each patch inputs of which no two take the same way.

    Where values decide, weights are drawn until the probes take as many ways as the network has; if none of the draws
    does, the last one is kept, and the figures say how many were compared.
    """
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model = _randomised(entry.build())
        probes = [_probes(model, entry.facts, of_patch) for of_patch in shapes]
        if all(way == () for ways in probes for way in ways):
            break
        program = dydca.capture(model, [entry.facts.shapes(*shape[0][2:]) for shape in shapes])
        if all(len(ways) == len(program.routes) for ways in probes):
            break
    return model, [list(ways.values()) for ways in probes]


def _randomised(model: nn.Module) -> nn.Module:
    """Gains that start at zero would hide whole branches from the comparison."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and not parameter.any():
                parameter.uniform_(-0.5, 0.5)
    return model.eval().requires_grad_(False)


def _probes(model: nn.Module, facts: Facts, shapes: Sequence[tuple[int, ...]]) -> dict[Way, list[Tensor]]:
    ways: dict[Way, list[Tensor]] = {}
    for brightness, contrast in product(BRIGHTNESS, CONTRAST):
        noise = [torch.rand(shape) * contrast + (1 - contrast) / 2 for shape in shapes]
        inputs = [facts.input_range[1] * brightness * x for x in noise]
        way = way_of(model, _copies(inputs))
        ways.setdefault(way, inputs)
        if way == ():
            break
    return ways


def _copies(inputs: Sequence[Tensor]) -> list[Tensor]:
    return [x.clone() for x in inputs]  # some networks overwrite theirs


def _outputs(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def _difference(model: nn.Module, network: Network, inputs: Sequence[Tensor]) -> float:
    pairs = zip(_outputs(model(*_copies(inputs))), _outputs(network(*inputs)), strict=True)
    return max(float((want - have).abs().max() / want.abs().max().clamp_min(1e-20)) for want, have in pairs)


def _times(model: nn.Module, network: Network, inputs: Sequence[Tensor], seconds: float) -> tuple[float, float]:
    calls: list[Callable[[], object]] = [lambda: model(*_copies(inputs)), lambda: network(*inputs)]
    spent: list[list[float]] = [[], []]
    until = time.perf_counter() + 2 * seconds
    while len(spent[0]) < 5 or time.perf_counter() < until:
        for call, times in zip(calls, spent, strict=True):
            before = time.process_time()
            call()
            times.append((time.process_time() - before) * 1e3)
    return statistics.median(spent[0][1:]), statistics.median(spent[1][1:])
