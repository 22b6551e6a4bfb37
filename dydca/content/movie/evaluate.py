"""How close packages come to the video they were made of, frame by frame and by class of patch.

PSNR is ``10 log10(255^2 / mean squared error)``; SSIM that of Wang et al. 2004 (11x11 Gaussian window, sigma 1.5,
K1 0.01, K2 0.03, range 255; the mean over the map where the window fits). Y is the luma of `dydca.content.score.luma`,
RGB one mean over the three colours. All are of whole stitched frames as they are played, uint8 and without a border
left out, and averaged over frames. A class's PSNR is that of the mean squared error over all its pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dydca.content.grid import Layout, owners
from dydca.content.movie.engines import compiled
from dydca.content.movie.package import Movie
from dydca.content.movie.play import enlarged_frames
from dydca.content.pixels import Frame
from dydca.content.resample import upscale
from dydca.content.score import Plane, colours, decibels, luma, psnr, ssim
from dydca.content.video import TimedFrame, Video
from dydca.errors import ContentError

BICUBIC = "bicubic"


@dataclass
class Version:
    """One way of enlarging, measured.

    Attributes:
        name: Of the package's file, or `BICUBIC`.
        gmacs: Mean 10^9 multiply-adds of a frame; 0 for bicubic.
        psnr_y: dB for each frame.
        psnr_rgb: Likewise.
        ssim_y: Likewise, -1..1.
        ssim_rgb: Likewise.
    """

    name: str
    gmacs: float
    psnr_y: list[float] = field(default_factory=list)
    psnr_rgb: list[float] = field(default_factory=list)
    ssim_y: list[float] = field(default_factory=list)
    ssim_rgb: list[float] = field(default_factory=list)
    _squared: dict[str, float] = field(default_factory=dict)
    _pixels: dict[str, int] = field(default_factory=dict)

    def measure(self, candidate: Frame, original: Frame, classes: dict[str, NDArray[np.bool_]]) -> None:
        """Add a frame; `classes` are masks ``[H, W]``."""
        self.psnr_y.append(psnr(candidate, original))
        self.psnr_rgb.append(psnr(candidate, original, of=colours))
        self.ssim_y.append(ssim(candidate, original))
        self.ssim_rgb.append(ssim(candidate, original, of=colours))
        squared: Plane = (luma(candidate) - luma(original)) ** 2
        for name, mask in classes.items():
            self._squared[name] = self._squared.get(name, 0.0) + float(squared[mask].sum())
            self._pixels[name] = self._pixels.get(name, 0) + int(mask.sum())

    @property
    def classes(self) -> dict[str, float]:
        """PSNR-Y in dB for each class that has pixels."""
        return {name: decibels(self._squared[name] / pixels) for name, pixels in self._pixels.items() if pixels}

    def means(self) -> dict[str, float]:
        """Over the frames."""
        names = ("psnr_y", "psnr_rgb", "ssim_y", "ssim_rgb")
        return {name: float(np.mean(getattr(self, name))) for name in names}

    def to_dict(self) -> dict[str, object]:
        """As JSON values."""
        frames = [round(value, 3) for value in self.psnr_y]
        means, classes = self.means(), self.classes
        return {
            "name": self.name,
            "gmac_per_frame": self.gmacs,
            **means,
            "classes": classes,
            "psnr_y_of_frames": frames,
        }


@dataclass(frozen=True)
class Example:
    """A frame in the middle, to be looked at."""

    number: int
    original: Frame
    enlarged: dict[str, Frame]
    layout: Layout


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured.

    Attributes:
        original: Its file.
        numbers: Of the frames measured.
        hard: Part of the coarse patches of the first package that are cut into quadrants.
        scale: High resolution to low.
        versions: Bicubic, then the packages in the order given.
        example: To be looked at.
    """

    original: str
    numbers: list[int]
    hard: float
    scale: int
    versions: list[Version]
    example: Example

    def to_dict(self) -> dict[str, object]:
        """As JSON values."""
        versions = [version.to_dict() for version in self.versions]
        return {"original": self.original, "frames": self.numbers, "hard_share": self.hard, "versions": versions}


