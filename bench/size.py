"""What a library weighs: ``python -m bench.size``.

A network with three routes chosen by value, with one patch and with four; and Dy-DCA's own with a patch for each of its
two routes, which are two networks. Weights, the code of kernels and plan, and the runtime are all in the library; it
is stripped. Exit code 1 if four patches weigh more than `LIMIT` times one, or Dy-DCA more than `MOST` beyond weights.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch

import dydca
from bench.machine import describe_machine
from dydca.models import create
from dydca.runtime.package import REPORT_DATA

RESULTS = Path(__file__).parent / "results" / "size.json"
CLASS_ROUTED = [(32, 32), (24, 24), (16, 16), (12, 20)]
DYDCA = [(108, 96), (54, 48)]
SCALE = 2
LIMIT = 1.5
MOST = 400 * 1024


def measure(name: str, patches: list[tuple[int, int]]) -> dict[str, Any]:
    """Compiles a network, and reads what it weighs from its report."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.dydca"
        with dydca.compile(create(name, SCALE).eval(), [(1, 3, *patch) for patch in patches], threads=1) as net:
            net.save(path)
        with zipfile.ZipFile(path) as file:
            (build,) = json.loads(file.read(REPORT_DATA))["builds"]
    size, weights = build["library_bytes"], build["weight_bytes"]
    return {"bytes": size, "weights": weights, "code": size - weights, "kernels": build["kernels"]}


def main() -> int:
    """Compiles each network twice, and reports."""
    one, four, both = (
        *(measure("class_routed", CLASS_ROUTED[:count]) for count in (1, 4)),
        measure("dydca_wdsr", DYDCA),
    )
    grown = round(four["bytes"] / one["bytes"], 3)
    report = {
        "machine": describe_machine(),
        "class_routed, 3 routes, 1 patch": one,
        "class_routed, 3 routes, 4 patches": four,
        "four patches over one": grown,
        "dydca_wdsr, both patches": both,
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return int(grown > LIMIT or both["code"] > MOST)


if __name__ == "__main__":
    raise SystemExit(main())
