"""Elementwise chains and changes of layout: one pass over a picture, each element stored where the target wants it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dydca.lower.kernels.activations import splat
from dydca.lower.kernels.epilogue import apply
from dydca.lower.kernels.lanes import interleaved, spread, transposed
from dydca.lower.kernels.rows import Reach, RowEmitter, RowKernel
from dydca.lower.tvm_api import T, divided, natural


@dataclass(frozen=True)
class Move(RowKernel):
    """``y = shuffle(epilogue(unshuffle(x)))``, from one layout into another; pictures beside lie in the source's block.

    A unit is some channels of a row: the fewest that make no two units share an element of y, and whole vectors.

    Attributes:
        unshuffle: Downscaling factor of the load; above 1 the source is plain.
        first_lane: The lane of the source's first block that is its first channel.
    """

    unshuffle: int = 1
    first_lane: int = 0

    @property
    def span(self) -> int:
        """Channels of a unit."""
        layer = self.layer
        if self.unshuffle > 1:
            return layer.target.blocks(layer.target_shape[1]) * layer.target.block
        return max(layer.source.block, layer.target.block, layer.shuffle if layer.source.block == 1 else 1)

    @property
    def across(self) -> int:
        return -(-self.layer.target_shape[1] // self.span)

    @property
    def padded_channels(self) -> int:
        return self.layer.target_shape[1]

    @property
    def beside(self) -> tuple[str, ...]:
        layer = self.layer
        moved = self.unshuffle > 1 or layer.shuffle > 1 or layer.source != layer.target
        return super().beside if moved else ("x", *super().beside)

    @property
    def stores_once(self) -> bool:
        return self.layer.source.block > 1 or self.layer.target_shape[3] % self.lanes == 0

    @property
    def reach(self) -> Reach:
        return Reach(self.unshuffle, 0, self.unshuffle - 1)

    def write(self, buffers: dict[str, Any], begin: Any, end: Any) -> None:
        _Emitter(self, buffers).units(begin, end)


class _Emitter(RowEmitter[Move]):
    def __init__(self, k: Move, buffers: dict[str, Any]) -> None:
        super().__init__(k, buffers)
        self.source, self.target, self.r = k.layer.source.block, k.layer.target.block, k.layer.shuffle
        _, self.channels, self.height, self.width = k.layer.target_shape

    def units(self, begin: Any, end: Any) -> None:
        """All units, in tiles of neighbouring pixels if rows are long enough, else element by element."""
        with T.serial(begin, end) as unit:
            row, part = divided(natural(unit), self.k.across)
            n, y = divided(row, self.height)
            length, tile = self.tile()
            if length > self.width:
                self.elements(n, part, y)
            else:
                with T.serial(0, self.width // length) as index:
                    tile(n, part, y, T.bind(index * length))
                if self.width % length:
                    tile(n, part, y, self.width - length)

    def tile(self) -> tuple[int, Callable[[Any, Any, Any, Any], None]]:
        """How many pixels are best moved together, and the loop's body that does so; the last tiles may overlap."""
        if self.source == self.target and self.r == self.k.unshuffle == 1:
            return (1 if self.source > 1 else self.k.lanes), self.copy
        if self.source == 1:
            if self.r > 1:
                return self.k.lanes, self.interleave
            return (self.k.lanes, self.pick) if self.target == 1 else (self.target, self.turn_in)
        if self.target == 1 and self.source % self.r == 0:
            return self.source // self.r, self.turn_out
        return self.width + 1, self.copy

    def copy(self, n: Any, block: Any, y: Any, x: Any) -> None:
        """Blocks to the same blocks, planes to planes: a vector as it lies."""
        lanes = self.source if self.source > 1 else self.k.lanes
        self.y.store(self.value(n, block, y, x, lanes), n, block, y, x, lanes)

    def interleave(self, n: Any, run: Any, y: Any, x: Any) -> None:
        """Planes that a shuffle makes neighbours."""
        lanes, r = self.k.lanes, self.r
        vectors = interleaved([self.value(n, run * r + dx, y, x, lanes) for dx in range(r)], lanes)
        for number, vector in enumerate(vectors):
            self.y.store(vector, n, run // r, y * r + run % r, x * r + number * lanes, lanes)

    def pick(self, n: Any, _part: Any, y: Any, x: Any) -> None:
        """Every r-th pixel of a plane to a plane."""
        for channel in range(self.channels):
            self.y.store(self.value(n, channel, y, x, self.k.lanes), n, channel, y, x, self.k.lanes)

    def turn_in(self, n: Any, part: Any, y: Any, x: Any) -> None:
        """Planes to blocks: pixels of a channel in vectors become channels of a pixel; zeros fill a block up."""

        def turn(block: Any, count: int) -> None:
            vectors = [self.value(n, block * self.target + lane, y, x, self.target) for lane in range(count)]
            vectors += [splat(0.0, self.target)] * (self.target - count)
            for pixel, vector in enumerate(transposed(vectors)):
                self.y.store(vector, n, block, y, x + pixel, self.target)

        if self.k.unshuffle == 1:
            self.whole_or_rest(part, lambda count: turn(part, count))
        else:
            for block in range(self.k.layer.target.blocks(self.channels)):
                turn(block, min(self.target, self.channels - block * self.target))

    def turn_out(self, n: Any, block: Any, y: Any, x: Any) -> None:
        """Blocks to planes: so many channels of a pixel as a shuffle makes neighbours stay together."""
        r, runs = self.r, self.source // self.r
        vectors = transposed([self.value(n, block, y, x + pixel, self.source) for pixel in range(runs)], r)

        def store(count: int) -> None:
            for number, vector in enumerate(vectors[: count // r]):
                run = T.bind(block * runs + number)
                self.y.store(vector, n, run // r, y * r + run % r, x * r, self.source)

        self.whole_or_rest(block, store)

    def whole_or_rest(self, part: Any, emit: Callable[[int], None]) -> None:
        """Emits the code of a unit with all its channels, and that of the last one, which may have fewer."""
        whole, rest = divmod(self.channels, self.k.span)
        if not whole or not rest:
            emit(rest or self.k.span)
            return
        with T.If(part < whole):
            with T.Then():
                emit(self.k.span)
            with T.Else():
                emit(rest)

    def elements(self, n: Any, part: Any, y: Any) -> None:
        """Any layouts, element by element."""
        with T.serial(0, self.k.span) as lane:
            channel = T.bind(part * self.k.span + lane)
            with T.If(channel < self.channels):
                with T.Then(), T.serial(0, self.width) as x:
                    block, own = (channel, 0) if self.source == 1 else (channel // self.source, channel % self.source)
                    self.put(self.value(n, block, y, x, 1, own), n, channel, y, x)
                if self.target > 1:
                    with T.Else(), T.serial(0, self.width) as x:
                        self.put(T.float32(0), n, channel, y, x)

    def put(self, value: Any, n: Any, channel: Any, y: Any, x: Any) -> None:
        """Stores one element."""
        r, size = self.r, self.target
        if r == 1:
            self.y.store(value, n, channel // size, y, x, 1, channel % size)
        else:
            self.y.store(value, n, channel // (r * r), y * r + channel // r % r, x * r + channel % r, 1)

    def value(self, n: Any, block: Any, y: Any, x: Any, lanes: int, lane: Any = 0) -> Any:
        """`lanes` neighbouring elements of the unshuffled picture, through the epilogue."""

        def load(number: int) -> Any:
            _, channels, _, width = self.k.layer.operands[number].shape
            varies = (width if self.source == 1 else channels) > 1
            return self.beside(number, n, block, y, x, lanes, lane, varies=varies)

        return apply(self.k.layer.steps, self.unshuffled(n, block, y, x, lanes, lane), load, lanes)

    def unshuffled(self, n: Any, block: Any, y: Any, x: Any, lanes: int, lane: Any) -> Any:
        """What `value` begins with."""
        r, first = self.k.unshuffle, self.k.first_lane
        if first and lanes == 1:
            lane = lane + first
            return self.x.load(n, block + lane // self.source, y, x, 1, lane % self.source)
        if first:  # the end of one block and the begin of the next, if there is one
            last = (first + self.channels - 1) // self.source
            pair = [T.bind(self.x.load(n, b, y, x, lanes)) for b in (block, T.min(block + 1, last))]
            return T.bind(T.Shuffle(pair, list(range(first, first + lanes))))
        if r == 1:
            return T.bind(self.x.load(n, block, y, x, lanes, lane))
        place, dx = (n, block // (r * r), y * r + block // r % r), block % r
        if lanes == 1:
            return self.x.load(*place, x * r + dx, 1)
        vectors = [T.bind(self.x.load(*place, x * r + number * lanes, lanes)) for number in range(r)]
        return spread(vectors, dx, lanes)