def evaluate(
    original: Path,
    movies: Sequence[Movie],
    every: int,
    threads: int | None,
    watch: Callable[[int, int], object] = lambda done, total: None,
) -> Evaluation:
    """Measure packages made of one video, and bicubic enlargement of the first one's small frames.

    Args:
        original: That video.
        movies: At least one.
        every: Measure each so-many-th frame.
        threads: Of the networks.
        watch: Told how many frames are done, of how many.

    Raises:
        ContentError: DYD801, a video cannot be decoded; DYD809, a package was not made of this video.
        FileError, RunError: As playing the packages.
        UsageError: DYD902, what SSIM needs is not installed.
    """
    first = movies[0]
    names = _names(movies)
    versions = [Version(BICUBIC, 0.0), *(Version(name, movie.gmacs) for name, movie in zip(names, movies, strict=True))]
    numbers = list(range(0, first.manifest.frames, every))
    with ExitStack() as stack:
        video = stack.enter_context(Video(original))
        _check(video, movies)
        small = stack.enter_context(first.open_video())
        played = [_played(movie, every, threads, stack) for movie in movies]
        for number, truth, low, *enlarged in zip(
            numbers, _every(video, every), _every(small, every), *played, strict=False
        ):
            pixels = truth.pixels
            bicubic = upscale(low.pixels, first.manifest.scale)[: pixels.shape[0], : pixels.shape[1]]
            candidates = dict(zip([BICUBIC, *names], [bicubic, *(frame.pixels for _, frame in enlarged)], strict=True))
            classes = _classes(first, number)
            for version, candidate in zip(versions, candidates.values(), strict=True):
                version.measure(candidate, pixels, classes)
            if number == numbers[len(numbers) // 2]:
                example = Example(number, pixels, candidates, first.layout(first.splits[number]))
            watch(len(versions[0].psnr_y), len(numbers))
    if (got := len(versions[0].psnr_y)) != len(numbers):
        raise _mismatch(original, f"{got} frames", f"{len(numbers)} frames")
    return Evaluation(str(original), numbers, float(first.splits.mean()), first.manifest.scale, versions, example)


def _played(movie: Movie, every: int, threads: int | None, stack: ExitStack) -> Iterator[tuple[int, TimedFrame]]:
    frames = enumerate(stack.enter_context(movie.open_video()).frames())
    return enlarged_frames(movie, islice(frames, 0, None, every), compiled(movie, threads))


def _every(video: Video, every: int) -> Iterator[TimedFrame]:
    return islice(video.frames(), 0, None, every)


def _names(movies: Sequence[Movie]) -> list[str]:
    """The names of the files, the folder added where they would be the same."""
    stems = [movie.path.stem for movie in movies]
    return [stem if stems.count(stem) == 1 else str(movie.path) for stem, movie in zip(stems, movies, strict=True)]


def _check(video: Video, movies: Sequence[Movie]) -> None:
    for movie in movies:
        height, width = movie.manifest.height, movie.manifest.width
        if video.format[:2] != (height, width):
            got = f"{video.format.width}x{video.format.height}"
            raise _mismatch(movie.path, got, f"{width}x{height}")
        if movie.manifest.scale != movies[0].manifest.scale or movie.manifest.frames != movies[0].manifest.frames:
            raise _mismatch(movie.path, "another scale or length", "those of the first package")


def _mismatch(path: Path, got: str, want: str) -> ContentError:
    return ContentError("DYD809", "package and video do not belong together", where=str(path), got=got, want=want)


def _classes(movie: Movie, number: int) -> dict[str, NDArray[np.bool_]]:
    """Which pixels of the enlarged frame lie in patches that are hard, and which in easy ones."""
    manifest, split = movie.manifest, movie.splits[number]
    coarse = movie.layout(np.zeros_like(split))
    hard = split[owners(coarse)].repeat(manifest.scale, 0).repeat(manifest.scale, 1)
    hard = hard[: manifest.height, : manifest.width]
    return {"easy": ~hard, "hard": hard}
