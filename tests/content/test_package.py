"""The package: what goes in comes out, and whatever is damaged is refused by a code."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dydca.content.grid import owners
from dydca.content.movie import package
from dydca.content.movie.package import MANIFEST, Movie, write_package
from dydca.errors import DydcaError, FileError
from tests.content.movies import write_movie


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Movie:
    return write_movie(tmp_path_factory.mktemp("movie"), chunks=(4, 3))


def test_what_goes_in_comes_out(movie: Movie) -> None:
    assert (movie.manifest.height, movie.manifest.width, movie.manifest.frames) == (66, 98, 7)
    assert movie.splits.shape == (7, movie.manifest.coarse)
    assert 0 < movie.splits.mean() < 1
    assert movie.manifest.size == (33, 49)
    layout = movie.layout(movie.splits[0])
    assert {patch[2:] for patch in layout.patches} == {(20, 24), (10, 12)}
    with movie.open_video() as video:
        frames = list(video.frames())
        seconds = [frame.time * video.format.time_base for frame in frames]
    assert frames[0].pixels.shape == (33, 49, 3)
    assert seconds == [time * movie.manifest.time_base for time in movie.times.tolist()]
    assert movie.weights(0) != movie.weights(1)
    with zipfile.ZipFile(movie.path) as archive:
        assert archive.testzip() is None
        assert archive.read("chunks/0001/weights.safetensors") == movie.weights(1)


def test_the_file_is_what_the_documentation_says(movie: Movie) -> None:
    """Read and laid out by docs/video.md alone, with nothing of dydca."""
    with zipfile.ZipFile(movie.path) as archive:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        manifest = json.loads(archive.read("manifest.json"))
        members = {name: archive.read(name) for name in archive.namelist() if name != "manifest.json"}
    assert manifest["format"] == 1
    assert manifest["sha256"] == {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    assert set(members) == {
        "video.mp4", "times.npy", "splits.npy", "report.json",
        "chunks/0000/weights.safetensors", "chunks/0001/weights.safetensors",
    }  # fmt: skip
    assert [(chunk["first"], chunk["frames"]) for chunk in manifest["chunks"]] == [(0, 4), (4, 3)]
    plan = manifest["chunks"][0]["plan"]
    height, width = (-(-manifest[side] // plan["scale"]) for side in ("height", "width"))
    rows, columns = plan["patch"]
    grid = [
        (min(top, height - rows), min(left, width - columns))
        for top in range(0, height, rows)
        for left in range(0, width, columns)
    ]
    splits = np.load(BytesIO(members["splits.npy"]))
    assert (splits.dtype, splits.shape) == (np.uint8, (7, -(-len(grid) // 8)))
    assert np.load(BytesIO(members["times.npy"])).dtype == np.int64
    for number, bits in enumerate(np.unpackbits(splits, axis=1)[:, : len(grid)]):
        patches = []
        for (top, left), hard in zip(grid, bits, strict=True):
            h, w = (-(-rows // 2), -(-columns // 2)) if hard else (rows, columns)
            tops, lefts = sorted({top, top + rows - h}), sorted({left, left + columns - w})
            patches += [(y, x, h, w) for y in tops for x in lefts]
        taken = np.full((height, width), -1)
        for i, (y, x, h, w) in reversed(list(enumerate(patches))):
            taken[y : y + h, x : x + w] = i
        layout = movie.layout(movie.splits[number])
        ours = owners(layout)
        assert [[*layout.patches[i]] for i in ours.flat] == [[*patches[i]] for i in taken.flat]


def test_the_layouts_are_compact(movie: Movie) -> None:
    with zipfile.ZipFile(movie.path) as archive:
        assert archive.getinfo(package.SPLITS).file_size <= 128 + 7 * -(-movie.manifest.coarse // 8)


def test_a_failed_write_leaves_the_old_package(movie: Movie, tmp_path: Path) -> None:
    path = tmp_path / "a.dydcav"
    path.write_bytes(b"old")
    with pytest.raises(FileError) as caught:
        write_package(path, movie.manifest, {"video.mp4": tmp_path / "absent"})
    assert caught.value.code == "DYD705"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.dydcav"]
    assert path.read_bytes() == b"old"


def test_any_damage_is_refused(movie: Movie, tmp_path: Path) -> None:
    whole = movie.path.read_bytes()
    path, generator = tmp_path / "a.dydcav", random.Random(0)
    path.write_bytes(whole)
    Movie(path)
    for _ in range(300):
        content = bytearray(whole)
        place = generator.randrange(len(content))
        match generator.randrange(4):
            case 0:
                content[place] ^= 1 << generator.randrange(8)
            case 1:
                del content[place:]
            case 2:
                del content[place : place + generator.randrange(1, 4000)]
            case 3:
                content[place:place] = generator.randbytes(generator.randrange(1, 40))
        path.write_bytes(content)
        refused = refusal(path)
        if refused is None:  # a bit that means nothing, such as a date in the archive
            damaged = Movie(path)
            assert damaged.manifest == movie.manifest
            assert all(damaged.read(name) == movie.read(name) for name in (package.VIDEO, package.TIMES))
        else:
            assert refused in ("DYD702", "DYD704")


def refusal(path: Path) -> str | None:
    try:
        Movie(path)
    except DydcaError as error:
        return error.code
    return None


def rewritten(movie: Movie, path: Path, change: Any) -> Path:
    with zipfile.ZipFile(movie.path) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == MANIFEST:
                values = json.loads(content)
                change(values)
                content = json.dumps(values).encode()
            target.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: m.update(format=2), "DYD704"),
        (lambda m: m.pop("sha256"), "DYD702"),
        (lambda m: m["sha256"].pop("video.mp4"), "DYD702"),
        (lambda m: m["sha256"].update({"video.mp4": "0" * 64}), "DYD702"),
        (lambda m: m.update(height=2**30, width=2**30), "DYD702"),
        (lambda m: m.update(height=-1), "DYD702"),
        (lambda m: m.update(time_base="1/0"), "DYD702"),
        (lambda m: m.update(chunks=[]), "DYD702"),
        (lambda m: m["chunks"][1].update(first=0), "DYD702"),
        (lambda m: m["chunks"][0]["plan"].update(gate="open"), "DYD702"),
        (lambda m: m["chunks"][0]["plan"].update(patch=[500, 500]), "DYD702"),
        (lambda m: m["chunks"][0].update(frames=True), "DYD702"),
    ],
)
def test_manifests_that_cannot_be_are_refused(movie: Movie, tmp_path: Path, change: Any, code: str) -> None:
    with pytest.raises(FileError) as caught:
        Movie(rewritten(movie, tmp_path / "a.dydcav", change))
    assert caught.value.code == code


def test_refuses_what_is_not_there_or_something_else(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        Movie(tmp_path / "none.dydcav")
    assert caught.value.code == "DYD701"
    (tmp_path / "text.dydcav").write_text("no archive")
    with pytest.raises(FileError) as caught:
        Movie(tmp_path / "text.dydcav")
    assert caught.value.code == "DYD702"


def test_an_array_of_objects_is_never_unpickled(movie: Movie, tmp_path: Path) -> None:
    members: dict[str, Path | bytes] = {
        name: movie.read(name) for name in (package.VIDEO, package.SPLITS, package.REPORT)
    }
    with (tmp_path / "times.npy").open("wb") as file:
        np.save(file, np.array([print] * 7, object), allow_pickle=True)
    members[package.TIMES] = tmp_path / "times.npy"
    write_package(tmp_path / "a.dydcav", movie.manifest, members)
    with pytest.raises(FileError) as caught:
        Movie(tmp_path / "a.dydcav")
    assert caught.value.code == "DYD702"
    assert "allow_pickle" in str(caught.value.got)
