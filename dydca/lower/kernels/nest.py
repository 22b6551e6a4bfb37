"""A loop nest that TVM's legalisation made, as a kernel like any other."""

from __future__ import annotations

from dataclasses import dataclass, field

from dydca.lower.kernels.kernel import Kernel, Parameter, callers
from dydca.lower.tvm_api import Nest, PrimFunc


@dataclass(frozen=True)
class LegalizedNest(Kernel):
    """Equal text is equal code, whatever network it came from.

    Attributes:
        text: The TIR of the function.
        nest: The function itself.
    """

    text: str
    nest: Nest = field(compare=False, repr=False)

    @property
    def extent(self) -> int:
        return self.nest.extent

    def parameters(self) -> dict[str, Parameter]:
        operands = (*self.nest.reads, *self.nest.writes)
        return {f"operand{number}": callers(*operand.shape) for number, operand in enumerate(operands)}

    def emit(self) -> PrimFunc:
        return self.nest.function
