"""A picture in memory as emitters address it."""

from __future__ import annotations

from typing import Any, NamedTuple

from dydca.lower.layout import Layout
from dydca.lower.tvm_api import T


class Picture(NamedTuple):
    """A buffer and how a picture lies in it. Rows and columns are the picture's own; those of the halo are outside."""

    buffer: Any
    layout: Layout

    def load(self, n: Any, block: Any, y: Any, x: Any, lanes: int, lane: Any = 0) -> Any:
        """`lanes` neighbouring floats from channel `lane` of a block at pixel (y, x) on."""
        return T.BufferLoad(self.buffer, self._index(n, block, y, x, lanes, lane))

    def store(self, value: Any, n: Any, block: Any, y: Any, x: Any, lanes: int, lane: Any = 0) -> None:
        """Stores what `load` would load."""
        T.buffer_store(self.buffer, value, self._index(n, block, y, x, lanes, lane))

    def _index(self, n: Any, block: Any, y: Any, x: Any, lanes: int, lane: Any) -> list[Any]:
        size, halo, rows, first, _ = self.layout
        start = (x + halo) * size + lane
        place = start if lanes == 1 else T.ramp(start, 1, lanes)
        block = block + first if first else block
        return [0, block, T.truncmod(y + halo, rows), place] if rows else [n, block, y + halo, place]
