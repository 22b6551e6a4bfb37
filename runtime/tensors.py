"""torch tensors and numpy arrays as plain memory, without importing torch.

A `Kind` admits a tensor of its library (checks the type, copies only what the native code cannot read in place)
and makes the outputs. torch is recognised by being imported already: who holds a torch tensor has imported it.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

import numpy as np

from dydca.errors import RunError
from dydca.runtime.library import TYPES, Spec

_NUMPY_TYPES = {name: np.dtype(name) for name in TYPES.values()}


class Kind(Protocol):
    """A tensor library. Both calls return a tensor to keep alive during the run and the address of its values."""

    def admit(self, tensor: Any, wanted: str) -> tuple[Any, int]:
        """`tensor` as contiguous, aligned memory of the same shape; itself if it is that already, else a copy.

        Raises:
            RunError: DYD602, its elements are not of the type `wanted`; DYD604, it is not in this machine's memory.
        """

    def empty(self, spec: Spec) -> tuple[Any, int]:
        """A new tensor, values undefined."""


class NumpyKind:
    """numpy arrays."""

    def admit(self, tensor: Any, wanted: str) -> tuple[Any, int]:
        """See `Kind`."""
        if tensor.dtype != _NUMPY_TYPES[wanted]:
            raise _wrong_type(tensor.dtype, wanted)
        if not (tensor.flags.c_contiguous and tensor.flags.aligned):
            tensor = np.array(tensor, order="C", subok=False)
        return tensor, tensor.__array_interface__["data"][0]

    def empty(self, spec: Spec) -> tuple[Any, int]:
        """See `Kind`."""
        array = np.empty(spec.shape, _NUMPY_TYPES[spec.type])
        return array, array.__array_interface__["data"][0]


class TorchKind:
    """torch tensors on the CPU; gradients do not flow through a compiled network."""

    def __init__(self, torch: Any) -> None:
        self.strided, self._empty = torch.strided, torch.empty
        self._types = {name: getattr(torch, name) for name in TYPES.values()}

    def admit(self, tensor: Any, wanted: str) -> tuple[Any, int]:
        """See `Kind`."""
        if tensor.dtype is not self._types[wanted]:
            raise _wrong_type(str(tensor.dtype).removeprefix("torch."), wanted)
        if not tensor.is_cpu or tensor.layout is not self.strided:
            got = f"{tensor.device}, {tensor.layout}"
            raise RunError("DYD604", "the tensor is not a plain one in main memory", got=got)
        if not tensor.is_contiguous() or tensor.is_neg():
            tensor = tensor.detach().clone(memory_format=sys.modules["torch"].contiguous_format).resolve_neg()
        address = tensor.data_ptr()
        if address % tensor.itemsize:  # e.g. torch.frombuffer at an odd offset
            tensor = tensor.detach().clone()
            address = tensor.data_ptr()
        return tensor, address

    def empty(self, spec: Spec) -> tuple[Any, int]:
        """See `Kind`."""
        tensor = self._empty(spec.shape, dtype=self._types[spec.type], device="cpu", requires_grad=False)
        return tensor, tensor.data_ptr()


_NUMPY = NumpyKind()
_torch_kind: TorchKind | None = None


def kind_of(tensor: object) -> Kind:
    """The library `tensor` belongs to.

    Raises:
        RunError: DYD604, it is neither a numpy array nor a torch tensor.
    """
    global _torch_kind
    if isinstance(tensor, np.ndarray):
        return _NUMPY
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        if _torch_kind is None:
            _torch_kind = TorchKind(torch)
        return _torch_kind
    raise RunError("DYD604", "an input is neither a torch tensor nor a numpy array", got=type(tensor).__qualname__)


def _wrong_type(got: object, want: str) -> RunError:
    return RunError("DYD602", f"an input is not {want}", got=got, want=want)
