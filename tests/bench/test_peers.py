"""The bench of the peers: what it calls fastest, what it leaves out, and one slice measured for true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.peers import __main__ as command
from bench.peers import environments, store, tables
from bench.peers.cases import CASES
from bench.peers.engines import ENGINES
from bench.peers.environments import NotInstalledError


def figure(milliseconds: float, error: float = 1e-6) -> dict[str, float]:
    times = dict.fromkeys(("min_ms", "median_ms", "cpu_min_ms", "cpu_median_ms"), milliseconds)
    return {**times, "error": error, "load_s": 0.1, "cold_s": 0.2}


def results(**engines: dict[str, Any]) -> dict[str, Any]:
    part = {"title": "net", "sizes": [[8, 9]], "calls": 1, "threads": 1, "engines": engines}
    return {"slices": {"net, 1 threads": part}}


def test_the_fastest_float32_peer_that_computes_the_network_is_compared() -> None:
    table = tables.summary(
        results(
            dydca=figure(2),
            eager=figure(20),
            mnn=figure(3, error=0.3),  # wrong
            openvino_bf16=figure(1),  # not float32
            ncnn={"failed": "no"},
            onnxruntime=figure(5),
        )
    )
    cells = table.splitlines()[-1].split(" | ")
    assert cells[1:7] == ["8x9", "1", "20 (20)", "ONNX Runtime 5 (5)", "2 (2)", "2.50x (2.50x)"]


def test_every_engine_has_a_row_and_every_fault_a_line() -> None:
    table = tables.matrix(results(dydca=figure(2), mnn=figure(3, error=0.3), ncnn={"failed": "a layer is missing"}))
    rows = {line.split(" | ")[0].lstrip("| "): line for line in table.splitlines() if line.startswith("|")}
    assert all(any(row.startswith(engine.title) for row in rows) for engine in ENGINES.values())
    assert "**2 (2)**" in rows["dydca"]
    assert "- ncnn, net: `a layer is missing`" in table
    assert "- MNN, net: an error of 30% of the largest value" in table


def test_every_engine_has_its_session_and_its_pins() -> None:
    for engine in ENGINES.values():
        assert (Path(store.__file__).parent / "sessions" / f"{engine.session}.py").is_file()
        pins = environments.packages(engine.environment) if engine.environment else {"dydca": ""}
        assert pins
        assert not any("telemetry" in package for package in pins)


def test_cases_have_the_same_weights_at_every_build() -> None:
    one, other = (CASES["shallow_54"].build().state_dict() for _ in range(2))
    assert all(bool((one[name] == other[name]).all()) for name in one)


@pytest.mark.slow
def test_a_slice_is_measured_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # for the processes that are started
    monkeypatch.setattr(store, "CACHE", tmp_path / "dydca" / "peers")
    monkeypatch.setattr(command, "RESULTS", tmp_path / "peers.json")

    def refuse(name: str | None) -> Path:
        if name is None:
            return interpreter(None)
        raise NotInstalledError("no such package")

    interpreter = environments.interpreter
    monkeypatch.setattr(store, "interpreter", refuse)
    arguments = ["--case", "shallow_54", "--threads", "1", "--rounds", "1", "--seconds", "0.01"]
    assert command.main([*arguments, "--engine", "dydca", "eager", "mnn"]) == 0
    text = (tmp_path / "peers.json").read_text()
    engines = json.loads(text)["slices"]["shallow_54, 1 threads"]["engines"]
    assert engines["mnn"] == {"failed": "no such package"}
    for name in ("dydca", "eager"):
        assert 0 < engines[name]["min_ms"] < 1000
        assert 0 < engines[name]["error"] < 1e-4
    assert command.main([*arguments, "--engine", "dydca"]) == 0
    assert (tmp_path / "peers.json").read_text() == text  # nothing was missing
