"""Elementwise chains and changes of layout: one pass over a picture, each element stored where the target wants it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dydca.lower.kernels.epilogue import Operand, Step, apply
from dydca.lower.kernels.kernel import Kernel, Parameter, aligned, callers
from dydca.lower.layout import Layout
from dydca.lower.tvm_api import PrimFunc, T, kernel


@dataclass(frozen=True)
class Move(Kernel):
    """``y = shuffle(epilogue(x))``, from one layout into another.

    Attributes:
        shape: x as [N, C, H, W].
        source, target: Layouts of x and y.
        shuffle: Pixel-shuffle factor of the store; above 1 the target is plain.
        steps, operands: The epilogue; tensor operands lie in the block of the source.
        lanes: Floats of a vector register.
    """

    shape: tuple[int, int, int, int]
    source: Layout
    target: Layout
    shuffle: int
    steps: tuple[Step, ...]
    operands: tuple[Operand, ...]
    lanes: int

    @property
    def _stored(self) -> tuple[int, int, int, int]:
        n, c, h, w = self.shape
        return n, c // self.shuffle**2, h * self.shuffle, w * self.shuffle

    @property
    def _straight(self) -> bool:
        """Whether a run of neighbouring elements of x is one of y too."""
        return self.source.block == self.target.block and self.shuffle == 1

    @property
    def extent(self) -> int:
        """Rows of channel blocks of the wider-blocked side, so that no two units share an element of y."""
        n, c, h, _ = self.shape
        return n * -(-c // max(self.source.block, self.target.block)) * h

    def parameters(self) -> dict[str, Parameter]:
        named = {"x": callers(*self.source.buffer(self.shape))}
        channels = self.source.blocks(self.shape[1])
        for number, operand in enumerate(self.operands):
            whole = Layout(self.source.block, operand.halo or 0).buffer(self.shape)
            vector = (channels, self.source.block)
            named[f"operand{number}"] = aligned(*vector) if operand.halo is None else callers(*whole)
        named["y"] = callers(*self.target.buffer(self._stored))
        return named

    def emit(self) -> PrimFunc:
        with kernel(**self.parameters()) as (arguments, begin, end, finished):
            _Emitter(self, dict(zip(self.parameters(), arguments, strict=True))).rows(begin, end)
        return finished[0]


class _Emitter:
    def __init__(self, k: Move, buffers: dict[str, Any]) -> None:
        self.k, self.buffers = k, buffers

    def rows(self, begin: Any, end: Any) -> None:
        _, channels, height, _ = self.k.shape
        blocks = -(-channels // max(self.k.source.block, self.k.target.block))
        with T.serial(begin, end) as unit:
            y = T.bind(unit % height)
            block = T.bind(unit // height % blocks)
            n = T.bind(unit // (height * blocks))
            if not self.k._straight:
                self.turned_row(n, block, y)
            elif self.k.source.block == 1:
                self.plane_row(n, block, y)
            else:
                self.block_row(n, block, y)

    def block_row(self, n: Any, block: Any, y: Any) -> None:
        """Blocked on both sides: one vector a pixel."""
        with T.serial(0, self.k.shape[3]) as x:
            self.store(n, block, y, x, 0, self.value(n, block, y, x, 0, self.k.source.block), self.k.source.block)

    def plane_row(self, n: Any, plane: Any, y: Any) -> None:
        """Plain on both sides: a vector of pixels, and the rest one by one."""
        width, lanes = self.k.shape[3], self.k.lanes
        with T.serial(0, width // lanes) as run:
            x = T.bind(run * lanes)
            self.store(n, plane, y, x, 0, self.value(n, plane, y, x, 0, lanes), lanes)
        with T.serial(0, width % lanes) as rest:
            x = T.bind(width // lanes * lanes + rest)
            self.store(n, plane, y, x, 0, self.value(n, plane, y, x, 0, 1), 1)

    def turned_row(self, n: Any, block: Any, y: Any) -> None:
        """Blocks change: element by element; channels that only the target has become zero."""
        channels, width = self.k.shape[1], self.k.shape[3]
        source, wide = self.k.source.block, max(self.k.source.block, self.k.target.block)
        with T.serial(0, wide) as lane:
            channel = T.bind(block * wide + lane)
            with T.If(channel < channels):
                with T.Then(), T.serial(0, width) as x:
                    self.scatter(n, channel, y, x, self.value(n, channel // source, y, x, channel % source, 1))
                if self.k.target.block > 1:
                    with T.Else(), T.serial(0, width) as x:
                        self.scatter(n, channel, y, x, T.float32(0))

    def value(self, n: Any, block: Any, y: Any, x: Any, lane: Any, lanes: int) -> Any:
        """`lanes` neighbouring elements of x, through the epilogue."""
        k = self.k

        def load(operand: int) -> Any:
            halo = k.operands[operand].halo
            buffer = self.buffers[f"operand{operand}"]
            if halo is not None:
                return T.BufferLoad(buffer, [n, block, y + halo, _run(k.source.block, halo, x, lane, lanes)])
            across = k.source.block == 1 and lanes > 1  # one channel for all pixels of the vector
            one = T.BufferLoad(buffer, [block, lane if across or lanes == 1 else T.ramp(0, 1, lanes)])
            return T.Broadcast(one, lanes) if across else one

        halo = k.source.halo
        index = [n, block, y + halo, _run(k.source.block, halo, x, lane, lanes)]
        return apply(k.steps, T.BufferLoad(self.buffers["x"], index), load, lanes)

    def store(self, n: Any, block: Any, y: Any, x: Any, lane: Any, value: Any, lanes: int) -> None:
        """Stores `lanes` neighbouring elements."""
        width, halo = self.k.target
        T.buffer_store(self.buffers["y"], value, [n, block, y + halo, _run(width, halo, x, lane, lanes)])

    def scatter(self, n: Any, channel: Any, y: Any, x: Any, value: Any) -> None:
        r, block = self.k.shuffle, self.k.target.block
        if r == 1:
            self.store(n, channel // block, y, x, channel % block, value, 1)
        else:
            plane, dy, dx = channel // (r * r), channel // r % r, channel % r
            self.store(n, plane, y * r + dy, x * r + dx, 0, value, 1)


def _run(block: int, halo: int, x: Any, lane: Any, lanes: int) -> Any:
    """The index of `lanes` neighbouring elements from column x on."""
    start = (x + halo) * block + lane
    return start if lanes == 1 else T.ramp(start, 1, lanes)
