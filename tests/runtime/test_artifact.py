"""The .dydca file: what was saved comes back, and nothing else does."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench import mutate
from dydca.errors import CODES, DydcaError, FileError
from dydca.runtime import Network, artifact, load
from tests.runtime.native import SHAPES, TRIPLE, manifest, patch

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = f"lib/{TRIPLE}/libnet.so"


@pytest.fixture
def saved(net: Network, tmp_path: Path) -> Path:
    path = tmp_path / "net.dydca"
    net.save(path)
    return path


def test_round_trip(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.dydca"
    with load(saved, threads=1) as net:
        for shape in SHAPES:
            assert np.array_equal(np.asarray(net(patch(shape))), 2 * patch(shape) + 1)
        assert net.report() == "the report"
        assert net.manifest["targets"] == {TRIPLE: {}}
        net.save(again)
    assert again.read_bytes() == saved.read_bytes()


def test_the_form_of_the_file(saved: Path) -> None:
    content = saved.read_bytes()
    with zipfile.ZipFile(saved) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", LIBRARY, "report.json", "report.txt"]
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            name, extra = (int.from_bytes(content[info.header_offset + at :][:2], "little") for at in (26, 28))
            assert (info.header_offset + 30 + name + extra) % 64 == 0
        described = json.loads(archive.read("manifest.json"))
        assert (described["format"], described["abi"]) == (1, 2)
        assert described["sha256"].keys() == {LIBRARY, "report.json", "report.txt"}
    assert saved.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    text = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Umask")), 8)


def refused(path: Path) -> DydcaError:
    with pytest.raises(FileError) as caught:
        load(path)
    assert caught.value.code in CODES
    assert str(path) in str(caught.value)
    return caught.value


def test_no_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.dydca").code == "DYD701"
    assert refused(tmp_path).code == "DYD701"


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all" * 100])
def test_no_zip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.dydca"
    path.write_bytes(content)
    assert refused(path).code == "DYD702"


@pytest.mark.parametrize("name", ["manifest.json", LIBRARY, "report.json", "report.txt"])
def test_a_changed_member_is_refused(saved: Path, name: str) -> None:
    with zipfile.ZipFile(saved) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    for turn in range(10):
        at = random.Random(turn).randrange(len(members[name]))
        content = bytearray(saved.read_bytes())
        offset = content.index(members[name]) + at
        content[offset] ^= 1
        saved.with_suffix(".bad").write_bytes(content)
        assert refused(saved.with_suffix(".bad")).code == "DYD702"


def rewrite(
    path: Path, leave: str = "", changed: dict[str, bytes] | None = None, entries: dict[str, object] | None = None
) -> None:
    """Write the file anew with right checksums of the zip, but not of the manifest."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members["manifest.json"] = json.dumps({**json.loads(members["manifest.json"]), **(entries or {})}).encode()
    members |= changed or {}
    members.pop(leave, None)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("name", [LIBRARY, "report.json", "report.txt"])
def test_a_replaced_missing_or_foreign_member_is_refused(saved: Path, name: str) -> None:
    good = saved.read_bytes()
    for leave, changed in (("", {name: b"other"}), (name, {}), ("", {"extra": b""})):
        saved.write_bytes(good)
        rewrite(saved, leave, changed)
        assert refused(saved).code == "DYD702"


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ({"format": 2}, "DYD704"),
        ({"abi": 0}, "DYD704"),
        ({"targets": {"mips-linux-gnu": {}}}, "DYD704"),
        ({"targets": {TRIPLE: {"features": ["no_such_feature"]}}}, "DYD704"),
        ({"targets": {TRIPLE: {"features": 3}}}, "DYD702"),
        ({"targets": {TRIPLE: None}}, "DYD702"),
        ({"targets": {TRIPLE.replace("gnu", "musl"): {}}}, "DYD702"),
        ({"targets": {}}, "DYD702"),
        ({"targets": None}, "DYD702"),
        ({"threads": 3}, "DYD702"),
        ({"sha256": []}, "DYD702"),
        ({"patches": []}, "DYD702"),
        ({"patches": [3]}, "DYD702"),
        ({"patches": [{"inputs": [[1, "H"]], "outputs": [[1]]}]}, "DYD702"),
        ({"inputs": [{"name": "x", "type": "float16"}]}, "DYD702"),
        ({"outputs": []}, "DYD702"),
        ({"structure": 1}, "DYD702"),
        ({"structure": {"tuple": 0}}, "DYD702"),
        ({"structure": {"named": "P", "fields": {"class": 0}}}, "DYD702"),
        ({"patches": [{"inputs": [[1, 3, 4, 8]], "outputs": [[1, 3, 8, 8]]}]}, "DYD702"),
        ({"patches": [{"inputs": [[1, 3, 4, 9]], "outputs": [[1, 3, 4, 9]]}]}, "DYD702"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(saved: Path, entries: dict[str, object], code: str) -> None:
    rewrite(saved, entries=entries)
    assert refused(saved).code == code


@pytest.mark.parametrize("text", [b"[]", b"{", b"\xff", b"[" * 100_000, b"null"])
def test_a_manifest_that_is_no_json_object_is_refused(saved: Path, text: bytes) -> None:
    rewrite(saved, changed={"manifest.json": text})
    assert refused(saved).code == "DYD702"


def test_compressed_members_are_refused(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert refused(saved).code == "DYD702"


def test_random_mutations_are_refused_or_harmless(saved: Path) -> None:
    outcomes = mutate.run(saved, 0, 700)
    assert sum(outcomes.values()) == 700
    assert sum(count for outcome, count in outcomes.items() if "harmless" not in outcome) > 600


def test_a_failed_save_leaves_nothing(net: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileError, match="DYD705"):
        net.save(tmp_path / "no folder" / "net.dydca")
    path = tmp_path / "net.dydca"
    path.write_bytes(b"older")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(FileError, match="DYD705"):
        net.save(path)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_loading_leaves_no_file_and_imports_neither_torch_nor_tvm(saved: Path, tmp_path: Path) -> None:
    program = """
import sys
import numpy as np
from dydca.runtime import load
net = load(sys.argv[1])
assert (net(np.ones((1, 3, 4, 8), np.float32)) == 3).all()
assert not {"torch", "tvm", "tvm_ffi"} & sys.modules.keys()
try:
    load(sys.argv[2])
except Exception as error:
    print(error.code)
"""
    bad = tmp_path / "bad.dydca"
    artifact.save(bad, manifest(), {LIBRARY: b"no library", "report.json": b"{}", "report.txt": b""})
    folder = tmp_path / "temporary"
    folder.mkdir()
    command = [sys.executable, "-c", program, str(saved), str(bad)]
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(folder)}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert (result.returncode, result.stdout.strip()) == (0, "DYD702"), result.stderr
    assert list(folder.iterdir()) == []
