"""Pictures of any kind in and out: grey, RGB, palettes, CMYK, alpha, 16 bits, turned by EXIF, damaged."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dydca.content.files import write_whole
from dydca.errors import ContentError, FileError, UsageError

Levels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

_GREY_16 = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_KINDS = {"1": "L", "L": "L", "La": "LA", "LA": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}
_OPAQUE = ("P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
MOST_PIXELS = 1 << 28
"""Of an enlarged picture; beyond it nobody's intention is to be assumed."""


@dataclass(frozen=True)
class Picture:
    """A picture as integers.

    Attributes:
        colours: uint8 or, of grey pictures only, uint16 ``[H, W, C]`` with C = 1 for grey, 3 for RGB.
        alpha: uint8 ``[H, W]``; None if the picture is opaque.
        profile: The ICC profile of the colours; None for the usual sRGB.
    """

    colours: Levels
    alpha: NDArray[np.uint8] | None = None
    profile: bytes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.colours.shape[0], self.colours.shape[1]

    @property
    def levels(self) -> int:
        """The value of white: 255 or 65535."""
        return int(np.iinfo(self.colours.dtype).max)


def read_picture(path: Path) -> Picture:
    """Read a picture upright, whatever EXIF says about the camera; of several frames the first.

    Palettes, CMYK and other colour spaces become RGB (with alpha, if the palette has it). Pillow reads colours of 16
    bits as 8; grey keeps its 16.

    Raises:
        FileError: DYD701, it does not exist or may not be read.
        ContentError: DYD801, it is damaged or no picture; DYD830, it is absurdly large; DYD831, its values are
            no levels of grey or colour.
        UsageError: DYD902, Pillow is not installed.
    """
    image, operations = pillow("Image"), pillow("ImageOps")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of faults beside the pixels, as in EXIF
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(path) as opened:
                return _picture(operations.exif_transpose(opened), path)
    except (image.DecompressionBombError, image.DecompressionBombWarning) as error:
        raise ContentError("DYD830", "a picture is too large", where=str(path), got=str(error)) from error
    except OSError as error:
        if error.errno is not None:
            raise FileError("DYD701", "a picture cannot be read", where=str(path), got=error.strerror) from error
        raise _damaged(path, error) from error
    except (SyntaxError, ValueError, EOFError, OverflowError, MemoryError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> ContentError:
    return ContentError("DYD801", "the file is damaged or no picture", where=str(path), got=str(error) or None)


def _picture(image: Any, path: Path) -> Picture:
    profile = image.info.get("icc_profile")
    if image.mode in _GREY_16:
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            got = f"grey from {grey.min()} to {grey.max()}"
            raise ContentError("DYD831", "a picture of this kind", where=str(path), got=got, want="0 to 65535")
        return Picture(grey.astype(np.uint16)[..., None], None, profile)
    kind = _KINDS.get(image.mode) or ("RGB" if image.mode in _OPAQUE else None)
    if kind is None:
        want = "grey, colours or a palette"
        raise ContentError("DYD831", "a picture of this kind", where=str(path), got=f"mode {image.mode}", want=want)
    if "transparency" in image.info:
        kind = "LA" if kind == "L" else "RGBA"
    values = np.asarray(image.convert(kind))
    if values.ndim == 2:
        return Picture(values[..., None], None, profile)
    profile = profile if image.mode in ("P", "RGB", "RGBA", "L", "LA") else None  # that of CMYK fits no RGB
    return Picture(values, None, profile) if kind == "RGB" else Picture(values[..., :-1], values[..., -1], profile)


def format_for(path: Path) -> str:
    """Pillow's name of the format that a file's ending asks for.

    Raises:
        UsageError: DYD901, no format has this ending; DYD902, Pillow is not installed.
    """
    image = pillow("Image")
    image.init()
    known: dict[str, str] = {ending: name for ending, name in image.EXTENSION.items() if name in image.SAVE}
    if path.suffix.lower() not in known:
        fix = "name the output .png, .jpg, .webp or .tif"
        raise UsageError("DYD901", "the output's ending is no picture's", got=path.name, fix=fix)
    return known[path.suffix.lower()]


def refuse_loss(path: Path, picture: Picture) -> None:
    """Refuse a format that cannot hold a picture, by its first pixel alone.

    Raises:
        ContentError: DYD832, the format holds no alpha or no 16 bits.
        UsageError: DYD901, no format has this ending; DYD902, Pillow is not installed.
    """
    alpha = None if picture.alpha is None else picture.alpha[:1, :1]
    drawn, kind = _drawn(Picture(picture.colours[:1, :1], alpha)), format_for(path)
    try:
        drawn.save(BytesIO(), format=kind)
    except OSError as error:
        got, what = f"{drawn.mode} in {kind}", "the format cannot hold the picture"
        raise ContentError("DYD832", what, where=str(path), got=got) from error


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture in the format of the file's ending, whole or not at all.

    Raises:
        FileError: DYD705, the file cannot be written.
        ContentError: DYD832, the format holds no alpha or no 16 bits.
        UsageError: DYD901, no format has this ending; DYD902, Pillow is not installed.
    """
    refuse_loss(path, picture)
    drawn, kind = _drawn(picture), format_for(path)
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    write_whole(path, lambda partial: drawn.save(partial, format=kind, icc_profile=picture.profile, **options))


def _drawn(picture: Picture) -> Any:
    image = pillow("Image")
    drawn = image.fromarray(picture.colours if picture.colours.shape[2] == 3 else picture.colours[..., 0])
    if picture.alpha is not None:
        drawn.putalpha(image.fromarray(picture.alpha))
    return drawn


def pillow(module: str) -> Any:
    """A module of Pillow.

    Raises:
        UsageError: DYD902, it is not installed.
    """
    try:
        return import_module(f"PIL.{module}")
    except ImportError as error:
        raise UsageError("DYD902", "pictures need Pillow", fix="pip install 'dydca[content]'") from error
