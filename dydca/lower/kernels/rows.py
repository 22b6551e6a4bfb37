"""Kernels that make a picture from a picture, band by band of rows: what all of them share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from dydca.lower.kernels.epilogue import apply
from dydca.lower.kernels.kernel import Kernel, Parameter, aligned, callers
from dydca.lower.kernels.layer import Conv, Layer
from dydca.lower.kernels.picture import Picture
from dydca.lower.layout import Layout, PictureShape
from dydca.lower.tvm_api import PrimFunc, T, kernel


class Reach(NamedTuple):
    """Which rows of a picture are read for the rows [a, b): [a * stride - above, (b - 1) * stride + below + 1)."""

    stride: int = 1
    above: int = 0
    below: int = 0


@dataclass(frozen=True)
class RowKernel(Kernel):
    """A kernel whose units of work are cut out of bands of rows.

    Bands run from the top of each picture to its bottom, picture after picture. A call for some bands reads no other
    rows than those in reach, so such kernels can be links of a depth-first chain.

    Attributes:
        layer: What is computed.
        lanes: Floats of a vector register.
        over: The parameter over which y is stored, one of `beside`; both are one argument, y.
    """

    layer: Layer
    lanes: int
    over: str | None = field(default=None, kw_only=True)

    @property
    @abstractmethod
    def across(self) -> int:
        """Units of work of a band."""

    @property
    def band(self) -> int:
        """Rows of a band, before any shuffle."""
        return 1

    @property
    def first(self) -> int:
        """The row at which the first band begins, 0 or above the picture."""
        return 0

    @property
    def bands(self) -> int:
        """Bands of a picture."""
        return -(-(self.layer.target_shape[2] - self.first) // self.band)

    @property
    def extent(self) -> int:
        return self.layer.target_shape[0] * self.bands * self.across

    @property
    def reach(self) -> Reach:
        """The rows of x for rows of f(x)."""
        return Reach()

    @property
    def reaches(self) -> tuple[Reach | None, ...]:
        """By parameter that is read, which rows are; None if that is no matter of rows."""
        operands = (Reach() if o.shape[2] == self.layer.target_shape[2] else None for o in self.layer.operands)
        return (self.reach, *(None for _ in self.constants()), *operands)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The parameters that are read, whether y is stored over one of them or not."""
        return ("x", *self.constants(), *(f"operand{number}" for number in range(len(self.layer.operands))))

    @property
    def beside(self) -> tuple[str, ...]:
        """The parameters that lie as y does, and are read where y is stored, just before."""
        alike = self.layer.target, self.layer.stored_shape
        return tuple(f"operand{number}" for number, operand in enumerate(self.layer.operands) if operand == alike)

    @property
    def stores_once(self) -> bool:
        """Whether no element of y is computed twice, so that y may be stored over what it is computed from."""
        return True

    def as_link(self, rows: int, lead: int) -> Self:
        """The kernel in a chain: a call makes `rows` rows, which end at `lead` or whole calls from there."""
        return self

    def relaid(self, source: Layout, target: Layout, beside: Sequence[Layout]) -> Self:
        """The same work between other layouts, and with the operands in others."""
        operands = tuple(o._replace(layout=lies) for o, lies in zip(self.layer.operands, beside, strict=True))
        return replace(self, layer=replace(self.layer, source=source, target=target, operands=operands))

    @property
    @abstractmethod
    def padded_channels(self) -> int:
        """Channels computed, those beyond the layer's own included."""

    def constants(self) -> dict[str, Parameter]:
        """The parameters between x and the operands."""
        return {}

    def tables(self) -> dict[str, NDArray[np.float32]]:
        """What stands in the constants that follow from the kernel alone."""
        return {}

    def parameters(self) -> dict[str, Parameter]:
        layer = self.layer
        named = {"x": _picture(layer.source, layer.source_shape), **self.constants()}
        named |= {f"operand{number}": _picture(*operand) for number, operand in enumerate(layer.operands)}
        named["y"] = _picture(layer.target, layer.stored_shape)
        named.pop(self.over or "", None)
        return named | ({"scratch": aligned(self.scratch)} if self.scratch else {})

    def emit(self) -> PrimFunc:
        with kernel(**self.parameters()) as (arguments, begin, end, finished):
            buffers = dict(zip(self.parameters(), arguments, strict=True))
            self.write(buffers | ({self.over: buffers["y"]} if self.over else {}), begin, end)
        return finished[0]

    @abstractmethod
    def write(self, buffers: dict[str, Any], begin: Any, end: Any) -> None:
        """Emits the loops over the units [begin, end); the builder is open."""

    def pack_channels(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """One value per channel, zeros beyond the last."""
        whole = np.zeros(self.padded_channels, np.float32)
        whole[: values.size] = values.reshape(-1)
        return whole


def _picture(layout: Layout, shape: PictureShape) -> Parameter:
    """A plain picture may be a caller's own."""
    return (callers if layout.block == 1 else aligned)(*layout.buffer(shape))


@dataclass(frozen=True)
class ConvKernel(RowKernel):
    """A convolution with constant weights."""

    layer: Conv

    @property
    def macs(self) -> int:
        return self.layer.macs

    @property
    def reach(self) -> Reach:
        layer = self.layer
        return Reach(layer.stride[0], layer.padding[0], (layer.window[0] - 1) * layer.dilation[0] - layer.padding[0])

    @property
    def planar(self) -> bool:
        """Whether y has one channel a plane, so that results are turned before they are stored."""
        return self.layer.target.block == 1

    @property
    @abstractmethod
    def weights(self) -> tuple[int, ...]:
        """The shape in which the kernel reads its weights."""

    @abstractmethod
    def pack_weights(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """[O, C / groups, KH, KW] in the order in which the kernel reads them, zeros where it reads beyond."""

    def constants(self) -> dict[str, Parameter]:
        return {"w": aligned(*self.weights), "b": aligned(self.padded_channels)}


K = TypeVar("K", bound=RowKernel)


class RowEmitter(Generic[K]):
    """Writes the loops of one kernel while the builder is open; this is what they have in common.

    Attributes:
        k: The kernel.
        buffers: By parameter name.
        x, y: The pictures.
    """

    def __init__(self, k: K, buffers: dict[str, Any]) -> None:
        self.k, self.buffers = k, buffers
        self.x, self.y = Picture(buffers["x"], k.layer.source), Picture(buffers["y"], k.layer.target)

    def vector(self, name: str, start: Any) -> Any:
        """A vector of a flat buffer."""
        return T.BufferLoad(self.buffers[name], [T.ramp(start, 1, self.k.lanes)])

    def keep(self, value: Any, start: Any) -> None:
        """Stores a vector in scratch."""
        T.buffer_store(self.buffers["scratch"], value, [T.ramp(start, 1, self.k.lanes)])

    def kept(self, start: Any) -> Any:
        """A vector from scratch."""
        return T.bind(self.vector("scratch", start))

    def through_epilogue(self, value: Any, n: Any, block: Any, y: Any, x: Any) -> Any:
        """One vector of channels of a pixel, as it is stored."""

        def load(number: int) -> Any:
            return self.beside(number, n, block, y, x, self.k.lanes, varies=self.k.layer.operands[number].shape[1] > 1)

        return apply(self.k.layer.steps, value, load, self.k.lanes)

    def beside(
        self, number: int, n: Any, block: Any, y: Any, x: Any, lanes: int, lane: Any = 0, *, varies: bool
    ) -> Any:
        """The vector of an operand beside `lanes` floats of the value; `varies` if it has not one float for all."""
        layout, shape = self.k.layer.operands[number]
        n, block, y, x = (at if size > 1 else 0 for at, size in zip((n, block, y, x), shape, strict=True))
        many = lanes if varies else 1
        value = Picture(self.buffers[f"operand{number}"], layout).load(n, block, y, x, many, lane * (shape[1] > 1))
        return T.Broadcast(value, lanes) if many < lanes else value

    def scatter(self, n: Any, run: Any, y: Any, x: Any, staged: Any) -> None:
        """Moves `shuffle` channels of a pixel from scratch to a plane: they become neighbours in a row."""
        r = self.k.layer.shuffle
        source = staged if r == 1 else T.ramp(staged, 1, r)
        value = T.BufferLoad(self.buffers["scratch"], [source])
        self.y.store(value, n, run // r, y * r + run % r, x * r, r)
