"""A picture through a network: in tiles as in one piece, bit for bit; every kind; and what the command refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import dydca.models
from dydca import cli
from dydca.content.enlarge import Enlarger
from dydca.content.picture import Picture, read_picture
from dydca.content.reach import needs_of
from dydca.content.tiles import least_pixels
from dydca.errors import DydcaError
from dydca.models.registry import Facts


def picture(height: int, width: int, colours: int = 3) -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 256, (height, width, colours), np.uint8))


def network(name: str, scale: int) -> tuple[nn.Module, Facts]:
    torch.manual_seed(0)
    return dydca.models.create(name, scale).eval(), dydca.models.facts(name, scale)


def eager(model: nn.Module, facts: Facts, given: Picture) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """In 0..255, neither clamped nor rounded."""
    top = facts.input_range[1]
    x = torch.from_numpy(given.colours.transpose(2, 0, 1).copy()).float()[None] * (top / 255)
    with torch.no_grad():
        y = model(x)
    y = y[0] if isinstance(y, tuple) else y
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = y[0].permute(1, 2, 0).double().numpy()
    return values * (255 / top)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scale", "height", "width"),
    [("elsr", 2, 21, 230), ("etds_m5c16", 3, 21, 420), ("rt4ksr_block_dconvbase", 2, 22, 620)],
)
def test_tiles_are_the_picture_in_one_piece_bit_for_bit(name: str, scale: int, height: int, width: int) -> None:
    model, facts = network(name, scale)
    given, counted = picture(height, width), list[int]()
    needs = needs_of(model, facts, (height, width))
    least = least_pixels((height, width), needs.reach) * needs.bytes_per_pixel / 2**20
    whole = Enlarger(model, facts, threads=1)(given)
    cut = Enlarger(model, facts, least, threads=1, bar=lambda done, *_: counted.append(done))(given)
    assert len(counted) > 2
    np.testing.assert_array_equal(cut.colours, whole.colours)
    assert np.abs(np.clip(eager(model, facts, given), 0, 255) - whole.colours).max() <= 0.51
    with pytest.raises(DydcaError, match="DYD833"):
        Enlarger(model, facts, least * 0.9, threads=1)(given)


def test_tiles_take_the_route_of_the_picture() -> None:
    needs = needs_of(*network("dydca_wdsr", 2), (100, 80))
    assert needs.cover(((1, 3, 72, 80),))
    assert not needs.cover(((1, 3, 60, 80),))


def test_every_kind_of_picture_is_enlarged_in_its_kind() -> None:
    model, facts = network("elsr", 2)
    colours = picture(9, 11)
    opaque = Enlarger(model, facts, threads=1)(colours)
    alpha = np.random.default_rng(1).integers(0, 256, (9, 11), np.uint8)
    grey = Picture(colours.colours[..., :1].astype(np.uint16) * 257, alpha)
    deep = Enlarger(model, facts, threads=1)(grey)
    assert opaque.colours.shape == (18, 22, 3)
    assert deep.colours.shape == (18, 22, 1)
    assert deep.colours.dtype == np.uint16
    assert deep.alpha is not None
    want = Image.fromarray(alpha).resize((22, 18), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(deep.alpha, np.asarray(want))
    repeated = Picture(np.tile(colours.colours[..., :1].astype(np.uint8), (1, 1, 3)))
    mean = np.clip(eager(model, facts, repeated).mean(2) * 257, 0, 65535)
    assert np.abs(mean - deep.colours[..., 0]).max() <= 0.6


def test_a_network_for_luma_leaves_the_colours_to_bicubic() -> None:
    model, facts = network("ecbsr_y_m4c8_merged", 2)
    given = picture(8, 10)
    made = Enlarger(model, facts, threads=1)(given)
    ycbcr = np.asarray(Image.fromarray(given.colours).convert("YCbCr"))
    luma = np.clip(eager(model, facts, Picture(ycbcr[..., :1])), 0, 255)
    got = np.asarray(Image.fromarray(made.colours).convert("YCbCr")).astype(float)
    inside = ((made.colours > 0) & (made.colours < 255)).all(2)  # others were no colours and had to be cut
    assert np.abs(got[..., 0] - luma[..., 0])[inside].max() <= 1.6


def test_a_recurrent_network_begins_a_sequence() -> None:
    model, facts = network("swrn", 4)
    given = picture(6, 7)
    made = Enlarger(model, facts, threads=1)(given)
    x = torch.from_numpy(given.colours.transpose(2, 0, 1).copy()).float()[None]
    with torch.no_grad():
        want = model(x.repeat(1, 3, 1, 1), torch.zeros(1, 32, 6, 7))[0]
    assert np.abs(want[0].permute(1, 2, 0).clamp(0, 255).numpy() - made.colours).max() <= 0.51


def test_an_absurd_result_is_refused_before_any_work() -> None:
    model, facts = network("bicubic", 4)
    huge = Picture(np.zeros((5000, 5000, 3), np.uint8))
    with pytest.raises(DydcaError, match="DYD830"):
        Enlarger(model, facts)(huge)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, _ = network("elsr", 2)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    Image.fromarray(picture(9, 11).colours).save(tmp_path / "photo.bmp")

    def run(*changed: str) -> int:
        given = {"--model": "elsr", "--scale": "2", "--weights": str(tmp_path / "weights.safetensors")}
        given |= {"-o": str(tmp_path / "out.png"), **dict(zip(changed[::2], changed[1::2], strict=True))}
        return cli.main(["upscale", str(tmp_path / "photo.bmp"), *(text for pair in given.items() for text in pair)])

    assert run() == 0
    assert read_picture(tmp_path / "out.png").size == (18, 22)
    before = (tmp_path / "out.png").stat()
    for changed, code in {
        ("--model", "elsr5"): "DYD901",
        ("--scale", "3"): "DYD901",
        ("--weights", str(tmp_path / "absent")): "DYD701",
        ("--weights", str(tmp_path / "photo.bmp")): "DYD702",
        ("-o", str(tmp_path / "out.txt")): "DYD901",
        ("-o", str(tmp_path / "out.xbm")): "DYD832",
        ("-o", str(tmp_path / "absent" / "out.png")): "DYD705",
    }.items():
        capsys.readouterr()
        assert run(*changed) == 1
        assert code in capsys.readouterr().err
    assert (tmp_path / "out.png").stat() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.png", "photo.bmp", "weights.safetensors"]
    assert cli.main(["upscale", str(tmp_path / "photo.bmp"), "--model", "elsr", "--scale", "2", "-o", "x.png"]) == 1
    assert "--weights" in capsys.readouterr().err
