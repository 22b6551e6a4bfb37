"""A network of the zoo on a picture of any kind and size, in tiles where memory asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dydca.api import compile
from dydca.content.picture import MOST_PIXELS, Levels, Picture, pillow
from dydca.content.pixels import Planes
from dydca.content.reach import needs_of
from dydca.content.terminal import Bar
from dydca.content.tiles import WHOLE, Tile, lay_tiles, least_pixels
from dydca.errors import ContentError
from dydca.models.registry import Facts


def _unseen(done: int, total: int | None, note: str) -> None:
    """No bar."""


@dataclass(frozen=True)
class Enlarger:
    """Enlarges pictures.

    A network for luma alone gets the Y of JPEG's YCbCr, and the colours are enlarged by Pillow's bicubic filter, as
    alpha always is. A network for colours gets grey as three equal ones, and the mean of its result is grey again. One
    for several frames gets the picture for each; whatever else it takes is the state of a sequence, which begins as
    zeros. Where height and width must be multiples of something, the last row and column are repeated first and cut
    off again.

    Attributes:
        model: Of the zoo, in eval mode.
        facts: Its record.
        memory_mib: For activations; pictures that need more are cut into tiles.
        threads: As of `dydca.compile`.
        bar: Shows how far it got, in tiles.
    """

    model: nn.Module
    facts: Facts
    memory_mib: float = 1024
    threads: int | None = None
    bar: Bar = _unseen

    def __call__(self, picture: Picture) -> Picture:
        """The picture ``facts.scale`` times as large, of the same kind.

        Raises:
            ContentError: DYD830, it would be absurdly large; DYD833, the memory is not enough.
            CaptureError, LoweringError, BuildError: The network cannot be compiled.
        """
        height, width = picture.size
        if height * width * self.facts.scale**2 > MOST_PIXELS:
            got, want = f"{height}x{width}, {self.facts.scale} times as large", f"at most {MOST_PIXELS} pixels"
            raise ContentError("DYD830", "a picture is too large", got=got, want=want)
        if self.facts.inputs[0][1] == 1 and picture.colours.shape[2] == 3:
            colours = self._by_luma(picture.colours)
        else:
            colours = self._by_tiles(picture.colours)
        alpha = None if picture.alpha is None else _bicubic(picture.alpha, self.facts.scale)
        return Picture(colours, alpha, picture.profile)

    def _by_luma(self, colours: Levels) -> Levels:
        image = pillow("Image")
        luma, *chroma = map(np.asarray, image.fromarray(colours).convert("YCbCr").split())
        planes = [self._by_tiles(luma[..., None])[..., 0], *(_bicubic(plane, self.facts.scale) for plane in chroma)]
        merged = image.merge("YCbCr", list(map(image.fromarray, planes))).convert("RGB")
        return np.asarray(merged, dtype=np.uint8)

    def _by_tiles(self, colours: Levels) -> Levels:
        height, width, channels = colours.shape
        padded, scale = _padded(colours, self.facts), self.facts.scale
        tiles = self._tiles(padded.shape[:2])
        shapes = [self.facts.shapes(*size) for size in dict.fromkeys(tile.size for tile in tiles)]
        result = np.empty((padded.shape[0] * scale, padded.shape[1] * scale, channels), colours.dtype)
        with compile(self.model, shapes, threads=self.threads) as network:
            for done, tile in enumerate(tiles, start=1):
                output = network(*_inputs(padded[tile.given], self.facts))
                planes = (output[0] if isinstance(output, tuple) else output)[0].transpose(1, 2, 0)
                result[tile.kept(scale)] = _quantised(planes[tile.inside(scale)], self.facts, result)
                self.bar(done, len(tiles), "")
        return result[: height * scale, : width * scale]

    def _tiles(self, size: tuple[int, int]) -> list[Tile]:
        needs = needs_of(self.model, self.facts, size)
        tiles = lay_tiles(size, int(self.memory_mib * 2**20 / needs.bytes_per_pixel), needs.reach) or []
        if tiles and all(needs.cover(tuple(self.facts.shapes(*tile.size).values())) for tile in tiles):
            return tiles
        reach = WHOLE if tiles else needs.reach  # tiles by another route would be another picture
        least = least_pixels(size, reach) * needs.bytes_per_pixel / 2**20
        got, want = f"{self.memory_mib:g} MiB", f"{least:.2g} MiB or more"
        raise ContentError("DYD833", "the memory is not enough for the smallest tile", got=got, want=want)


def _bicubic(plane: Levels, scale: int) -> NDArray[np.uint8]:
    image = pillow("Image")
    height, width = plane.shape
    enlarged = image.fromarray(plane).resize((width * scale, height * scale), image.Resampling.BICUBIC)
    return np.asarray(enlarged, dtype=np.uint8)


def _padded(colours: Levels, facts: Facts) -> Levels:
    """The picture with its last row and column repeated until the network takes its size."""
    step = facts.multiple_of
    height, width = (-(-max(size, facts.smallest) // step) * step for size in colours.shape[:2])
    if facts.square:
        height = width = max(height, width)
    borders = ((0, height - colours.shape[0]), (0, width - colours.shape[1]), (0, 0))
    return cast(Levels, np.pad(colours, borders, mode="edge"))


def _inputs(part: Levels, facts: Facts) -> list[Planes]:
    """The frames, each the picture in the network's range, then the state."""
    (_, channels), *state = facts.inputs
    planes = part.transpose(2, 0, 1)[None].astype(np.float32) * np.float32(facts.input_range[1] / _white(part))
    frames = np.repeat(planes, 3, axis=1) if planes.shape[1] == 1 and channels > 1 else planes
    frames = np.ascontiguousarray(np.tile(frames, (1, channels // frames.shape[1], 1, 1)))
    return [frames, *(np.zeros((1, each, *planes.shape[2:]), np.float32) for _, each in state)]


def _quantised(planes: Planes, facts: Facts, like: Levels) -> Levels:
    if like.shape[2] < planes.shape[2]:
        planes = planes.mean(2, keepdims=True)
    part = np.clip(planes / np.float32(facts.input_range[1]), 0, 1)
    levels: Levels = np.rint(part * np.float32(_white(like))).astype(like.dtype)
    return levels


def _white(levels: Levels) -> int:
    return int(np.iinfo(levels.dtype).max)
