"""The comparison picture: crops of several versions of a frame side by side, and how the frame was cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np

from dydca.content.files import write_whole
from dydca.content.grid import Layout, Patch
from dydca.content.pixels import Frame
from dydca.errors import UsageError

MARGIN = 8
LABEL = 22
WHOLE = (255, 255, 255)
SPLIT = (255, 170, 0)


def draw_layout(frame: Frame, layout: Layout, scale: int) -> Frame:
    """Draw the outlines of the patches over a frame: white for the largest size, orange for those cut from it.

    Args:
        frame: uint8 ``[scale * H, scale * W, 3]``; it is copied.
        layout: The cutting of the low-resolution frame ``[H, W]``.
        scale: High resolution to low.

    Returns:
        uint8 of the frame's shape.
    """
    drawn = frame.copy()
    largest = max(patch.height * patch.width for patch in layout.patches)
    # The small ones last: where outlines meet, the split is what the reader looks for.
    for patch in sorted(layout.patches, key=lambda patch: -patch.height * patch.width):
        colour = WHOLE if patch.height * patch.width == largest else SPLIT
        view = drawn[patch.window(scale)]
        view[:1] = view[-1:] = view[:, :1] = view[:, -1:] = colour
    return drawn


def compose(versions: Mapping[str, Frame], crops: Sequence[Patch], overview: Frame, zoom: int = 2) -> Frame:
    """Lay out the picture: the overview on top, below it one row for each crop, one column for each version.

    Args:
        versions: Label to frame, uint8 ``[H, W, 3]``, all of one shape; the columns from left to right.
        crops: Windows of those frames, all of one size.
        overview: uint8 picture shown above, shrunk to the width of the rows if it is wider.
        zoom: Each pixel of a crop becomes ``zoom x zoom`` pixels, without smoothing.

    Returns:
        uint8 ``[height, width, 3]``.

    Raises:
        UsageError: DYD902, Pillow is not installed.
    """
    image, draw = _pillow("Image"), _pillow("ImageDraw")
    tile_height, tile_width = crops[0].height * zoom, crops[0].width * zoom
    width = MARGIN + (tile_width + MARGIN) * len(versions)
    top = image.fromarray(overview)
    top.thumbnail((width - 2 * MARGIN, overview.shape[0]))
    head = MARGIN + top.height + LABEL
    canvas = image.new("RGB", (width, head + (tile_height + MARGIN) * len(crops)), (24, 24, 24))
    canvas.paste(top, ((width - top.width) // 2, MARGIN))
    pen = draw.Draw(canvas)
    for column, (label, frame) in enumerate(versions.items()):
        left = MARGIN + column * (tile_width + MARGIN)
        pen.text((left, head - LABEL + 6), label, fill=WHOLE)
        for row, crop in enumerate(crops):
            tile = frame[crop.window()].repeat(zoom, axis=0).repeat(zoom, axis=1)
            canvas.paste(image.fromarray(tile), (left, head + row * (tile_height + MARGIN)))
    picture: Frame = np.asarray(canvas, dtype=np.uint8)
    return picture


def write_png(path: Path, picture: Frame) -> None:
    """Write uint8 ``[H, W, 3]`` as PNG; the whole file appears under its name, or nothing does.

    Raises:
        FileError: DYD705, the file cannot be written.
        UsageError: DYD902, Pillow is not installed.
    """
    image = _pillow("Image").fromarray(picture)
    write_whole(path, lambda partial: image.save(partial, format="PNG"))


def png_bytes(picture: Frame) -> bytes:
    """uint8 ``[H, W, 3]`` as the content of a PNG file.

    Raises:
        UsageError: DYD902, Pillow is not installed.
    """
    stream = BytesIO()
    _pillow("Image").fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()


def _pillow(module: str) -> ModuleType:
    try:
        return import_module(f"PIL.{module}")
    except ImportError as error:
        raise UsageError("DYD902", "drawing a picture needs Pillow", fix="pip install 'dydca[content]'") from error
