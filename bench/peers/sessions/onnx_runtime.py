"""ONNX Runtime on its CPU provider, all graph optimisations."""

from __future__ import annotations

import onnxruntime

from bench.peers.place import ONNX, Arrays, Place, Run


def convert(place: Place) -> None:
    """Nothing to do: `start` reads the ONNX file."""


def start(place: Place, threads: int) -> Run:
    """Optimise the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(place.prepared / ONNX), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Arrays) -> Arrays:
        outputs: Arrays = session.run(None, dict(zip(names, inputs, strict=True)))
        return outputs

    return run
