"""Overfitting: the package that was asked for, the same in any number of processes and after any interruption."""

from __future__ import annotations

import json
import os
import pickle
import sys
import types
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dydca.cli import main
from dydca.content.files import json_text
from dydca.content.movie.evaluate import evaluate
from dydca.content.movie.networks import Gate
from dydca.content.movie.package import Movie, weights_member
from dydca.content.movie.weights import fill, save_weights
from dydca.content.pixels import to_frame, to_planes
from dydca.content.resample import upscale
from dydca.content.training import loop
from dydca.content.training.bicubic_start import TAIL_GAIN, start_from_bicubic
from dydca.content.training.chunk import BOOTSTRAP
from dydca.content.training.loop import Progress
from dydca.content.training.overfit import Workers, overfit
from dydca.content.training.pools import open_pool
from dydca.content.training.settings import Settings
from dydca.errors import CODES, ContentError, DydcaError, UsageError
from dydca.models.dydca_wdsr import WDSR, GatedWDSR
from tests.content.clips import moving, times_of, write_clip

QUICK = Settings(steps=6, bootstrap_steps=4, batch=4, patch=(20, 24), psnr_threshold=30.0)


ALONE = Workers(threads=1)


class Silent:
    """Watches nothing."""

    def prepared(self, frames: int) -> None: ...
    def trained(self, chunks: int, progress: Progress) -> None: ...
    def compiling(self, chunk: int, target: str) -> None: ...


def make(folder: Path, settings: Settings = QUICK, name: str = "movie", workers: Workers = ALONE) -> Movie:
    overfit(folder / "clip.mp4", folder / f"{name}.dydcav", settings, Silent(), workers, targets=())
    assert not list(folder.glob(".*"))
    return Movie(folder / f"{name}.dydcav")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder / "clip.mp4", frames=10, size=(66, 98), sound="aac")
    return folder


@pytest.fixture(scope="module")
def movie(folder: Path) -> Movie:
    return make(folder)


@pytest.mark.slow
def test_training_makes_it_better_than_bicubic(folder: Path) -> None:
    settings = replace(QUICK, steps=60, bootstrap_steps=30, batch=8, crf=0)
    overfit(folder / "clip.mp4", folder / "long.dydcav", settings, Silent(), ALONE, targets=())
    evaluation = evaluate(folder / "clip.mp4", [Movie(folder / "long.dydcav")], 5, 1)
    bicubic, ours = (np.mean(version.psnr_y) for version in evaluation.versions)
    assert ours > bicubic + 0.5


def test_the_fine_half_is_hard(movie: Movie) -> None:
    layout = movie.layout(np.zeros(movie.manifest.coarse, bool))
    left = [patch.left + patch.width <= 25 for patch in layout.patches]
    assert movie.splits[:, ~np.array(left)].mean() > movie.splits[:, left].mean()
    assert movie.splits.any()


def test_the_same_seed_gives_the_same_weights(folder: Path, movie: Movie) -> None:
    assert make(folder, name="again").weights(0) == movie.weights(0)
    assert make(folder, replace(QUICK, seed=1), "other").weights(0) != movie.weights(0)


@pytest.mark.parametrize("gate", ["learned", "none"])
def test_other_gates(folder: Path, movie: Movie, gate: Gate) -> None:
    other = make(folder, replace(QUICK, gate=gate), gate)
    assert not other.splits.any()
    assert other.manifest.chunks[0].plan.sizes == ((20, 24),)
    assert other.gmacs == pytest.approx(movie.gmacs, rel=0.15)
    if gate == "learned":
        assert routed_deep(other) == movie.splits.sum()


def routed_deep(movie: Movie) -> int:
    """How many coarse patches of the movie the gate finds hard."""
    model = fill(movie.manifest.chunks[0].plan.build(), movie.weights(0), "test")
    assert isinstance(model, GatedWDSR)
    layout = movie.layout(np.zeros(movie.manifest.coarse, bool))
    with movie.open_video() as video, torch.no_grad():
        planes = [torch.from_numpy(to_planes(frame.pixels)) for frame in video.frames()]
        scores = [model.score(frame[(..., *patch.window())]) for frame in planes for patch in layout.patches]
    return sum(score.item() > 0 for score in scores)


