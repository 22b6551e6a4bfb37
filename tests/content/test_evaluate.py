"""Measuring packages: the numbers of the definitions, for the frames they are of, and reports that stand alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dydca.cli import main
from dydca.content.movie import evaluate as module
from dydca.content.movie.evaluate import BICUBIC, Evaluation, evaluate
from dydca.content.movie.package import Movie
from dydca.content.movie.report_html import table, write_html
from dydca.content.resample import upscale
from dydca.content.score import colours, psnr, ssim
from dydca.content.video import read_frames
from dydca.errors import ContentError
from tests.content.clips import repeating, write_clip
from tests.content.movies import write_movie


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Movie:
    return write_movie(tmp_path_factory.mktemp("movie"), chunks=(4, 3))


@pytest.fixture(autouse=True)
def _without_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "compiled", lambda movie, threads: repeating(2))


def original(movie: Movie) -> Path:
    return movie.path.with_name("clip.mp4")


@pytest.fixture
def evaluation(movie: Movie) -> Evaluation:
    return evaluate(original(movie), [movie], 2, None)


def test_the_figures_are_those_of_the_frames(movie: Movie, evaluation: Evaluation) -> None:
    truth = list(read_frames(original(movie)))[::2]
    with movie.open_video() as video:
        low = [frame.pixels for frame in video.frames()][::2]
    made = {
        BICUBIC: [upscale(frame, 2)[:66, :98] for frame in low],
        "movie": [frame.repeat(2, 0).repeat(2, 1)[:66, :98] for frame in low],
    }
    assert evaluation.numbers == [0, 2, 4, 6]
    assert [version.name for version in evaluation.versions] == list(made)
    for version in evaluation.versions:
        pairs = list(zip(made[version.name], truth, strict=True))
        assert version.psnr_y == pytest.approx([psnr(*pair) for pair in pairs])
        assert version.psnr_rgb == pytest.approx([psnr(*pair, of=colours) for pair in pairs])
        assert version.ssim_y == pytest.approx([ssim(*pair) for pair in pairs])
        assert version.ssim_rgb == pytest.approx([ssim(*pair, of=colours) for pair in pairs])


def test_classes_share_out_the_error_of_the_frame(movie: Movie) -> None:
    (version, _) = evaluate(original(movie), [movie], 7, None).versions
    shares = {name: version._pixels[name] for name in ("easy", "hard")}
    assert sum(shares.values()) == 66 * 98
    mean = sum(shares[name] * 10 ** (-value / 10) for name, value in version.classes.items()) / (66 * 98)
    assert -10 * np.log10(mean) == pytest.approx(version.psnr_y[0])


def test_refuses_another_video(movie: Movie, tmp_path: Path) -> None:
    for name, frames, size in [("short.mp4", 3, (66, 98)), ("small.mp4", 7, (64, 98))]:
        with pytest.raises(ContentError) as caught:
            evaluate(write_clip(tmp_path / name, frames, size), [movie], 1, None)
        assert caught.value.code == "DYD809"


def test_packages_of_the_same_name_are_told_apart(movie: Movie, tmp_path: Path) -> None:
    copy = tmp_path / movie.path.name
    copy.write_bytes(movie.path.read_bytes())
    names = [version.name for version in evaluate(original(movie), [movie, Movie(copy)], 4, None).versions]
    assert names == [BICUBIC, str(movie.path), str(copy)]


def test_the_page_needs_nothing_from_elsewhere(evaluation: Evaluation, tmp_path: Path) -> None:
    write_html(tmp_path / "report.html", evaluation)
    page = (tmp_path / "report.html").read_text()
    assert set(re.findall(r'(?:src|href)="(.{10})', page)) == {"data:image"}
    for row in table(evaluation):
        assert all(f">{cell}</t" in page for cell in row)
    assert "Wang et al. 2004" in page


def test_the_command_writes_everything(movie: Movie, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {
        name: tmp_path / f"{name}.{kind}" for name, kind in [("json", "json"), ("picture", "png"), ("plot", "png")]
    }
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    assert main(["evaluate", str(movie.path), "--original", str(original(movie)), "--every", "3", *options]) == 0
    assert re.match(r"version +GMAC a frame +PSNR-Y dB", capsys.readouterr().out)
    figures = json.loads(files["json"].read_text())
    assert [len(version["psnr_y_of_frames"]) for version in figures["versions"]] == [3, 3]
    for name in ("picture", "plot"):
        with Image.open(files[name]) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 50
