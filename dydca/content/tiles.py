"""Cut a large picture into overlapping tiles of few sizes whose seams cannot be seen, to the last bit.

A network computes a pixel from the pixels within its reach. Beyond that, a kernel works on a grid that begins at the
tile's corner (a Winograd tile of 6x6 outputs, say), and the place in this grid decides how a value is rounded. Tiles
therefore begin at multiples of a step that all grids divide, overlap by reach plus slack for the grids, and keep what
lies further inside; at the picture's borders, where the network itself pads, they keep all.
"""

from __future__ import annotations

from itertools import product
from math import isqrt
from typing import NamedTuple


class Reach(NamedTuple):
    """What tiles of a network must respect, in pixels of its input.

    Attributes:
        halo: How far into a tile a wrong border can be felt; None if a pixel depends on the whole picture.
        step: Tiles begin at multiples of it.
    """

    halo: int | None
    step: int


WHOLE = Reach(None, 1)
"""Of a network that takes the picture in one piece only."""


class Span(NamedTuple):
    """A tile along one axis: where it begins and ends, and the part of it that is kept."""

    start: int
    stop: int
    first: int
    last: int


class Tile(NamedTuple):
    """A rectangle of the picture."""

    rows: Span
    columns: Span

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what the network is given."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def given(self) -> tuple[slice, slice]:
        """What the network is given, in the picture."""
        return tuple(slice(span.start, span.stop) for span in self)  # type: ignore[return-value]

    def inside(self, scale: int) -> tuple[slice, slice]:
        """What is kept, in the network's result."""
        return tuple(slice((s.first - s.start) * scale, (s.last - s.start) * scale) for s in self)  # type: ignore[return-value]

    def kept(self, scale: int) -> tuple[slice, slice]:
        """What is kept, in the enlarged picture."""
        return tuple(slice(span.first * scale, span.last * scale) for span in self)  # type: ignore[return-value]


def spans(length: int, tile: int, reach: Reach) -> list[Span]:
    """Cover an axis by tiles of `tile` pixels, the last one at most `step - 1` shorter; every pixel is kept once.

    Args:
        length: Of the axis.
        tile: A multiple of ``reach.step``, more than twice the halo rounded up to a step; or at least `length`.
        reach: With a halo.

    Raises:
        ValueError: The tile is too small or no multiple of the step.
    """
    if length <= tile:
        return [Span(0, length, 0, length)]
    assert reach.halo is not None
    overlap = 2 * _up(reach.halo, reach.step)
    if tile % reach.step or tile <= overlap:
        raise ValueError(f"a tile of {tile} is no multiple of {reach.step} or not larger than {overlap}")
    starts = [*range(0, length - tile, tile - overlap), _up(length - tile, reach.step)]
    stops = [*(start + tile for start in starts[:-1]), length]
    cuts = [0, *(stop - overlap // 2 for stop in stops[:-1]), length]
    return [Span(*span) for span in zip(starts, stops, cuts[:-1], cuts[1:], strict=True)]


def lay_tiles(picture: tuple[int, int], pixels: int, reach: Reach) -> list[Tile] | None:
    """Cut a picture into tiles of at most `pixels` pixels: across its longer side if that is enough, else in blocks.

    Args:
        picture: Height and width.
        pixels: Of the largest tile.
        reach: Of the network.

    Returns:
        The tiles, row by row; None if even the smallest useful tile is larger.
    """
    height, width = picture
    if height * width <= pixels:
        return [Tile(Span(0, height, 0, height), Span(0, width, 0, width))]
    if reach.halo is None:
        return None
    long = _down(pixels // min(picture), reach.step)
    rows, columns = (height, long) if width > height else (long, width)
    if long < _least(reach):
        rows = columns = long = _down(isqrt(pixels), reach.step)
    if long < _least(reach):
        return None
    return [Tile(*pair) for pair in product(spans(height, rows, reach), spans(width, columns, reach))]


def least_pixels(picture: tuple[int, int], reach: Reach) -> int:
    """The pixels of the smallest tile that `lay_tiles` can use."""
    if reach.halo is None:
        return picture[0] * picture[1]
    return _least(reach) * min(*picture, _least(reach))


def _least(reach: Reach) -> int:
    """A side of which at least half is kept."""
    assert reach.halo is not None
    return 4 * _up(max(reach.halo, 1), reach.step)


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def _down(value: int, step: int) -> int:
    return value // step * step
