"""PyTorch eager, in the caller's memory format or channels last."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.peers.cases import CASES
from bench.peers.place import Arrays, Place, Run


def convert(place: Place, *, channels_last: bool = False) -> None:
    """Nothing to do: `start` builds the network from its seed."""


def start(place: Place, threads: int, *, channels_last: bool = False) -> Run:
    """Build the network."""
    torch.set_num_threads(threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = CASES[place.case].build().to(memory_format=layout)  # type: ignore[call-overload]  # the stub lacks it

    @torch.inference_mode()
    def run(inputs: Arrays) -> Arrays:
        output = model(*(torch.from_numpy(x).contiguous(memory_format=layout) for x in inputs))
        return [tensor.contiguous().numpy() for tensor in ([output] if isinstance(output, Tensor) else output)]

    return run
