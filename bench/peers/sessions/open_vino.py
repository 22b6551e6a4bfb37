"""OpenVINO: float32 by its precision hint, its default (bfloat16 where the processor has it), or int8 by NNCF."""

from __future__ import annotations

import openvino

from bench.peers.place import INPUTS, ONNX, Arrays, Place, Run, read_arrays

FILE = "model.xml"


def convert(place: Place, *, precision: str) -> None:
    """Read the ONNX file; int8: quantise with four calibration pictures of uniform noise."""
    model = openvino.Core().read_model(place.prepared / ONNX)
    if precision == "int8":
        model = _quantised(model, read_arrays(place.prepared / INPUTS)[0])
    openvino.save_model(model, place.target / FILE, compress_to_fp16=False)


def _quantised(model: openvino.Model, inputs: Arrays) -> openvino.Model:
    import nncf
    import numpy as np

    random = np.random.default_rng(0)
    frames = [[random.random(x.shape, np.float32) * x.max() for x in inputs] for _ in range(4)]
    return nncf.quantize(model, nncf.Dataset(frames), subset_size=len(frames))


def start(place: Place, threads: int, *, precision: str) -> Run:
    """Compile for the processor."""
    hints: dict[str, object] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if precision == "f32":
        hints["INFERENCE_PRECISION_HINT"] = "f32"
    request = openvino.Core().compile_model(place.target / FILE, "CPU", hints).create_infer_request()

    def run(inputs: Arrays) -> Arrays:
        results = request.infer(inputs, share_inputs=True)
        return list(results.values())

    return run
