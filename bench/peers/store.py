"""Prepared cases and converted models, kept outside the repository until what they were made from changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.peers.engines import Engine
from bench.peers.environments import CACHE, REQUIREMENTS, interpreter
from bench.peers.place import ONNX
from bench.peers.worker import Specification

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


class ConversionError(Exception):
    """An engine does not take the network; the message is the last line its converter printed."""


def environment() -> dict[str, str]:
    """The variables of every process that is started here."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def prepared(case: str) -> Path:
    """The folder with the exported network, its inputs and eager's float64 outputs."""

    def make(folder: Path) -> None:
        _call([interpreter(None), "-m", "bench.peers.prepare", case, folder])

    rest = [HERE / f"{name}.py" for name in ("cases", "forms", "prepare")]
    return _kept(CACHE / case / "prepared", [*(ROOT / "dydca" / "models").glob("*.py"), *rest], make)


def converted(engine: Engine, case: str) -> Path:
    """The folder with the model in the engine's own format.

    Raises:
        ConversionError: The engine's converter, or PyTorch's to ONNX, fails.
        NotInstalledError: Its environment cannot be made.
    """
    source = prepared(case)
    if engine.onnx and not (source / ONNX).exists():
        onnx = Specification(case, str(source), str(source), "onnx_export")
        _call([interpreter("onnx"), "-m", "bench.peers.worker", "convert", onnx.to_json()])

    def make(folder: Path) -> None:
        given = Specification(case, str(source), str(folder), engine.session, dict(engine.options))
        _call([interpreter(engine.environment), "-m", "bench.peers.worker", "convert", given.to_json()])

    made_from = [source / "digest", HERE / "sessions" / f"{engine.session}.py"]
    if engine.environment is not None:
        made_from.append(REQUIREMENTS / f"{engine.environment}.txt")
    elif engine.session == "dydca_network":
        made_from += [path for folder in ("dydca", "passes", "runtime") for path in (ROOT / folder).rglob("*.[pch]*")]
    return _kept(CACHE / case / "-".join([engine.session, *map(str, engine.options.values())]), made_from, make)


def _kept(folder: Path, made_from: Iterable[Path], make: Callable[[Path], None]) -> Path:
    """The folder, made anew unless it was made from the same files."""
    contents = (path.read_bytes() for path in sorted(made_from) if path.is_file() and path.suffix != ".pyc")
    digest = hashlib.sha256(b"".join(contents)).hexdigest()
    mark = folder / "digest"
    if not mark.exists() or mark.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        mark.write_text(digest)
    return folder


def _call(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ConversionError(lines[-1][:300] if lines else f"it ended with {done.returncode}")
