"""The folder of compiled networks: what is in it comes out whole, or not at all."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dydca.cache.store import Store, find_folder

MANIFEST: dict[str, object] = {"patches": []}


def test_gives_back_what_was_put(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "folder")
    assert store.get("key") is None
    store.put("key", MANIFEST, {"a": b"1", "b": b"2"})
    assert store.get("key") == (MANIFEST, {"a": b"1", "b": b"2"})
    assert store.get("other") is None


@pytest.mark.parametrize("at", [0, 100, -3])
def test_what_is_damaged_is_absent_and_replaced(tmp_path: Path, at: int) -> None:
    store = Store(tmp_path)
    store.put("key", MANIFEST, {"a": b"content"})
    (path,) = tmp_path.iterdir()
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 255
    path.write_bytes(damaged)
    assert store.get("key") is None
    store.put("key", MANIFEST, {"a": b"content"})
    assert store.get("key") == (MANIFEST, {"a": b"content"})


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number, key in enumerate("abc"):
        store.put(key, MANIFEST, {"member": bytes(1000)})
        os.utime(tmp_path / f"{key}.dydca", (number, number))
    assert store.get("a") is not None  # and it is used
    store.limit = 2 * (tmp_path / "a.dydca").stat().st_size
    store.put("d", MANIFEST, {"member": bytes(1000)})
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["a", "d"]


def test_writers_and_readers_at_once(tmp_path: Path) -> None:
    store, members = Store(tmp_path, limit=40_000), {"member": bytes(1000)}

    def work(number: int) -> bool:
        store.put(str(number % 20), MANIFEST, members)
        return store.get(str(number % 20)) in (None, (MANIFEST, members))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(200)))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 40_000


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="the compiled network is not kept"):
        Store(tmp_path / "file").put("key", MANIFEST, {})


def test_where_the_folder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_folder() is None  # as the tests have it
    monkeypatch.setenv("DYDCA_CACHE", str(tmp_path))
    assert find_folder() == tmp_path
    monkeypatch.delenv("DYDCA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_folder() == tmp_path / "dydca"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert find_folder() == Path.home() / ".cache" / "dydca"
