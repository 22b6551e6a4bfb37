"""Cut a frame of any size into patches of a few declared sizes, and put the upscaled patches together again.

A grid of coarse patches starts at the top left. Where the frame is no multiple of the patch, the last row and column
are shifted inward, so that every patch has a declared size. Patches then overlap; a pixel belongs to the **first**
patch of the layout that covers it, and patches to which no pixel belongs are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dydca.errors import ContentError

Value = TypeVar("Value", bound=np.generic)


class Patch(NamedTuple):
    """A rectangle of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def window(self, scale: int = 1) -> tuple[slice, slice]:
        """Return its rows and columns in a frame `scale` times as large."""
        bottom, right = self.top + self.height, self.left + self.width
        return slice(self.top * scale, bottom * scale), slice(self.left * scale, right * scale)


class Layout(NamedTuple):
    """How one frame of ``height x width`` pixels is cut; the patches cover it wholly."""

    height: int
    width: int
    patches: tuple[Patch, ...]


def choose_patch(frame: tuple[int, int], goal: tuple[int, int] = (108, 96)) -> tuple[int, int]:
    """Return the height and width of a coarse patch near `goal`, such that patches overlap as little as possible.

    Each side of the frame is divided into as many equal parts as come nearest to the goal, rounded up to even sizes
    so that quadrants meet without overlap. Dy-DCA's grid makes patches of `goal` of a 1080p frame at x2.
    """
    height, width = (_part(length, side) for length, side in zip(frame, goal, strict=True))
    return height, width


def quadrant(patch: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of a quarter of a coarse patch: half of each, rounded up."""
    return -(-patch[0] // 2), -(-patch[1] // 2)


def _part(length: int, goal: int) -> int:
    part = -(-length // max(1, round(length / goal)))
    return min(length, part + part % 2)


def lay_out(frame: tuple[int, int], patch: tuple[int, int], split: Collection[int] = ()) -> Layout:
    """Grid a frame and cut some of its coarse patches into quadrants.

    Args:
        frame: Height and width in pixels.
        patch: Height and width of a coarse patch. A quadrant has half of each, rounded up.
        split: The coarse patches to cut, as positions in ``lay_out(frame, patch).patches``.

    Returns:
        The layout, coarse patches row by row, quadrants in the place of the patch they come from.

    Raises:
        ContentError: DYD802, the frame is smaller than the patch or the patch has no pixel.
        IndexError: `split` names a patch the grid does not have.
    """
    (height, width), (rows, columns) = frame, patch
    if not (0 < rows <= height and 0 < columns <= width):
        raise ContentError(
            "DYD802",
            "a frame cannot be cut into patches of this size",
            got=f"patch {rows}x{columns} (height x width)",
            want=f"at least 1x1 and at most the frame's {height}x{width}",
        )
    whole = [Patch(top, left, rows, columns) for top in _starts(height, rows) for left in _starts(width, columns)]
    for position in split:
        if not 0 <= position < len(whole):
            raise IndexError(f"the grid has {len(whole)} coarse patches, none at {position}")
    chosen = set(split)
    patches = [part for i, patch in enumerate(whole) for part in (_quadrants(patch) if i in chosen else [patch])]
    everything = Layout(height, width, tuple(patches))
    pixels = np.bincount(owners(everything).ravel(), minlength=len(patches))
    return Layout(height, width, tuple(patch for patch, used in zip(patches, pixels, strict=True) if used))


def owners(layout: Layout) -> NDArray[np.int32]:
    """Return, for each pixel ``[H, W]``, the position of the patch it belongs to, or -1 where none covers it."""
    owner = np.full((layout.height, layout.width), -1, dtype=np.int32)
    for position in reversed(range(len(layout.patches))):
        owner[layout.patches[position].window()] = position
    return owner


def cut(frame: NDArray[Value], layout: Layout) -> list[NDArray[Value]]:
    """Copy the patches out of a frame.

    Args:
        frame: ``[..., H, W]`` of any type, H and W those of the layout.
        layout: What to cut.

    Returns:
        One new contiguous array ``[..., h, w]`` for each patch, in the layout's order.

    Raises:
        ContentError: DYD802, the frame has another size than the layout.
    """
    _check_size(tuple(frame.shape[-2:]), (layout.height, layout.width), "a frame does not fit the layout")
    # A copy even where the slice is the whole frame: networks may write to their input.
    return [frame[(..., *patch.window())].copy() for patch in layout.patches]


def stitch(patches: Sequence[NDArray[Value]], layout: Layout, scale: int = 1) -> NDArray[Value]:
    """Put patches, each `scale` times its size in the layout, together to one frame.

    Args:
        patches: One array ``[..., scale * h, scale * w]`` for each patch of the layout, in its order.
        layout: The layout they were cut by.
        scale: What the network enlarged them by.

    Returns:
        ``[..., scale * H, scale * W]``; each pixel from the one patch it belongs to.

    Raises:
        ContentError: DYD802, a patch is missing or has another size.
    """
    if len(patches) != len(layout.patches):
        got, want = len(patches), len(layout.patches)
        raise ContentError("DYD802", "the number of patches is not the layout's", got=got, want=want)
    first = patches[0]
    frame = np.empty((*first.shape[:-2], layout.height * scale, layout.width * scale), first.dtype)
    # Last to first, so that the first patch that covers a pixel is the one that stays.
    for pixels, patch in reversed(list(zip(patches, layout.patches, strict=True))):
        size = (patch.height * scale, patch.width * scale)
        _check_size(tuple(pixels.shape[-2:]), size, f"the patch at {patch.top},{patch.left} has another size")
        frame[(..., *patch.window(scale))] = pixels
    return frame


def _starts(length: int, step: int) -> Iterator[int]:
    """Yield where patches of `step` pixels begin, the last one shifted inward to end at `length`."""
    return (min(start, length - step) for start in range(0, length, step))


def _quadrants(patch: Patch) -> list[Patch]:
    height, width = quadrant((patch.height, patch.width))
    tops = (patch.top, patch.top + patch.height - height)
    lefts = (patch.left, patch.left + patch.width - width)
    return [Patch(top, left, height, width) for top in tops for left in lefts]


def _check_size(got: tuple[int, ...], want: tuple[int, int], what: str) -> None:
    if got != want:
        raise ContentError("DYD802", what, got="x".join(map(str, got)), want="x".join(map(str, want)))
