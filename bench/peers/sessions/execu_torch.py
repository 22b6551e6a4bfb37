"""ExecuTorch, everything it can delegated to XNNPACK."""

from __future__ import annotations

import torch
from executorch.runtime import Runtime

from bench.peers.place import EXPORTED, Arrays, Place, Run

FILE = "model.pte"


def convert(place: Place) -> None:
    """Lower the exported program."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.load(place.prepared / EXPORTED)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    (place.target / FILE).write_bytes(lowered.buffer)


def start(place: Place, threads: int) -> Run:
    """Load."""
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(threads)
    method = Runtime.get().load_program(place.target / FILE).load_method("forward")

    def run(inputs: Arrays) -> Arrays:
        return [tensor.numpy() for tensor in method.execute(list(map(torch.from_numpy, inputs)))]

    return run
