"""The comparison picture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dydca.content.compare import LABEL, MARGIN, SPLIT, WHOLE, compose, draw_layout, write_png
from dydca.content.grid import Patch, lay_out
from dydca.errors import FileError, UsageError

GREY = np.full((16, 24, 3), 100, np.uint8)


def test_the_layout_is_drawn_on_a_copy() -> None:
    layout = lay_out((8, 12), (8, 6), {1})
    drawn = draw_layout(GREY, layout, scale=2)
    assert (GREY == 100).all()
    assert tuple(drawn[0, 0]) == WHOLE
    assert tuple(drawn[7, 20]) == SPLIT
    assert tuple(drawn[7, 6]) == (100, 100, 100)


def test_crops_stand_side_by_side() -> None:
    versions = {"bicubic": GREY, "dydca": GREY + 50, "original": GREY + 100}
    picture = compose(versions, [Patch(0, 0, 8, 10), Patch(8, 14, 8, 10)], overview=GREY, zoom=3)
    assert picture.shape == (MARGIN + 16 + LABEL + 2 * (24 + MARGIN), MARGIN + 3 * (30 + MARGIN), 3)
    middle = picture[-MARGIN - 12]
    columns = [int(middle[MARGIN + i * (30 + MARGIN) + 15, 0]) for i in range(3)]
    assert columns == [100, 150, 200]


def test_a_picture_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", GREY)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), GREY)
    with pytest.raises(FileError) as caught:
        write_png(tmp_path / "none" / "a.png", GREY)
    assert caught.value.code == "DYD705"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_names_the_missing_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(UsageError) as caught:
        write_png(tmp_path / "a.png", GREY)
    assert caught.value.code == "DYD902"
