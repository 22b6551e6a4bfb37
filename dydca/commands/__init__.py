"""The commands of ``dydca``: each module adds one family to the table and runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import argparse

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""The table that a module adds its commands to."""
