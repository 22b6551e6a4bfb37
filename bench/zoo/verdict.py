"""Whether a network of the zoo passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOLERANCE = 1e-4
"""Of the largest value of an output."""


def is_faulty(figures: Mapping[str, Any]) -> bool:
    """Whether a network is refused, differs from eager, or has a route that was not compared."""
    if "failed" in figures:
        return True
    patches = figures["patches"].values()
    return any(not patch["error"] <= TOLERANCE or patch["compared"] < patch["routes"] for patch in patches)
