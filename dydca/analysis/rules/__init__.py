"""Transfer rules: what each operator makes of the facts of its operands, one short function each."""

from __future__ import annotations

from functools import cache

from dydca.analysis.rules import (
    conv,
    creation,
    elementwise,
    joining,
    linear,
    normalization,
    padding,
    pooling,
    reduction,
    resize,
    scalars,
    slicing,
    views,
)
from dydca.analysis.rules.registry import RULES, Rule, assumptions, require, rule
from dydca.extensions import offered

__all__ = [
    "Rule", "assumptions", "conv", "creation", "elementwise", "joining", "linear", "load_rules", "normalization",
    "padding", "pooling", "reduction", "require", "resize", "rule", "scalars", "slicing", "views",
]  # fmt: skip


@cache
def load_rules() -> dict[object, Rule]:
    """All rules, those of installed packages included; these register under the entry point ``dydca.rules``."""
    offered("dydca.rules")  # importing them registers
    return RULES
