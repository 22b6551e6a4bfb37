"""The examples of docs/rules.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from dydca.analysis.rules.registry import INTERVAL_RULES, RULES

DOCUMENT = Path(__file__).parents[2] / "docs" / "rules.md"


def test_the_examples_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    space: dict[str, object] = {"__name__": "docs.rules"}
    try:
        for number, block in enumerate(blocks, start=1):
            exec(compile(block, f"{DOCUMENT.name}, example {number}", "exec"), space)
    finally:  # other tests in this process register none
        overload = torch.ops.docs.fold_rows.default
        RULES.pop(overload, None)
        INTERVAL_RULES.pop(overload, None)
