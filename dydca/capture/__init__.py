"""From a PyTorch model and its declared patches to a `Program`: one graph of ATen operators per route."""

from dydca.capture.capture import capture

__all__ = ["capture"]
