"""A network that was compiled before is found again, and is as good as new."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dydca.cache.store import Store
from tests.cache.network import check, compiled


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the network is kept."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DYDCA_CACHE", str(folder))
        check(compiled())
    return folder


@pytest.fixture
def cache(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shutil.copytree(kept, tmp_path / "cache")
    monkeypatch.setenv("DYDCA_CACHE", str(folder))
    return folder


class AskedError(Exception):
    """The compiler was asked."""


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_request: object) -> None:
        raise AskedError

    monkeypatch.setattr("dydca.building.compile_request", refuse)


def test_the_second_time_nothing_is_compiled(cache: Path, no_compiler: None, tmp_path: Path) -> None:
    network = compiled()
    check(network)
    assert "8x6" in network.report()
    network.save(tmp_path / "again.dydca")
    assert [(tmp_path / "again.dydca").read_bytes()] == [path.read_bytes() for path in cache.iterdir()]


def test_unless_asked_to(cache: Path, no_compiler: None) -> None:
    with pytest.raises(AskedError):
        compiled(verify=True)
    with pytest.raises(AskedError):
        compiled(cache=False)


def test_exports_what_was_found(cache: Path, tmp_path: Path) -> None:
    compiled().export(tmp_path / "out")  # the sources are not kept, so it compiles after all
    assert (tmp_path / "out" / "libnet.so").stat().st_size > 0


def test_a_damaged_file_is_replaced(cache: Path) -> None:
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    check(compiled())
    assert Store(cache).get(path.stem) is not None


def test_another_process_finds_it_without_tvm(cache: Path) -> None:
    script = "import sys; from tests.cache.network import *; check(compiled()); print('tvm' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "False\n"
    assert len(list(cache.iterdir())) == 1