@pytest.mark.parametrize(("scale", "size"), [(3, (61, 47)), (4, (75, 50))])
def test_other_scales_and_odd_sizes(tmp_path: Path, scale: int, size: tuple[int, int]) -> None:
    write_clip(tmp_path / "clip.mp4", frames=2, size=size, pixels="yuv444p")
    movie = make(tmp_path, replace(QUICK, scale=scale, patch=None, steps=2))
    assert (movie.manifest.height, movie.manifest.width) == size
    model = movie.manifest.chunks[0].plan.build()
    low_height, low_width = movie.manifest.size
    assert model(torch.rand(1, 3, low_height, low_width)).shape == (1, 3, low_height * scale, low_width * scale)


@pytest.mark.parametrize("name", ["grey", "ten bit", "no sound", "one frame", "portrait", "tiny", "uneven"])
def test_videos_as_people_have_them(tmp_path: Path, name: str) -> None:
    path = tmp_path / "clip.mp4"
    match name:
        case "grey":
            write_clip(path, pixels="gray")
        case "ten bit":
            write_clip(path, pixels="yuv420p10le", codec="libx265")
        case "one frame":
            write_clip(path, frames=1, sound="aac")
        case "portrait":
            write_clip(path, size=(130, 40))
        case "tiny":
            write_clip(path, size=(4, 6))
        case "uneven":
            write_clip(path, times=[0, 13, 60, 61, 500, 2000], sound="aac")
        case _:
            write_clip(path)
    movie = make(tmp_path, replace(QUICK, steps=2, bootstrap_steps=2, patch=None))
    assert movie.manifest.frames == len(times_of(path))
    with movie.open_video() as video:
        times = [frame.time * video.format.time_base for frame in video.frames()]
    assert times == times_of(path)


