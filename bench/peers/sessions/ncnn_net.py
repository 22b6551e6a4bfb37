"""ncnn, converted from TorchScript by its own pnnx, weights and arithmetic in float32."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

import ncnn
import numpy as np

from bench.peers.place import INPUTS, TRACED, Arrays, Place, Run, read_arrays


def convert(place: Place) -> None:
    """Run pnnx; a second set of shapes, beside those of the trace, tells it that sizes change."""
    sizes = read_arrays(place.prepared / INPUTS)
    shapes = [",".join(str(list(x.shape)).replace(" ", "") for x in each) for each in (sizes[-1], sizes[0])]
    files = {name: place.target / f"model.{name}" for name in ("param", "bin")}
    arguments = [f"inputshape={shapes[0]}", *([f"inputshape2={shapes[1]}"] if len(sizes) > 1 else [])]
    arguments += [f"ncnn{name}={path}" for name, path in files.items()] + ["fp16=0"]
    spec = find_spec("pnnx")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "pnnx"  # the package's __init__ imports torch, which the program does not need
    command = [str(program), str(place.prepared / TRACED), *arguments]
    subprocess.run(command, cwd=place.target, check=True, stdout=subprocess.DEVNULL)


def start(place: Place, threads: int) -> Run:
    """Load."""
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(str(place.target / "model.param")) or net.load_model(str(place.target / "model.bin")):
        raise RuntimeError("ncnn does not know a layer of what pnnx made")
    names = list(net.output_names())

    def run(inputs: Arrays) -> Arrays:
        with net.create_extractor() as extractor:
            for name, x in zip(net.input_names(), inputs, strict=True):
                extractor.input(name, ncnn.Mat(x[0]).clone())  # without the clone this wheel reads freed memory
            return [np.array(extractor.extract(name)[1])[None] for name in names]

    return run
