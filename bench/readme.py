"""Writes every table of README and docs from bench/results and the README's outputs from running its examples.

python -m bench.readme [--check]     --check: only says whether all are up to date
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import video_tables
from bench.peers import tables
from bench.zoo import quality
from bench.zoo import table as zoo

RESULTS = Path(__file__).parent / "results"
ROOT = RESULTS.parent.parent


def main_job(figures: dict[str, Any]) -> str:
    """The table of the main job: frames with 1 and 2 threads, then single patches."""
    rows = ["| what | PyTorch eager | dydca | speed-up | largest difference |", "|---|---|---|---|---|"]
    for frame in figures["frames"]:
        eager, ours = frame["eager"], frame["dydca"]
        name = f"frame 640x360 to 1280x720, {frame['threads']} thread{'s' if frame['threads'] > 1 else ''}"
        difference = f"{frame['max_abs_difference']:.1e}"
        rows.append(f"| {name} | {_ms(eager)} | {_ms(ours)} | {_ratio(eager, ours)} | {difference} |")
    for label, patch in figures["patches"].items():
        eager, ours = (_timing(patch, who) for who in ("eager", "dydca"))
        rows.append(f"| patch {label}, 1 thread | {_ms(eager)} | {_ms(ours)} | {_ratio(eager, ours)} | |")
    costs, first, machine = figures["costs"], figures["frames"][0], figures["machine"]
    rows += [
        "",
        f"PSNR-Y of the {first['frames']} stitched frames: bicubic {first['psnr_y_bicubic']:.2f} dB, the network "
        f"{first['psnr_y_dydca']:.2f} dB. Compiling both patches takes {costs['compile_s']:.1f} s, loading and the "
        f"first call {costs['load_and_first_call_ms']:.1f} ms, a call beyond its kernels "
        f"{costs['call_overhead_us']:.1f} us.",
        f"Times are median (minimum) milliseconds on {machine['processor']}, {machine['cores']} cores, "
        f"{machine['vectors']}, torch {machine['torch']}, load {machine['load']:.1f} at the start.",
    ]
    return "\n".join(rows)


Table = Callable[[dict[str, Any]], str]
TABLES: dict[str, dict[str, tuple[str, Table]]] = {
    "README.md": {"main_job": ("main_job", main_job), "peers": ("peers", tables.summary)},
    "docs/peers.md": {name: ("peers", getattr(tables, name)) for name in ("matrix", "streams", "memory", "versions")},
    "docs/zoo.md": {
        "networks": ("zoo", zoo.networks),
        "faults": ("zoo", zoo.faults),
        "quality": ("quality", quality.table),
    },
    "docs/video.md": {"quality": ("video_quality", video_tables.quality), "speed": ("video", video_tables.speed)},
}
"""For each document its marks: the results a table is made from, and how."""


def _timing(patch: dict[str, float], who: str) -> dict[str, float]:
    return {f"{kind}_ms": patch[f"{who}_{kind}_ms"] for kind in ("min", "median")}


def _ms(timing: dict[str, float]) -> str:
    return f"{timing['median_ms']:.1f} ({timing['min_ms']:.1f})"


def _ratio(eager: dict[str, float], ours: dict[str, float]) -> str:
    medians, minima = eager["median_ms"] / ours["median_ms"], eager["min_ms"] / ours["min_ms"]
    return f"{medians:.2f}x ({minima:.2f}x)"


def example(code: str) -> str:
    """What the README's Python block prints."""
    with tempfile.TemporaryDirectory() as folder:
        return _output(["-W", "ignore", "-c", code], folder)


def analysis() -> str:
    """What the README's analyze command prints."""
    save = "import torch, dydca.models; torch.save(dydca.models.DynamicWDSR(scale=2), 'model.pt')"
    with tempfile.TemporaryDirectory() as folder:
        _output(["-c", save], folder)
        return _output(["-m", "dydca.analyze", "model.pt", "--patch", "108x96", "--patch", "54x48"], folder)


def _output(arguments: Sequence[str], folder: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.rstrip()


def rendered(document: str, text: str) -> str:
    """A document with every table and output written anew."""
    for mark, (results, write) in TABLES[document].items():
        text = _between(text, mark, write(json.loads((RESULTS / f"{results}.json").read_text())))
    block = re.search(r"```python\n(.*?)```", text, flags=re.DOTALL)
    if block is not None:
        text = _between(text, "example", f"```\n{example(block[1])}\n```")
        text = _between(text, "analysis", f"```\n{analysis()}\n```")
    return text


def _between(text: str, name: str, content: str) -> str:
    """The text with what stands between the marks of that name replaced."""
    before, _, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end {name} -->")
    return f"{before}<!-- {name} -->\n{content}\n{end}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes or checks; 1 if a document differs from the results under --check."""
    parser = argparse.ArgumentParser(prog="python -m bench.readme", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    texts = {ROOT / document: (ROOT / document).read_text() for document in TABLES}
    made = {path: rendered(str(path.relative_to(ROOT)), text) for path, text in texts.items()}
    if options.check:
        return int(made != texts)
    for path, text in made.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
