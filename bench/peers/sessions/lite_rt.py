"""LiteRT with its XNNPACK delegate; it needs one model per size, for its converter takes no symbolic sizes."""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from bench.peers.place import EXPORTED, INPUTS, Arrays, Place, Run, read_arrays


def convert(place: Place) -> None:
    """Convert for every size."""
    import litert_torch
    import torch

    model = torch.export.load(place.prepared / EXPORTED).module()
    for inputs in read_arrays(place.prepared / INPUTS):
        converted = litert_torch.convert(model, tuple(map(torch.from_numpy, inputs)))
        converted.export(str(_file(place.target, inputs)))


def start(place: Place, threads: int) -> Run:
    """Models are loaded at the first call of their size."""
    loaded: dict[Path, Interpreter] = {}

    def run(inputs: Arrays) -> Arrays:
        file = _file(place.target, inputs)
        if file not in loaded:
            loaded[file] = Interpreter(str(file), num_threads=threads)
            loaded[file].allocate_tensors()
        net = loaded[file]
        for detail, x in zip(net.get_input_details(), inputs, strict=True):
            net.set_tensor(detail["index"], x)
        net.invoke()
        return [net.get_tensor(detail["index"]) for detail in net.get_output_details()]

    return run


def _file(target: Path, inputs: Arrays) -> Path:
    return target / f"{'x'.join(map(str, inputs[0].shape[2:]))}.tflite"
