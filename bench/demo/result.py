"""What the demo measured, and how it is shown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 1e-4
"""Largest difference to eager that passes, as a part of eager's largest value."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds for all patches of one frame, over frames and rounds."""

    min_ms: float
    median_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Summarise single measurements in seconds."""
        return cls(min(seconds) * 1e3, statistics.median(seconds) * 1e3)


@dataclass(frozen=True)
class Result:
    """One run of the demo."""

    frames: int
    threads: int
    patches_shallow: int
    """Patches of the large size, over all frames."""
    patches_deep: int
    """Patches of the small size, over all frames."""
    eager: Timing
    """PyTorch, patch by patch."""
    eager_batched: Timing
    """PyTorch, one batch for each patch size; the stacking is part of it."""
    dydca: Timing
    max_abs_difference: float
    """Of dydca's patches to eager's, before clamping and rounding."""
    max_abs_eager: float
    psnr_y_bicubic: float
    """Mean over the stitched frames in dB; BT.601, borders of 2 pixels left out."""
    psnr_y_dydca: float

    @property
    def is_same(self) -> bool:
        """Whether the pixels are eager's, within `TOLERANCE`."""
        return self.max_abs_difference <= TOLERANCE * self.max_abs_eager

    def rows(self) -> list[tuple[str, str]]:
        """Return the figures as the lines of a table."""
        verdict = "same pixels" if self.is_same else "DIFFERENT PIXELS"
        return [
            ("frames", f"{self.frames} of 640x360, made 1280x720"),
            ("patches 108x96, shallow route", f"{self.patches_shallow / self.frames:.1f} per frame"),
            ("patches 54x48, deep route", f"{self.patches_deep / self.frames:.1f} per frame"),
            ("threads", str(self.threads)),
            ("PyTorch eager", _frame_time(self.eager)),
            ("PyTorch eager, batched", _frame_time(self.eager_batched)),
            ("dydca", _frame_time(self.dydca)),
            ("speed-up over eager (medians)", f"{self.eager.median_ms / self.dydca.median_ms:.2f}x"),
            ("speed-up over batched eager", f"{self.eager_batched.median_ms / self.dydca.median_ms:.2f}x"),
            ("largest difference to eager", f"{self.max_abs_difference:.1e} ({verdict})"),
            ("PSNR-Y bicubic", f"{self.psnr_y_bicubic:.2f} dB"),
            ("PSNR-Y dydca", f"{self.psnr_y_dydca:.2f} dB"),
        ]


def print_table(result: Result) -> None:
    """Print the figures to stdout, by rich where it is installed, else as plain columns."""
    rows = result.rows()
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        width = max(len(name) for name, _ in rows)
        print("\n".join(f"{name:{width}}  {value}" for name, value in rows))
        return
    table = Table(show_header=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _frame_time(timing: Timing) -> str:
    return f"{timing.median_ms:.1f} ms/frame median, {timing.min_ms:.1f} min"
