"""Loading and running compiled networks, with neither torch nor TVM. The package is `dydca.runtime`."""

if __name__ != "dydca.runtime":
    raise ImportError("import dydca.runtime, not runtime: the top-level folder only holds its sources")

from dydca.runtime.network import Network, load

__all__ = ["Network", "load"]
