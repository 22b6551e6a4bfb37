"""ONNX models as networks that the same capture sees: every node runs as a few torch functions."""

from dydca.capture.onnx.reading import is_onnx, network_of, read_onnx

__all__ = ["is_onnx", "network_of", "read_onnx"]