@pytest.mark.parametrize("name", ["torn", "text", "absent", "too small", "half a pixel"])
def test_what_is_no_use_is_refused_and_leaves_nothing(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = tmp_path / "clip.mp4", tmp_path / "movie.dydcav"
    output.write_bytes(b"good")
    match name:
        case "torn":
            whole = write_clip(path, frames=60, sound="aac").read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
        case "text":
            path.write_text("no video")
        case "too small":
            write_clip(path, size=(2, 40))
        case "half a pixel":
            write_clip(path, size=(40, 2))
    assert main(["overfit", str(path), "-o", str(output), "--steps", "1", "--bootstrap-steps", "1"]) == 1
    printed = capsys.readouterr().err
    code = {"absent": "DYD701", "too small": "DYD802", "half a pixel": "DYD802"}.get(name, "DYD801")
    assert code in printed
    assert "Traceback" not in printed
    assert output.read_bytes() == b"good"


@pytest.mark.slow
def test_chunks_are_trained_alike_by_one_process_and_by_two(folder: Path) -> None:
    settings = replace(QUICK, chunk=0.13)
    one = make(folder, settings, "one")
    two = make(folder, settings, "two", Workers(processes=2, threads=1))
    assert [chunk.frames for chunk in one.manifest.chunks] == [3, 3, 4]
    for number in range(3):
        assert one.read(weights_member(number)) == two.read(weights_member(number))
    assert one.weights(0) != one.weights(1)
    np.testing.assert_array_equal(one.splits, two.splits)


def test_a_cluster_gets_the_same_jobs(folder: Path, movie: Movie, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for Ray: what `pools` uses of it, done at once in this process."""
    asked: list[Any] = []

    class Remote:
        def __init__(self, work: Any) -> None:
            self.work, self.done = work, Future[None]()

        def options(self, num_cpus: int) -> Remote:
            asked.append(num_cpus)
            return self

        def remote(self, job: Any) -> Remote:
            self.done.set_result(self.work(pickle.loads(pickle.dumps(job))))
            return self

        def future(self) -> Future[None]:
            return self.done

    ray = types.ModuleType("ray")
    ray.init = lambda address, log_to_driver: asked.append(address)  # type: ignore[attr-defined]
    ray.shutdown = lambda: asked.append("shut down")  # type: ignore[attr-defined]
    ray.remote = Remote  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ray)
    clustered = make(folder, QUICK, "clustered", Workers(ray="head:6379", threads=1))
    assert asked == ["head:6379", 1, "shut down"]
    assert clustered.weights(0) == movie.weights(0)


def test_names_the_missing_cluster(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'dydca\[ray\]'"):
        overfit(folder / "clip.mp4", tmp_path / "a.dydcav", QUICK, Silent(), Workers(ray="auto"), targets=())


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    with pytest.raises(ContentError) as caught, open_pool(2, None) as submit:
        submit(_Deadly())()  # type: ignore[arg-type]
    assert caught.value.code == "DYD812"


class _Deadly:
    """In place of a job: kills the process that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)


def test_a_given_bootstrap_is_used(folder: Path, movie: Movie, tmp_path: Path) -> None:
    torch.manual_seed(0)
    scorer = WDSR(2, blocks=1, width=2, channels=16)
    (tmp_path / BOOTSTRAP).write_bytes(save_weights(scorer))
    other = make(folder, replace(QUICK, bootstrap=str(tmp_path / BOOTSTRAP)), "given")
    assert other.splits.all()  # untrained, it restores nothing
    (tmp_path / BOOTSTRAP).write_bytes(movie.weights(0))
    with pytest.raises(ContentError) as caught:
        overfit(
            folder / "clip.mp4", tmp_path / "a.dydcav", replace(QUICK, bootstrap=str(tmp_path / BOOTSTRAP)), Silent(),
            targets=(),
        )  # fmt: skip
    assert caught.value.code == "DYD810"


def test_goes_on_after_an_interruption_and_ends_the_same(
    folder: Path, movie: Movie, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "movie.dydcav"
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    real, calls = torch.optim.Adam.step, 0

    def dying(self: torch.optim.Adam, closure: Any = None) -> Any:
        nonlocal calls
        calls += 1
        if calls in (3, 7, 9):  # in the bootstrap, and twice in the training
            raise KeyboardInterrupt
        return real(self, closure)

    monkeypatch.setattr(torch.optim.Adam, "step", dying)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            overfit(folder / "clip.mp4", output, QUICK, Silent(), ALONE, targets=())
        assert not output.exists()
    overfit(folder / "clip.mp4", output, QUICK, Silent(), ALONE, targets=())
    assert calls <= 4 + 6 + 3 + 3  # each interruption repeats a step at most
    assert Movie(output).weights(0) == movie.weights(0)


def test_other_settings_do_not_go_on_with_interrupted_work(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "movie.dydcav"
    impossible = replace(QUICK, budget=1e6)
    with pytest.raises(ContentError) as caught:
        overfit(folder / "clip.mp4", output, impossible, Silent(), targets=())
    assert caught.value.code == "DYD808"
    with pytest.raises(ContentError, match="budget") as caught:
        overfit(folder / "clip.mp4", output, QUICK, Silent(), targets=())
    assert caught.value.code == "DYD806"
    overfit(folder / "clip.mp4", output, QUICK, Silent(), ALONE, targets=(), restart=True)
    assert output.exists()


def test_an_unknown_target_is_told_before_the_work(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DydcaError) as caught:
        overfit(folder / "clip.mp4", tmp_path / "a.dydcav", QUICK, Silent(), targets=("host", "z80"))
    assert caught.value.code == "DYD503"
    assert not list(tmp_path.iterdir())


def test_numbers_without_a_json_form_become_null() -> None:
    assert json.loads(json_text({"a": [1.5, float("inf")], "b": (float("nan"), "c")})) == {
        "a": [1.5, None],
        "b": [None, "c"],
    }


def test_diverging_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ContentError) as caught:
        overfit(
            folder / "clip.mp4", tmp_path / "a.dydcav", replace(QUICK, learning_rate=1e30), Silent(), targets=()
        )  # fmt: skip
    assert caught.value.code == "DYD811"


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_training_starts_from_bicubic(scale: int) -> None:
    torch.manual_seed(0)
    model = WDSR(scale, blocks=2, width=2)
    start_from_bicubic(model)
    frame = next(moving(1, 20, 24))
    with torch.no_grad():
        start = to_frame(model(torch.from_numpy(to_planes(frame))).numpy())
        assert (model.tail.weight_g == TAIL_GAIN).all()
        for parameter in (model.tail.weight_g, model.tail.bias):
            assert parameter is not None
            parameter.zero_()
        bare = to_frame(model(torch.from_numpy(to_planes(frame))).numpy())
    inner = (slice(3 * scale, -3 * scale),) * 2
    assert np.abs(bare.astype(int) - upscale(frame, scale))[inner].max() <= 1  # the filter, but for rounding
    assert np.abs(start.astype(int) - upscale(frame, scale))[inner].mean() < 12


def test_errors_travel_between_processes() -> None:
    for code in CODES:
        error = ContentError(code, "what", where="there", got=1, want=[2], fix="so")
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back), back.code, back.got) == (ContentError, str(error), code, 1)
    assert isinstance(back, DydcaError)


@pytest.mark.parametrize(
    "arguments",
    [["--scale", "5"], ["--patch", "20"], ["--budget", "-1"], ["--crf", "60"], ["--steps", "0"], ["--gate", "maybe"]],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["overfit", "clip.mp4", "-o", "movie.dydcav", *arguments])
    assert caught.value.code == 2
