"""The zoo as Markdown for docs/zoo.md: one row per network and scale, and the reasons of those that fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dydca.models
from bench.zoo.verdict import is_faulty

Figures = Mapping[str, Any]


def networks(results: Figures) -> str:
    """The largest patch of every network; the error is the largest of all patches and routes."""
    head = ["network", "scale", "form", "parameters", "routes", "patches", "GMAC", "after passes", "kernels"]
    head += ["legalised", "arena MiB", "library KiB", "eager ms", "dydca ms", "speed-up", "error"]
    rows = []
    for entry in dydca.models.every():
        facts = entry.facts
        figures = results["networks"].get(f"{facts.name} x{facts.scale}")
        if figures is not None:
            rows.append([f"`{facts.name}`", str(facts.scale), facts.form, f"{facts.parameters:,}", *_figures(figures)])
    done, every = len(rows), len(dydca.models.every())
    return f"{done} of {every} entries measured.\n\n" + _lines([head, ["---"] * len(head), *rows])


def _figures(figures: Figures) -> list[str]:
    if "failed" in figures:
        return ["-"] * 11 + ["failed"]
    patches = figures["patches"]
    largest = max(patches.values(), key=lambda patch: patch["gmac_before"])
    return [
        f"{largest['compared']} of {largest['routes']}",
        ", ".join(patches),
        f"{largest['gmac_before']:.3g}",
        f"{largest['gmac_after']:.3g}",
        str(largest["kernels"]),
        _legalised(largest["legalised"]),
        f"{largest['arena_mib']:.1f}",
        f"{figures['library_kib']:.0f}",
        f"{largest['eager_ms']:.2f}",
        f"{largest['dydca_ms']:.2f}",
        " ".join(f"{patch['eager_ms'] / patch['dydca_ms']:.2f}x" for patch in patches.values()),
        f"{max(patch['error'] for patch in patches.values()):.0e}",
    ]


def _legalised(operators: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" if count > 1 else name for name, count in sorted(operators.items()))


def faults(results: Figures) -> str:
    """What is refused, differs, was not compared on every route, or is slower than eager."""
    lines = [f"- `{name}`: {reason}" for name, figures in results["networks"].items() for reason in _reasons(figures)]
    return "\n".join(lines) or "None."


def _reasons(figures: Figures) -> Sequence[str]:
    if "failed" in figures:
        return [" ".join(figures["failed"].split())[:300]]
    reasons = ["differs from eager, or has a route that was not compared"] if is_faulty(figures) else []
    slower = {label: patch["dydca_ms"] / patch["eager_ms"] for label, patch in figures["patches"].items()}
    return reasons + [f"{ratio:.2f} times eager's time on {label}" for label, ratio in slower.items() if ratio > 1]


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
