"""Pictures of every kind are read upright and whole, written whole or not at all, and refused with a code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dydca.content import picture
from dydca.content.picture import Picture, read_picture, write_picture
from dydca.errors import DydcaError

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = RANDOM.integers(0, 256, (5, 7), np.uint8)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def test_colours_and_alpha_come_back(tmp_path: Path) -> None:
    for name, one in (("grey", COLOURS[..., :1]), ("colours", COLOURS), ("deep", COLOURS[..., :1].astype("u2") * 257)):
        path = tmp_path / f"{name}.png"
        write_picture(path, Picture(one))
        again = read_picture(path)
        assert again.colours.dtype == one.dtype
        np.testing.assert_array_equal(again.colours, one)
        assert again.alpha is None
    for one in (COLOURS[..., :1], COLOURS):
        write_picture(tmp_path / "alpha.png", Picture(one, ALPHA))
        again = read_picture(tmp_path / "alpha.png")
        np.testing.assert_array_equal(again.colours, one)
        np.testing.assert_array_equal(again.alpha, ALPHA)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".png"] * 4


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV"])
def test_other_kinds_become_grey_or_colours(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS).convert(mode)
    path = saved(
        tmp_path / ("p.tif" if mode in ("CMYK", "YCbCr") else "p.png"), image.convert("RGB") if mode == "HSV" else image
    )
    read = read_picture(path)
    assert read.size == (5, 7)
    assert read.levels == 255
    want = np.asarray(image.convert("L" if mode in ("1", "L") else "RGB"))
    assert np.abs(read.colours.squeeze().astype(int) - want).max() <= (2 if mode in ("YCbCr", "HSV") else 0)


def test_a_transparent_palette_has_alpha(tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS).quantize(8)
    read = read_picture(saved(tmp_path / "p.png", image, transparency=3))
    np.testing.assert_array_equal(read.alpha, np.where(np.asarray(image) == 3, 0, 255))


def test_a_turned_camera_gives_an_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    read = read_picture(saved(tmp_path / "p.png", Image.fromarray(COLOURS), exif=exif))
    np.testing.assert_array_equal(read.colours, np.rot90(COLOURS, -1))


def test_a_colour_profile_stays_with_its_colours(tmp_path: Path) -> None:
    path = saved(tmp_path / "p.png", Image.fromarray(COLOURS), icc_profile=b"profile")
    write_picture(tmp_path / "q.png", read_picture(path))
    assert read_picture(tmp_path / "q.png").profile == b"profile"
    path = saved(tmp_path / "p.tif", Image.fromarray(COLOURS).convert("CMYK"), icc_profile=b"profile")
    assert read_picture(path).profile is None


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    for ending in ("png", "jpg", "gif", "tif", "webp", "bmp"):
        noise = Image.fromarray(RANDOM.integers(0, 256, (40, 50, 3), np.uint8))
        data = saved(tmp_path / f"whole.{ending}", noise).read_bytes()
        for part in (data[:0], data[:10], data[: len(data) // 2], b"\0" * 40 + data[40:]):
            (tmp_path / f"part.{ending}").write_bytes(part)
            with pytest.raises(DydcaError, match="DYD801: the file is damaged or no picture"):
                read_picture(tmp_path / f"part.{ending}")


def test_what_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DydcaError, match="DYD701"):
        read_picture(tmp_path / "absent.png")
    with pytest.raises(DydcaError, match="DYD701"):
        read_picture(tmp_path)
    with pytest.raises(DydcaError, match="DYD831"):
        read_picture(saved(tmp_path / "float.tif", Image.fromarray(COLOURS[..., 0].astype(np.float32))))
    path = saved(tmp_path / "p.png", Image.fromarray(COLOURS))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DydcaError, match="DYD830: a picture is too large"):
        read_picture(path)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DydcaError, match="DYD901"):
        write_picture(tmp_path / "p.txt", Picture(COLOURS))
    with pytest.raises(DydcaError, match="DYD832"):
        write_picture(tmp_path / "p.jpg", Picture(COLOURS, ALPHA))
    with pytest.raises(DydcaError, match="DYD705"):
        write_picture(tmp_path / "absent" / "p.png", Picture(COLOURS))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(picture, "import_module", _missing)
    with pytest.raises(DydcaError, match="DYD902"):
        read_picture(tmp_path / "p.png")


def _missing(name: str) -> None:
    raise ImportError(name)
