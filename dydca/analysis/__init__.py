"""Dataflow analysis: what is known of every value of a network before anything runs."""

from dydca.analysis.facts import Assumption, Fact, Facts, Size
from dydca.analysis.solver import analyze, analyze_patch, analyze_route

__all__ = ["Assumption", "Fact", "Facts", "Size", "analyze", "analyze_patch", "analyze_route"]
