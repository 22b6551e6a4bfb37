"""Every network of the zoo compiled for ARM and run under qemu: ``python -m bench.qemu [NAME...]``.

Each is exported for android-aarch64 on tiny patches and run as a static program and as the Android library, on the
processors `CPUS`, and compared with eager. Finished networks stand in ``bench/results/qemu.json`` and are not run
again; ``--again`` forgets them. Networks that the compiler refuses are listed with the code.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import dydca
from bench import arm
from bench.machine import describe_machine
from dydca.compiled import CompiledNetwork
from dydca.errors import DydcaError
from dydca.models import every
from dydca.models.registry import Entry

RESULTS = Path(__file__).parent / "results" / "qemu.json"
CPUS = ("max", "neoverse-n1")
TOLERANCE = 1e-4
SIZES = ((8, 12), (16, 12), (16, 16), (24, 16), (32, 32), (64, 64))
STRENGTHS = (1.0, 0.02, 0.3, 4.0)
"""Contrasts of the pictures: content that routes by value tell apart."""


def patches(entry: Entry) -> list[dict[str, tuple[int, ...]]]:
    """The two least sizes that the network takes, one of them odd where it may be."""
    facts = entry.facts
    sizes = [size for size in ((7, 9), *SIZES) if facts.accepts(*size)][:2]
    if "dydca" in facts.name or "dynamic" in facts.name:
        sizes.append((71, 8))  # the other side of the branch by size
    return [dict(facts.shapes(*size)) for size in sizes]


def largest_difference(network: CompiledNetwork, model: nn.Module, entry: Entry, folder: Path) -> Iterator[float]:
    """As a part of eager's largest value, for each patch, form, processor, and strength where values route."""
    low, high = entry.facts.input_range
    described = network.manifest["patches"]
    assert isinstance(described, list)
    for patch, said in zip(patches(entry), described, strict=False):
        for strength in STRENGTHS if " or " in said["route"] else STRENGTHS[:1]:
            inputs = [low + (high - low) * torch.rand(shape) * strength for shape in patch.values()]
            with torch.no_grad():
                want = _tensors(model(*(x.clone() for x in inputs)))
            for cpu in CPUS:
                for make in (arm.program, arm.library):
                    have = _tensors(make(network, folder, cpu)(*inputs))
                    for one, other in zip(have, want, strict=True):
                        assert one.shape == other.shape
                        yield float((one - other).abs().max() / other.abs().max().clamp_min(1e-20))


def _tensors(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def lively(entry: Entry) -> nn.Module:
    """The network with the first random weights for which its picture is not one colour, as after a clamp."""
    for seed in range(50):
        torch.manual_seed(seed)
        model = entry.build().eval()
        low, high = entry.facts.input_range
        with torch.no_grad():
            results = _tensors(model(*(low + (high - low) * torch.rand(shape) for shape in patches(entry)[0].values())))
        if float(results[0].std()) > 0:
            return model
    raise ValueError(f"{entry.facts.name} gives one colour whatever its weights")


def run(entry: Entry) -> dict[str, object]:
    """One network."""
    model = lively(entry)
    started = time.process_time()
    try:
        network = dydca.compile(model, patches(entry), target="android-aarch64")
    except DydcaError as error:
        return {"refused": error.code, "what": error.what, "got": str(error.got)[:200]}
    with tempfile.TemporaryDirectory(prefix="dydca-arm-") as folder:
        differences = list(largest_difference(network, model, entry, Path(folder)))
    routes = network.manifest["routes"]
    assert isinstance(routes, dict)
    return {
        "largest_difference": max(differences),
        "runs": len(differences),
        "routes": len(routes),
        "is_within": max(differences) <= TOLERANCE,
        "seconds": round(time.process_time() - started, 1),
    }


def main() -> None:
    """Runs what is not in the results yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks of dydca.models; all by default")
    parser.add_argument("--again", action="store_true", help="forget earlier results")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() and not options.again else {}
    done = found.setdefault("networks", {})
    found |= {"machine": describe_machine(), "cpus": CPUS, "tolerance": TOLERANCE}
    least = {entry.facts.name: entry for entry in reversed(every())}  # of each network first the first scale
    for entry in sorted(every(), key=lambda entry: least[entry.facts.name] is not entry):
        label = f"{entry.facts.name} x{entry.facts.scale}"
        if label in done or (options.names and entry.facts.name not in options.names):
            continue
        done[label] = run(entry)
        print(label, done[label], flush=True)
        unfinished = RESULTS.with_suffix(".part")
        unfinished.write_text(json.dumps(found, indent=1) + "\n")
        unfinished.replace(RESULTS)


if __name__ == "__main__":
    main()
