"""Joins pictures in blocks, channels one after the other, where they do not begin with whole blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from dydca.lower.kernels.activations import splat
from dydca.lower.kernels.picture import Picture
from dydca.lower.kernels.rows import RowEmitter, RowKernel
from dydca.lower.tvm_api import T, divided, natural


@dataclass(frozen=True)
class Join(RowKernel):
    """``f = cat(x, operands...)``, all in blocks of `lanes`; a unit is a row.

    Attributes:
        first_lanes: By part, the lane of its first block that is its first channel.
    """

    first_lanes: tuple[int, ...]

    @property
    def across(self) -> int:
        return 1

    @property
    def padded_channels(self) -> int:
        return self.layer.target.blocks(self.layer.target_shape[1]) * self.lanes

    def write(self, buffers: dict[str, Any], begin: Any, end: Any) -> None:
        _Emitter(self, buffers).rows(begin, end)


class _Source(NamedTuple):
    """Where a channel comes from: part, block, lane."""

    part: int
    block: int
    lane: int


class _Emitter(RowEmitter[Join]):
    def rows(self, begin: Any, end: Any) -> None:
        layer, (_, _, height, width) = self.k.layer, self.k.layer.target_shape
        parts = [self.x, *(Picture(self.buffers[f"operand{i}"], o.layout) for i, o in enumerate(layer.operands))]
        with T.serial(begin, end) as unit:
            n, y = divided(natural(unit), height)
            with T.serial(0, width) as x:
                for block, sources in enumerate(self.blocks()):
                    self.y.store(self.gathered(parts, sources, n, y, x), n, block, y, x, self.k.lanes)

    def blocks(self) -> list[list[_Source]]:
        """By block of the result, where its channels come from."""
        layer, lanes = self.k.layer, self.k.lanes
        counts = [layer.source_shape[1], *(operand.shape[1] for operand in layer.operands)]
        channels = [
            _Source(part, *divmod(first + channel, lanes))
            for part, (count, first) in enumerate(zip(counts, self.k.first_lanes, strict=True))
            for channel in range(count)
        ]
        return [channels[start : start + lanes] for start in range(0, len(channels), lanes)]

    def gathered(self, parts: list[Picture], sources: list[_Source], n: Any, y: Any, x: Any) -> Any:
        """The vector of a block; zeros fill the last one up."""
        lanes = self.k.lanes
        result = splat(0.0, lanes)
        for part, block in dict.fromkeys((source.part, source.block) for source in sources):
            vector = T.bind(parts[part].load(n, block, y, x, lanes))
            order = [lanes + s.lane if (s.part, s.block) == (part, block) else lane for lane, s in enumerate(sources)]
            order += range(len(order), lanes)
            result = T.bind(T.Shuffle([result, vector], order))
        return result
