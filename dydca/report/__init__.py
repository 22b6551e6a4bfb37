"""What is known of a network before anything runs, as data and as text."""

from dydca.report.analysis import Analysis, PatchReport, RouteReport, TensorReport
from dydca.report.explain import explain, explain_program

__all__ = ["Analysis", "PatchReport", "RouteReport", "TensorReport", "explain", "explain_program"]
