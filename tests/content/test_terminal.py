"""Progress: bars for who watches, sparse lines for who reads a log."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from dydca.content.terminal import progress_bar
from tests.content.clips import write_clip


def test_lines_are_sparse_and_tell_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with progress_bar("work") as show:
        for done in range(101):
            show(done, 100, "well")
            now += 1.0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "work 0/100  well"
    assert lines[1] == "work 10/100  90 s left  well"
    assert lines[-1] == "work 100/100  well"
    assert len(lines) == 11


def test_a_new_stage_has_its_own_speed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with progress_bar("work") as show:
        show(50, None, "first")
        now += 1000.0
        show(0, 10, "second")
        now += 20.0
        show(2, 10, "second")
    assert capsys.readouterr().err.splitlines()[-1] == "work 2/10  80 s left  second"


@pytest.mark.slow
def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    """The whole of `overfit` on a terminal: rich allows one live display only."""
    clip = write_clip(tmp_path / "clip.mp4", frames=2)
    command = ["overfit", str(clip), "-o", str(tmp_path / "a.dydcav"), "--steps", "2", "--bootstrap-steps", "2"]
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dydca.cli", *command, "--target", "none"], stdout=subprocess.PIPE, stderr=child
    )
    os.close(child)
    seen = b""
    try:
        while part := os.read(parent, 4096):
            seen += part
    except OSError:  # how a terminal says that the other side has gone
        pass
    out, _ = process.communicate()
    os.close(parent)
    assert process.returncode == 0, seen.decode()
    assert b"4/4" in seen
    assert b"PSNR" in seen
    assert out.startswith(b"2 frames")
