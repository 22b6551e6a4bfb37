"""Upscales a picture with a compiled network; needs dydca, numpy and Pillow, neither torch nor TVM.

    pip install numpy pillow && pip install --no-deps dydca
    python upscale.py net.dydca in.png out.png

The network has one float32 input and output, values 0..1. The picture is cut into tiles of the first declared patch;
the last ones of a row or column are moved back inside, so it must be at least as large as a tile.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import dydca

Array = NDArray[np.float32]


def starts(size: int, tile: int) -> list[int]:
    """Where the tiles of an axis begin."""
    return [min(start, size - tile) for start in range(0, size, tile)]


def upscale(network: dydca.Network, picture: Array) -> Array:
    """A picture [3, H, W] of values 0..1, as many times larger as the network makes its patch."""
    (patch, *_) = network.manifest["patches"]  # type: ignore[misc]  # JSON
    (_, _, height, width), (_, _, large, _) = patch["inputs"][0], patch["outputs"][0]
    scale, (_, h, w) = large // height, picture.shape
    corners = [(y, x) for y in starts(h, height) for x in starts(w, width)]
    tiles = network.run_many([picture[None, :, y : y + height, x : x + width] for y, x in corners])
    result = np.empty((3, h * scale, w * scale), np.float32)
    for (y, x), tile in zip(corners, tiles, strict=True):
        result[:, y * scale : (y + height) * scale, x * scale : (x + width) * scale] = np.asarray(tile)[0]
    return result


def main(net: str, source: str, target: str) -> None:
    """Reads, upscales, writes."""
    picture = np.asarray(Image.open(source).convert("RGB"), np.float32).transpose(2, 0, 1) / 255
    with dydca.load(net) as network:
        large = upscale(network, picture)
    Image.fromarray((large.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)).save(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
