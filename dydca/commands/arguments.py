"""Kinds of command-line arguments; a wrong one makes the command exit with 2."""

from __future__ import annotations

import argparse
import math
import re


def size(text: str) -> tuple[int, int]:
    """``HxW``, height and width of at least 2."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found or int(found[1]) < 2 or int(found[2]) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not HxW, two numbers of at least 2")
    return int(found[1]), int(found[2])


def count(text: str) -> int:
    """1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count of at least 1")
    return int(text)


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return value


def crf(text: str) -> int:
    """x264's constant rate factor, 0..51."""
    if not text.isdecimal() or int(text) > 51:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 51")
    return int(text)
