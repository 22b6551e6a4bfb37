"""dydca itself: compiled from the network for exactly the sizes of the case, run by its small runtime alone."""

from __future__ import annotations

import inspect

from bench.peers.cases import CASES
from bench.peers.place import Arrays, Place, Run
from dydca.runtime import load

FILE = "network.dydca"


def convert(place: Place) -> None:
    """Compile."""
    import dydca

    case = CASES[place.case]
    model = case.build()
    names = list(inspect.signature(model.forward).parameters)
    shapes = [[(1, channels, *size) for channels in case.channels] for size in case.sizes]
    with dydca.compile(
        model, [dict(zip(names, each, strict=True)) for each in shapes], threads=1, cache=False
    ) as network:
        network.save(place.target / FILE)


def start(place: Place, threads: int) -> Run:
    """Load."""
    network = load(place.target / FILE, threads=threads)

    def run(inputs: Arrays) -> Arrays:
        outputs = network(*inputs)
        return list(outputs) if isinstance(outputs, tuple) else [outputs]

    return run
