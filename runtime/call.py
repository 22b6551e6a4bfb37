"""The native arguments of one call, kept from call to call so that a run allocates only its outputs."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from dydca.runtime.library import Shape, Spec, Tensor, describe
from dydca.runtime.tensors import Kind


class Patch:
    """One set of input shapes: what goes in and comes out, and the argument sets no call is using.

    `idle` is used without a lock: append and pop of a list are atomic.

    Attributes:
        inputs: By input.
        outputs: By output, with the largest shape it can have.
        varies: Whether an output may have another shape.
    """

    def __init__(self, inputs: Sequence[Spec], outputs: Sequence[Spec], varies: bool) -> None:
        self.inputs, self.outputs, self.varies = inputs, outputs, varies
        self.idle: list[Call] = []

    def take_idle(self) -> list[Call]:
        """All idle argument sets, which are then no longer idle."""
        taken = []
        while self.idle:
            try:
                taken.append(self.idle.pop())
            except IndexError:  # another call took the last one in between
                break
        return taken


class Arguments(NamedTuple):
    """What ``dydca_run`` is called with."""

    net: ctypes.c_void_p
    inputs: ctypes.c_void_p
    outputs: ctypes.c_void_p


class Call:
    """One argument set of a patch, in use by one call at a time."""

    __slots__ = ("__weakref__", "_alive", "_into", "_patch", "_slots", "arguments", "inputs", "outputs")

    def __init__(self, net: ctypes.c_void_p, patch: Patch) -> None:
        self.inputs, self.outputs = describe(patch.inputs), describe(patch.outputs)
        addresses = (ctypes.c_void_p(ctypes.addressof(tensors)) for tensors in (self.inputs, self.outputs))
        self.arguments = Arguments(net, *addresses)
        # Indexing a ctypes array makes a new object each time; these are the same memory.
        self._slots: list[tuple[Tensor, str]] = [
            (slot, spec.type) for slot, spec in zip(self.inputs, patch.inputs, strict=True)
        ]
        self._into: list[Tensor] = list(self.outputs)
        self._patch = patch
        self._alive: list[object] = []

    def fill(self, kinds: Sequence[Kind], inputs: Sequence[object]) -> list[Any]:
        """Point at `inputs`, or copies of them where needed, and at new outputs, which are returned.

        Raises:
            RunError: DYD602 or DYD604, as `Kind.admit`.
        """
        for kind, tensor, (slot, wanted) in zip(kinds, inputs, self._slots, strict=True):
            alive, slot.data = kind.admit(tensor, wanted)
            self._alive.append(alive)
        outputs = []
        empty = kinds[0].empty
        for spec, slot in zip(self._patch.outputs, self._into, strict=True):
            output, slot.data = empty(spec)
            outputs.append(output)
        return outputs

    def cut(self, outputs: list[Any]) -> list[Any]:
        """After a run: the outputs in the shapes that it gave them, in the memory that `fill` made."""
        if not self._patch.varies:
            return outputs
        return [_cut(output, slot.get_shape()) for output, slot in zip(outputs, self._into, strict=True)]

    def release(self) -> None:
        """Let go of the tensors and let another call have this set."""
        self._alive.clear()
        self._patch.idle.append(self)


def _cut(output: Any, shape: Shape) -> Any:
    return output.reshape(-1)[: prod(shape)].reshape(shape)
