"""The page: well formed, nothing from elsewhere, all routes and tensors in it, and what a browser makes of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dydca.analyze import main
from dydca.report import Analysis, explain

VOID = {"meta"}


class TwoRoutes(nn.Module):
    """Its predicate needs escaping."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        if x.shape[2] < 8:
            return y.relu()
        return y.sigmoid().exp()


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return explain(TwoRoutes(), [(1, 3, 6, 6), (1, 3, 12, 6), (1, 3, 16, 6)])


class Reader(HTMLParser):
    """Checks that tags close in order, and gathers what there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.counts: dict[str, int] = {}
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_is_well_formed_and_whole(analysis: Analysis) -> None:
    text = analysis.html()
    read = Reader(text)
    assert read.open == []
    assert read.counts["svg"] == 1 + 3  # the graph of routes, and memory over time for each patch
    assert "H < 8" in read.words
    assert "H < 8" not in text  # it is escaped
    for route in analysis.routes:
        assert f"{route.name}: {route.predicate}; " in read.words
        assert all(f"%{each.name}" in read.words for each in route.tensors if each.kind)
    bars = [value for name, value in read.attributes if name == "class" and value == "bar"]
    steps = sum(len(route.patches) * route.nodes for route in analysis.routes)
    assert len(bars) == steps


def test_nothing_comes_from_elsewhere(analysis: Analysis) -> None:
    text = analysis.html()
    read = Reader(text)
    assert not [name for name, _ in read.attributes if name in ("src", "href", "srcset", "data")]
    assert not re.search(r"https?:|url\(|@import", text)


def test_a_notebook_shows_the_same_without_a_script(analysis: Analysis) -> None:
    shown = analysis._repr_html_()
    assert Reader(shown).open == []
    assert "<script" not in shown
    assert shown in analysis.html()


def test_a_route_with_sizes_that_the_data_decides() -> None:
    class Sparse(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[x > 0.5]

    assert Reader(explain(Sparse(), [(1, 3, 8, 8)]).html()).counts["svg"] == 1


def test_the_command_writes_it_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(nn.ReLU(), tmp_path / "m.pt")
    arguments = [str(tmp_path / "m.pt"), "--patch", "1x3x8x8", "--html"]
    assert main([*arguments, str(tmp_path / "page.html")]) == 0
    assert "ReLU" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert main([*arguments, str(tmp_path / "absent" / "page.html")]) == 1
    assert "DYD705" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.pt", "page.html"]


@pytest.mark.skipif(not (BROWSER := shutil.which("chromium") or shutil.which("google-chrome")), reason="no Chromium")
def test_a_real_browser_lays_it_out(analysis: Analysis, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(analysis.html(), encoding="utf-8")
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    done = subprocess.run([*command, f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "%conv2d" in done.stdout
