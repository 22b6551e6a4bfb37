"""What the published weights make of a photo: PSNR of every file, beside bicubic and what was published.

python -m bench.zoo.quality WEIGHTS PHOTO     a folder of .safetensors files; writes bench/results/quality.json

The photo is halved by Pillow's Lanczos filter, since its own JPEG noise would otherwise decide, and cut to a multiple
of 12; `dydca.content.resample.downscale` then makes it small. PSNR is that of the papers: on luma, rounded to 8 bits,
without as many border pixels as the scale.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import dydca.models
from dydca.content.pixels import Frame, to_frame, to_planes
from dydca.content.resample import downscale, upscale
from dydca.content.score import psnr

RESULTS = Path(__file__).parent.parent / "results" / "quality.json"
NAME = re.compile(r"(?P<family>[A-Za-z0-9]+?)(_ET)?(_(?P<size>M\d+C\d+))?_x(?P<scale>\d)(_(?P<form>.+))?")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures every file and writes the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.zoo.quality", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("photo", type=Path)
    options = parser.parse_args(arguments)
    truth = _truth(options.photo)
    files = sorted(options.weights.glob("*.safetensors"))
    results = {
        "photo": options.photo.name,
        "size": truth.shape[:2],
        "files": [_measured(each, truth) for each in files],
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    return 0


def _truth(photo: Path) -> Frame:
    with Image.open(photo) as opened:
        half = opened.convert("RGB").resize((opened.width // 2, opened.height // 2), Image.Resampling.LANCZOS)
    frame = np.asarray(half, dtype=np.uint8)
    return frame[: frame.shape[0] // 12 * 12, : frame.shape[1] // 12 * 12]


def _measured(file: Path, truth: Frame) -> dict[str, Any]:
    found = NAME.match(file.stem)
    assert found is not None
    scale, name = int(found["scale"]), "_".join(part for part in (found["family"], found["size"]) if part).lower()
    model = dydca.models.load(name, file, scale)
    entry = f"{name}_{found['form'].lower()}" if found["form"] else name
    small = downscale(truth, scale)
    with torch.inference_mode():
        output = model(torch.from_numpy(to_planes(small)))
    picture = to_frame((output[0] if isinstance(output, tuple) else output).numpy())
    return {
        "file": file.stem,
        "class": type(model).__name__,
        "scale": scale,
        "published": dydca.models.facts(entry, scale).psnr,
        "bicubic": psnr(upscale(small, scale), truth, scale),
        "psnr": psnr(picture, truth, scale),
    }


def table(results: Mapping[str, Any]) -> str:
    """By scale, then by quality."""
    head = ["weights", "form", "scale", "PSNR-Y dB", "over bicubic", "published for Set5"]
    files = sorted(results["files"], key=lambda each: (each["scale"], each["psnr"]))
    rows = [
        [
            each["file"],
            each["class"],
            str(each["scale"]),
            f"{each['psnr']:.3f}",
            f"{each['psnr'] - each['bicubic']:+.3f}",
            f"{each['published']:.2f}" if each["published"] else "-",
        ]
        for each in files
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


if __name__ == "__main__":
    sys.exit(main())
