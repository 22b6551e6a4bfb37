"""dydca: a graph-level compiler and dataflow analysis for dynamic, content-aware super-resolution networks on CPUs.

The names below are loaded on first use, so that ``import dydca`` and `dydca.load` need neither torch nor TVM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dydca.errors import DydcaError

if TYPE_CHECKING:
    from dydca.analysis.rules import rule as rule
    from dydca.api import compile as compile
    from dydca.bisection import bisect as bisect
    from dydca.capture import capture as capture
    from dydca.report import explain as explain
    from dydca.runtime import Network as Network
    from dydca.runtime import load as load
    from dydca.shapes import Dim as Dim

__version__ = "0.1.0"
__all__ = ["Dim", "DydcaError", "Network", "__version__", "bisect", "capture", "compile", "explain", "load", "rule"]

_HOMES = {
    "Dim": "shapes",
    "bisect": "bisection",
    "compile": "api",
    "capture": "capture",
    "explain": "report",
    "load": "runtime",
    "Network": "runtime",
    "rule": "analysis.rules",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dydca' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"dydca.{_HOMES[name]}"), name)
    globals()[name] = value  # in particular over the sub-module of the same name that the import has just bound
    return value
