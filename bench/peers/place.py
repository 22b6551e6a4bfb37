"""What every session is given: the files of a prepared case and where its own go; and what it gives, a `Run`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXPORTED = "model.pt2"
TRACED = "model.torchscript"
ONNX = "model.onnx"
INPUTS = "inputs.npz"
REFERENCE = "reference.npz"

Arrays = list[NDArray[Any]]
"""The inputs or outputs of one call, float32."""

Run = Callable[[Arrays], Arrays]
"""One call of a loaded network; its outputs stay valid."""


@dataclass(frozen=True)
class Place:
    """Where a session finds what it needs.

    Attributes:
        case: Key of `cases.CASES`.
        prepared: Folder of the prepared case.
        target: Folder of what ``convert`` makes of it for ``start``.
    """

    case: str
    prepared: Path
    target: Path


def read_arrays(path: Path) -> list[Arrays]:
    """For each size of the case, its arrays in order."""
    with np.load(path) as named:
        sizes = 1 + max(int(name.split(".")[0]) for name in named.files)
        count = len(named.files) // sizes
        return [[named[f"{size}.{position}"] for position in range(count)] for size in range(sizes)]
