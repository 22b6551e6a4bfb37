"""Tiles cover every pixel once, begin on the grid, and keep only what is far enough from a cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dydca.content.tiles import Reach, Tile, lay_tiles, least_pixels, spans

reaches = st.builds(Reach, st.integers(0, 40), st.sampled_from([1, 2, 12, 24, 60]))


@given(length=st.integers(1, 3000), reach=reaches, data=st.data())
def test_spans_cover_an_axis_once(length: int, reach: Reach, data: st.DataObject) -> None:
    assert reach.halo is not None
    margin = -(-reach.halo // reach.step) * reach.step
    tile = 2 * margin + reach.step * data.draw(st.integers(1, 50), "steps more than the overlap")
    cover = spans(length, tile, reach)
    assert [span.first for span in cover] == [0, *(span.last for span in cover[:-1])]
    assert cover[-1].last == length
    for span in cover:
        assert 0 <= span.start <= span.first < span.last <= span.stop <= length
        assert span.start % reach.step == 0
        assert span.start == 0 or span.first - span.start >= reach.halo
        assert span.stop == length or span.stop - span.last >= reach.halo
        assert span.stop - span.start <= tile
    assert len({span.stop - span.start for span in cover}) <= 2


def test_a_tile_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not larger than 24"):
        spans(100, 24, Reach(9, 12))
    with pytest.raises(ValueError, match="no multiple of 12"):
        spans(100, 37, Reach(9, 12))


@given(
    height=st.integers(1, 900),
    width=st.integers(1, 900),
    pixels=st.integers(1, 300_000),
    halo=st.one_of(st.none(), st.integers(0, 40)),
)
def test_tiles_fit_into_the_memory(height: int, width: int, pixels: int, halo: int | None) -> None:
    reach = Reach(halo, 12)
    tiles = lay_tiles((height, width), pixels, reach)
    if height * width <= pixels:
        assert tiles is not None
        assert len(tiles) == 1
    elif tiles is None:
        assert halo is None or pixels < least_pixels((height, width), reach)
    else:
        assert max(tile.size[0] * tile.size[1] for tile in tiles) <= pixels
        assert len({tile.size for tile in tiles}) <= 4
        assert sum(_area(tile) for tile in tiles) == height * width


def _area(tile: Tile) -> int:
    return (tile.rows.last - tile.rows.first) * (tile.columns.last - tile.columns.first)


def test_the_three_places_of_a_tile() -> None:
    reach = Reach(3, 4)
    tile = Tile(spans(40, 20, reach)[1], spans(17, 20, reach)[0])
    assert tile.given == (slice(12, 32), slice(0, 17))
    assert tile.inside(2) == (slice(8, 32), slice(0, 34))
    assert tile.kept(2) == (slice(32, 56), slice(0, 34))
