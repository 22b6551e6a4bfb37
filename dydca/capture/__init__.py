"""From a PyTorch model and its declared patches to a `Program`: one graph of ATen operators per route.

``dydca.capture(model, patch_shapes)`` calls `capture`: importing a sub-package binds its name in the package above,
so the package itself has to be what users call by that name.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from dydca.capture.capture import capture
from dydca.program import Program

__all__ = ["capture"]


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Program:
        return capture(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
