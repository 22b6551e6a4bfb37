"""Transfer rules: what each operator makes of the facts of its operands, one short function each."""

from __future__ import annotations

from functools import cache

from dydca.analysis.rules import (
    activations,
    choosing,
    conv,
    conv_transposed,
    copies,
    creation,
    elementwise,
    extremes,
    indexing,
    joining,
    linear,
    normalization,
    padding,
    pooling,
    reduction,
    repeating,
    reshaping,
    resize,
    scalars,
    scans,
    shuffles,
    slicing,
    views,
)
from dydca.analysis.rules.registry import RULES, Rule, demand_rule, interval_rule, premises, require, rule
from dydca.extensions import offered

__all__ = [
    "Rule", "activations", "choosing", "conv", "conv_transposed", "copies", "creation", "demand_rule", "elementwise",
    "extremes", "indexing", "interval_rule", "joining", "linear", "load_rules", "normalization", "padding", "pooling",
    "premises", "reduction", "repeating", "require", "reshaping", "resize", "rule", "scalars", "scans", "shuffles",
    "slicing", "views",
]  # fmt: skip


@cache
def load_rules() -> dict[object, Rule]:
    """All rules, those of installed packages included; these register under the entry point ``dydca.rules``."""
    offered("dydca.rules")  # importing them registers
    return RULES
