"""torch.compile with frozen weights and max-autotune; one dynamic graph where the sizes change."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from bench.peers.cases import CASES
from bench.peers.place import INPUTS, Arrays, Place, Run, read_arrays


def convert(place: Place) -> None:
    """Compile once, which fills the cache of code that `start` reads."""
    run = start(place, 1)
    for inputs in read_arrays(place.prepared / INPUTS):
        run(inputs)


def start(place: Place, threads: int) -> Run:
    """Set the options; the first call compiles."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(place.target / "cache")
    from torch._inductor import config

    torch.set_num_threads(threads)
    config.freezing = True
    case = CASES[place.case]
    dynamic = len(case.sizes) > 1
    model = torch.compile(case.build(), mode="max-autotune-no-cudagraphs", dynamic=dynamic, fullgraph=True)

    @torch.no_grad()
    def run(inputs: Arrays) -> Arrays:
        output = model(*map(torch.from_numpy, inputs))
        return [tensor.contiguous().numpy() for tensor in ([output] if isinstance(output, Tensor) else output)]

    return run
