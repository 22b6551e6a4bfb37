"""The examples of docs/passes.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "passes.md"


def test_the_examples_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    space: dict[str, object] = {"__name__": "docs.passes"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{DOCUMENT.name}, example {number}", "exec"), space)
