"""Bytes moved as they are, whatever they stand for: outputs that are an input, a constant, or known early."""

from __future__ import annotations

from dataclasses import dataclass

from dydca.lower.kernels.kernel import Kernel, Parameter
from dydca.lower.tvm_api import PrimFunc, T, kernel

UNIT = 1 << 14
"""Bytes of a unit of work."""


@dataclass(frozen=True)
class Copy(Kernel):
    """``y = x``, both of `size` bytes, in plain layout."""

    size: int

    @property
    def extent(self) -> int:
        return -(-self.size // UNIT)

    def parameters(self) -> dict[str, Parameter]:
        return {name: Parameter(((self.size,), 1)) for name in ("x", "y")}

    def emit(self) -> PrimFunc:
        with kernel("uint8", **self.parameters()) as ((x, y), begin, end, finished):
            first = T.bind(begin * UNIT)
            with T.serial(0, T.min(end * UNIT, self.size) - first) as byte:  # LLVM makes a memcpy of this
                T.buffer_store(y, T.BufferLoad(x, [first + byte]), [first + byte])
        return finished[0]
