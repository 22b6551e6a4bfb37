"""MNN with its precision high, converted from ONNX by the native converter in its package.

The package's script mnnconvert is not used: it installs a logging package on first use and posts what it converted.
"""

from __future__ import annotations

import MNN
import numpy as np

from bench.peers.place import ONNX, Arrays, Place, Run

FILE = "model.mnn"


def convert(place: Place) -> None:
    """Run the native converter."""
    import _tools

    files = ["--modelFile", str(place.prepared / ONNX), "--MNNModel", str(place.target / FILE)]
    _tools.mnnconvert(["MNNConvert", "-f", "ONNX", *files, "--bizCode", "bench"])


def start(place: Place, threads: int) -> Run:
    """Make a session; it is resized whenever the size of a call differs from the last one's."""
    net = MNN.Interpreter(str(place.target / FILE))
    session = net.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
    sources = list(net.getSessionInputAll(session).values())
    planned: list[tuple[int, ...]] = []

    def run(inputs: Arrays) -> Arrays:
        shapes = [x.shape for x in inputs]
        if shapes != planned:
            for source, shape in zip(sources, shapes, strict=True):
                net.resizeTensor(source, shape)
            net.resizeSession(session)
            planned[:] = shapes
        for source, x in zip(sources, inputs, strict=True):
            source.copyFrom(_wrapped(x))
        net.runSession(session)
        return [_copied(tensor) for tensor in net.getSessionOutputAll(session).values()]

    return run


def _wrapped(x: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> MNN.Tensor:
    return MNN.Tensor(x.shape, MNN.Halide_Type_Float, x, MNN.Tensor_DimensionType_Caffe)


def _copied(tensor: MNN.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    host = np.empty(tensor.getShape(), np.float32)
    target = _wrapped(host)
    tensor.copyToHostTensor(target)
    return np.array(target.getNumpyData(), np.float32)
