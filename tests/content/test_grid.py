"""Cutting and stitching: every pixel once, whatever the size of the frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dydca.content.grid import Layout, Patch, choose_patch, cut, lay_out, owners, quadrant, stitch
from dydca.errors import ContentError


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Layout, tuple[int, int]]:
    rows, columns = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    height, width = draw(st.integers(rows, 70)), draw(st.integers(columns, 70))
    coarse = lay_out((height, width), (rows, columns))
    split = draw(st.sets(st.integers(0, len(coarse.patches) - 1)))
    return lay_out((height, width), (rows, columns), split), (rows, columns)


@given(layouts(), st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_every_pixel_is_covered_by_patches_of_two_sizes(case: tuple[Layout, tuple[int, int]], scale: int) -> None:
    layout, (rows, columns) = case
    sizes = {(patch.height, patch.width) for patch in layout.patches}
    assert sizes <= {(rows, columns), (-(-rows // 2), -(-columns // 2))}
    owner = owners(layout)
    assert owner.min() == 0
    assert set(owner.flat) == set(range(len(layout.patches)))
    pixels = np.arange(2 * layout.height * scale * layout.width * scale)
    frame = pixels.reshape(2, layout.height * scale, layout.width * scale)
    large = Layout(frame.shape[1], frame.shape[2], tuple(Patch(*(scale * v for v in p)) for p in layout.patches))
    np.testing.assert_array_equal(stitch(cut(frame, large), layout, scale), frame)


@given(layouts())
@settings(max_examples=50, deadline=None)
def test_a_pixel_comes_from_its_owner_only(case: tuple[Layout, tuple[int, int]]) -> None:
    layout, _ = case
    numbered = [np.full((p.height, p.width), i, np.int32) for i, p in enumerate(layout.patches)]
    np.testing.assert_array_equal(stitch(numbered, layout), owners(layout))


@given(st.integers(2, 2200), st.integers(2, 2200))
def test_the_chosen_patch_is_near_the_goal_and_wastes_little(height: int, width: int) -> None:
    patch = choose_patch((height, width))
    for length, part, goal in zip((height, width), patch, (108, 96), strict=True):
        assert part <= length
        assert part % 2 == 0 or part == length
        assert length < goal or goal / 2 <= part <= 1.5 * goal + 2
        count = -(-length // part)
        assert count * part - length < 2 * count  # the rounding to even sizes, and nothing else, overlaps
    assert quadrant(patch)[0] < patch[0]  # the test that chooses the route


def test_the_patch_of_dydca_is_chosen_for_its_frame() -> None:
    assert choose_patch((540, 960)) == (108, 96)
    assert choose_patch((360, 640)) == (120, 92)


def test_the_demo_frame() -> None:
    layout = lay_out((360, 640), (108, 96), {0, 27})
    assert layout.patches[:4] == ((0, 0, 54, 48), (0, 48, 54, 48), (54, 0, 54, 48), (54, 48, 54, 48))
    # The last coarse patch is shifted in to rows 252..360, columns 544..640, and owns rows 324..360, columns 576..640:
    # its upper quadrants own nothing and are left out.
    assert layout.patches[-2:] == ((306, 544, 54, 48), (306, 592, 54, 48))
    assert len(layout.patches) == 26 + 4 + 2


def test_patches_are_copies() -> None:
    frame = np.zeros((1, 3, 8, 8))
    (patch,) = cut(frame, lay_out((8, 8), (8, 8)))
    patch += 1
    assert not frame.any()


@pytest.mark.parametrize("patch", [(9, 4), (4, 9), (0, 4)])
def test_refuses_a_patch_that_does_not_fit(patch: tuple[int, int]) -> None:
    with pytest.raises(ContentError, match="at most the frame's 8x8") as caught:
        lay_out((8, 8), patch)
    assert caught.value.code == "DYD802"


def test_refuses_what_is_not_of_the_layout() -> None:
    layout = lay_out((8, 8), (4, 4))
    with pytest.raises(ContentError, match="does not fit the layout"):
        cut(np.zeros((8, 9)), layout)
    with pytest.raises(ContentError, match="number of patches"):
        stitch([np.zeros((4, 4))], layout)
    with pytest.raises(ContentError, match="patch at 4,4 has another size"):
        stitch([np.zeros((4, 4))] * 3 + [np.zeros((4, 5))], layout)
    with pytest.raises(IndexError, match="none at 4"):
        lay_out((8, 8), (4, 4), {4})
