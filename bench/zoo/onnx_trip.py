"""``python -m bench.zoo.onnx_trip``: every network of the zoo by torch's exporters to ONNX, read back beside eager.

Writes bench/results/onnx_trip.json: for each network and exporter the largest difference over two sizes as a part of
eager's maximum, or what refused the network and who.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import tempfile
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import dydca
from dydca.capture.files import read_model
from dydca.capture.network import own_copy
from dydca.errors import DydcaError
from dydca.models import every
from dydca.models.registry import Entry

RESULTS = Path(__file__).parents[1] / "results" / "onnx_trip.json"
EXPORTERS = ("dynamo", "TorchScript")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; exit code 1 if a network that was exported computes something else."""
    parser = argparse.ArgumentParser("python -m bench.zoo.onnx_trip", description="The zoo through ONNX and back.")
    parser.add_argument("names", nargs="*", help="networks; all by default")
    options = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    rows: list[dict[str, Any]] = []
    chosen = [entry for entry in every() if not options.names or entry.facts.name in options.names]
    for entry, exporter in product(chosen, EXPORTERS):
        named = {"network": entry.facts.name, "scale": entry.facts.scale, "exporter": exporter}
        rows.append(named | trip(entry, exporter))
        print(*rows[-1].values(), flush=True)
    if not options.names:
        RESULTS.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return int(any(row.get("difference", 0) > 1e-4 for row in rows))


def trip(entry: Entry, exporter: str) -> dict[str, object]:
    """One network by one exporter."""
    torch.manual_seed(0)
    facts, model = entry.facts, entry.build().eval()
    sizes = [size for size in ((24, 24), (32, 40), (48, 48), (96, 96), (64, 128)) if facts.accepts(*size)][:2]
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="dydca-") as folder:
        for height, width in sizes:
            inputs = [torch.rand(shape) for shape in facts.shapes(height, width).values()]
            path = Path(folder) / f"{height}.onnx"
            try:
                export(model, inputs, exporter, path)
            except Exception as error:  # whatever stopped torch's exporter
                return {"exporter_refuses": f"{type(error).__name__}: {error}".splitlines()[0][:160]}
            try:
                worst = max(worst, difference(model, path, inputs))
            except DydcaError as error:
                return {"dydca_refuses": str(error)}
    return {"difference": worst}


def export(model: nn.Module, inputs: Sequence[Tensor], exporter: str, path: Path) -> None:
    """Writes a model for the sizes of the inputs."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            torch.onnx.export(model, tuple(inputs), path, dynamo=True, verbose=False)
        else:
            torch.onnx.export(model, tuple(inputs), path, dynamo=False)


def difference(model: nn.Module, path: Path, inputs: Sequence[Tensor]) -> float:
    """Of what dydca reads to eager, as a part of eager's maximum; infinite if the shapes differ."""
    read = read_model(path)
    names = inspect.signature(own_copy(read).forward).parameters
    program = dydca.capture(read, [dict(zip(names, (tuple(x.shape) for x in inputs), strict=True))])
    with torch.no_grad():
        expected = [leaf for leaf in tree_leaves(model(*(x.clone() for x in inputs))) if isinstance(leaf, Tensor)]
    pairs = list(zip(program.run(*inputs), expected, strict=True))
    if any(have.shape != want.shape for have, want in pairs):
        return float("inf")
    return max(float((have - want).abs().max() / want.abs().max().clamp_min(1e-20)) for have, want in pairs)


if __name__ == "__main__":
    raise SystemExit(main())
