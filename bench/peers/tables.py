"""The comparison as Markdown: for the README the fastest float32 peer of each case, for docs/peers.md every engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.peers.engines import ENGINES

WRONG = 0.05
"""An engine whose error is a larger part of the output's largest value has not computed the network."""

Figures = Mapping[str, Any]

MEASURED = (
    "onnxruntime", "openvino", "nncf", "ncnn", "pnnx", "mnn", "executorch", "ai-edge-litert", "litert-torch", "onnx",
)  # fmt: skip
"""The packages whose versions are told; the rest of every environment is in bench/peers/requirements."""


def summary(results: Figures) -> str:
    """One row per case: eager, the fastest float32 peer, dydca, and the ratio of the last two."""
    head = [
        "case",
        "calls at",
        "threads",
        "torch eager",
        "fastest fp32 peer",
        "dydca",
        "speed-up",
        "error: peer, dydca",
    ]
    rows = [_summary_row(part) for part in _timed(results) if _has_times(part["engines"].get("dydca"))]
    return _table(head, [row for row in rows if row])


def _summary_row(part: Figures) -> list[str]:
    engines = part["engines"]
    rivals = {name: engines[name] for name in _ranked(part) if name != "dydca"}
    if not rivals:
        return []
    name, ours, eager = next(iter(rivals)), engines["dydca"], engines.get("eager")
    best = rivals[name]
    speedups = [_times(part, best)[i] / _times(part, ours)[i] for i in (0, 1)]
    return [
        part["title"],
        _sizes(part),
        str(part["threads"]),
        _cell(part, eager) if _has_times(eager) else "-",
        f"{ENGINES[name].title} {_cell(part, best)}",
        _cell(part, ours),
        f"{speedups[1]:.2f}x ({speedups[0]:.2f}x)",
        f"{best['error']:.0e}, {ours['error']:.0e}",
    ]


def matrix(results: Figures) -> str:
    """A column per slice and a row per engine; the fastest float32 engine in bold, why an engine is missing below."""
    parts = list(_timed(results))
    head = ["engine", *(f"{part['title']}<br>{_sizes(part)}, {_threads(part)}" for part in parts)]
    rows = []
    for name, engine in ENGINES.items():
        note = "" if engine.precision == "fp32" else f" ({engine.precision})"
        rows.append([engine.title + note, *(_matrix_cell(part, name) for part in parts)])
    return _table(head, rows) + "\n\n" + "\n".join(_failures(parts))


def _matrix_cell(part: Figures, name: str) -> str:
    figure = part["engines"].get(name)
    if not figure:
        return ""
    if "failed" in figure:
        return "failed"
    if _is_wrong(name, figure):
        return "wrong"
    cell = _cell(part, figure)
    return f"**{cell}**" if _ranked(part)[0] == name else cell


def _failures(parts: Iterable[Figures]) -> Iterable[str]:
    for part in parts:
        for name, figure in part["engines"].items():
            if "failed" in figure:
                yield f"- {ENGINES[name].title}, {part['title']}: `{figure['failed']}`"
            elif _is_wrong(name, figure):
                error = f"an error of {figure['error']:.0%} of the largest value"
                yield f"- {ENGINES[name].title}, {part['title']}: {error}"


def streams(results: Figures) -> str:
    """For the streams of many sizes: the first pass, which plans for new sizes, and those after it."""
    rows = [
        [
            ENGINES[name].title,
            part["title"],
            f"{figure['load_s'] * 1e3:.0f}",
            f"{figure['cold_s'] * 1e3:.0f}",
            f"{_times(part, figure)[1]:.0f} ({_times(part, figure)[0]:.0f})",
        ]
        for part in _timed(results)
        if part["calls"] > 1
        for name, figure in part["engines"].items()
        if _has_times(figure)
    ]
    return _table(["engine", "stream", "load ms", "first pass ms", "later passes ms"], rows)


def memory(results: Figures) -> str:
    """Peak resident memory beyond the input and one output."""
    rows = [
        [ENGINES[name].title, part["title"], _sizes(part), f"{figure['peak_mib'] - figure['outputs_mib']:.0f}"]
        for part in results["slices"].values()
        for name, figure in part["engines"].items()
        if "peak_mib" in figure
    ]
    return _table(["engine", "case", "size", "MiB"], rows)


def versions(results: Figures) -> str:
    """The packages that were measured, and the machines."""
    named = {name: version for of_one in results["versions"].values() for name, version in of_one.items()}
    machines = {_machine(part["machine"]) for part in results["slices"].values()}
    packages = (f"{name} {named[name]}" for name in MEASURED if name in named)
    return "; ".join(sorted(machines)) + ".\n" + ", ".join(packages) + "."


def _machine(machine: Figures) -> str:
    return f"{machine['processor']}, {machine['cores']} cores, {machine['vectors']}, torch {machine['torch']}"


def _timed(results: Figures) -> Iterable[Figures]:
    return (part for name, part in results["slices"].items() if not name.endswith("memory"))


def _ranked(part: Figures) -> list[str]:
    """The float32 engines that computed the network, fastest first."""
    able = {
        name: figure
        for name, figure in part["engines"].items()
        if _has_times(figure) and ENGINES[name].precision == "fp32" and not _is_wrong(name, figure)
    }
    return sorted(able, key=lambda name: _times(part, able[name]))


def _is_wrong(name: str, figure: Figures) -> bool:
    return ENGINES[name].precision != "int8" and not figure["error"] <= WRONG


def _has_times(figure: Figures | None) -> bool:
    return figure is not None and "min_ms" in figure


def _times(part: Figures, figure: Figures) -> tuple[float, float]:
    """Minimum and median: of one thread its processor time, which a shared core does not lengthen; else wall clock."""
    prefix = "cpu_" if part["threads"] == 1 else ""
    return figure[f"{prefix}min_ms"], figure[f"{prefix}median_ms"]


def _cell(part: Figures, figure: Figures) -> str:
    least, median = _times(part, figure)
    return f"{median:.4g} ({least:.4g})"


def _sizes(part: Figures) -> str:
    sizes = ["x".join(map(str, size)) for size in part["sizes"]]
    return sizes[0] if len(sizes) == 1 else f"{part['calls']} calls, {len(sizes)} sizes {sizes[0]} to {sizes[-1]}"


def _threads(part: Figures) -> str:
    return f"{part['threads']} thread{'s' if part['threads'] > 1 else ''}"


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
