"""Elementwise chains and changes of layout: one pass over a picture, each element stored where the target wants it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dydca.lower.kernels.epilogue import apply
from dydca.lower.kernels.rows import RowEmitter, RowKernel
from dydca.lower.tvm_api import T, divided, natural


@dataclass(frozen=True)
class Move(RowKernel):
    """``y = shuffle(epilogue(x))``, from one layout into another.

    Pictures among the operands lie in the source's block. A unit is a row of channels of the wider-blocked side, so
    that no two units share an element of y.
    """

    @property
    def across(self) -> int:
        return -(-self.layer.source_shape[1] // max(self.layer.source.block, self.layer.target.block))

    @property
    def padded_channels(self) -> int:
        return self.layer.source.blocks(self.layer.source_shape[1]) * self.layer.source.block

    @property
    def straight(self) -> bool:
        """Whether a run of neighbouring elements of x is one of y too."""
        return self.layer.source.block == self.layer.target.block and self.layer.shuffle == 1

    def write(self, buffers: dict[str, Any], begin: Any, end: Any) -> None:
        _Emitter(self, buffers).rows(begin, end)


class _Emitter(RowEmitter[Move]):
    def __init__(self, k: Move, buffers: dict[str, Any]) -> None:
        super().__init__(k, buffers)
        self.block = k.layer.source.block
        _, self.channels, self.height, self.width = k.layer.source_shape

    def rows(self, begin: Any, end: Any) -> None:
        with T.serial(begin, end) as unit:
            row, block = divided(natural(unit), self.k.across)
            n, y = divided(row, self.height)
            place = n, block, y
            if not self.k.straight:
                self.turned_row(*place)
            elif self.block == 1:
                self.plane_row(*place)
            else:
                self.block_row(*place)

    def block_row(self, n: Any, block: Any, y: Any) -> None:
        """Blocked on both sides: one vector a pixel."""
        with T.serial(0, self.width) as x:
            self.y.store(self.value(n, block, y, x, self.block), n, block, y, x, self.block)

    def plane_row(self, n: Any, plane: Any, y: Any) -> None:
        """Plain on both sides: a vector of pixels, and the rest one by one."""
        with T.serial(0, self.width // self.k.lanes) as run:
            x = T.bind(run * self.k.lanes)
            self.y.store(self.value(n, plane, y, x, self.k.lanes), n, plane, y, x, self.k.lanes)
        with T.serial(0, self.width % self.k.lanes) as rest:
            x = T.bind(self.width // self.k.lanes * self.k.lanes + rest)
            self.y.store(self.value(n, plane, y, x, 1), n, plane, y, x, 1)

    def turned_row(self, n: Any, block: Any, y: Any) -> None:
        """Blocks change: element by element; channels that only the target has become zero."""
        wide = max(self.block, self.k.layer.target.block)
        with T.serial(0, wide) as lane:
            channel = T.bind(block * wide + lane)
            with T.If(channel < self.channels):
                with T.Then(), T.serial(0, self.width) as x:
                    value = self.value(n, channel // self.block, y, x, 1, channel % self.block)
                    self.put(value, n, channel, y, x)
                if self.k.layer.target.block > 1:
                    with T.Else(), T.serial(0, self.width) as x:
                        self.put(T.float32(0), n, channel, y, x)

    def value(self, n: Any, block: Any, y: Any, x: Any, lanes: int, lane: Any = 0) -> Any:
        """`lanes` neighbouring elements of x, through the epilogue."""

        def load(number: int) -> Any:
            _, channels, _, width = self.k.layer.operands[number].shape
            varies = (width if self.block == 1 else channels) > 1
            return self.beside(number, n, block, y, x, lanes, lane, varies=varies)

        return apply(self.k.layer.steps, self.x.load(n, block, y, x, lanes, lane), load, lanes)

    def put(self, value: Any, n: Any, channel: Any, y: Any, x: Any) -> None:
        """Stores one element."""
        r, size = self.k.layer.shuffle, self.k.layer.target.block
        if r == 1:
            self.y.store(value, n, channel // size, y, x, 1, channel % size)
        else:
            self.y.store(value, n, channel // (r * r), y * r + channel // r % r, x * r + channel % r, 1)
