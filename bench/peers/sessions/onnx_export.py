"""The ONNX file that ONNX Runtime, OpenVINO and MNN start from, by PyTorch's own exporter."""

from __future__ import annotations

import torch

from bench.peers.place import EXPORTED, ONNX, Place


def convert(place: Place) -> None:
    """Write it, with symbolic height and width if the exported program has them."""
    program = torch.export.load(place.prepared / EXPORTED)
    torch.onnx.export(program, f=place.target / ONNX, dynamo=True, external_data=False, verbose=False)
