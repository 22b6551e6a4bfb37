"""Runs one row kernel alone, like `native_kernel` convolutions: in guarded buffers, cut into calls in every way."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence

import numpy as np

from dydca.lower.kernels.rows import RowKernel
from tests.lower.native_kernel import Array, compile_kernels, guarded, lay, taken

FILLER = 1e3
"""Stands in the channels that only fill up the last block: finite, and ruinous where it is not ignored."""


class NativeRows:
    """A compiled kernel with buffers of its own; whatever it must not touch is NaN.

    Attributes:
        kernel: What runs.
        buffers: By parameter name, in the shapes of the parameters.
    """

    def __init__(self, kernel: RowKernel, function: ctypes._NamedFuncPointer | None = None) -> None:
        self.kernel = kernel
        self._function = function or compile_kernels([kernel])[0]
        self.buffers = {name: guarded(parameter) for name, parameter in kernel.parameters().items()}
        self._pointers = [ctypes.c_void_p(buffer.ctypes.data) for buffer in self.buffers.values()]

    def put(self, x: Array, operands: Sequence[Array] = ()) -> None:
        """Lays out the picture and the epilogue's operands."""
        layer = self.kernel.layer
        lay(self.buffers["x"], x, layer.source, (0, 0), filler=FILLER)
        for number, (operand, values) in enumerate(zip(layer.operands, operands, strict=True)):
            buffer = self.buffers[f"operand{number}"]
            lay(buffer, values.reshape(operand.shape), operand.layout, (0, 0), filler=FILLER)

    def run(self, *cuts: int) -> Array:
        """Computes all of y, as [N, C, H, W], in calls of [0, cut), [cut, cut), ..., [cut, extent)."""
        self.buffers["y"].fill(np.nan)
        for begin, end in zip((0, *cuts), (*cuts, self.kernel.extent), strict=True):
            self._function(*self._pointers, begin, end)
        return taken(self.buffers["y"], self.kernel.layer.stored_shape, self.kernel.layer.target)

    def every_cut(self) -> Iterator[Array]:
        """What different ways of sharing the work out give, threads 1 to 3 and single units among them."""
        extent = self.kernel.extent
        for cuts in [(), (extent // 2,), (extent // 3, 2 * extent // 3), tuple(range(1, extent))]:
            yield self.run(*cuts)
