"""A process that is killed leaves what was there, and the next one goes on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.video_kills import kill_and_finish, weights_of
from tests.content.clips import write_clip
from tests.content.movies import write_movie


@pytest.mark.slow
def test_killed_while_overfitting(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=12, size=(66, 98), sound="aac")
    command = ["overfit", str(clip), "--target", "none", "--patch", "20x24", "--threads", "1", "--batch", "2"]
    command += ["--steps", "12", "--bootstrap-steps", "6"]
    assert kill_and_finish(command, tmp_path / "movie.dydcav", weights_of, 3, random.Random(1)) == 3


@pytest.mark.slow
def test_killed_while_playing(tmp_path: Path) -> None:
    movie = write_movie(tmp_path, frames=60, compiled=True)
    command = ["play", str(movie.path), "--threads", "1"]
    assert kill_and_finish(command, tmp_path / "out.mp4", Path.read_bytes, 5, random.Random(1)) == 5
