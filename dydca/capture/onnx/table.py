"""Operators of ONNX by name; a family of them is a module of functions from a node and its operands to results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from dydca.capture.onnx.numbers import Numbers, Value
from dydca.errors import CaptureError


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        operator: ``Conv``, or ``com.microsoft::FusedConv`` for what is not ONNX's own.
        name: Of the node, else of its first output.
        inputs: Names of the operands, empty for one that is left out.
        outputs: Names of the results.
        attributes: As Python values; a graph as `dydca.capture.onnx.network.Body`.
        opset: Version of the operators.
        constants: The operands that are constants of few numbers, by name.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int
    constants: Mapping[str, Numbers]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def numbers(self, value: Value, place: int) -> tuple[Any, ...] | None:
        """The operand at a place as Python's numbers, None if it is left out.

        Raises:
            CaptureError: DYD112, only the values of a picture tell them.
        """
        if value is None:
            return None
        if isinstance(value, Numbers):
            return value.values
        constant = self.constants.get(self.inputs[place])
        if constant is None:
            self.refuse(f"operand {self.inputs[place]} that is computed from values")
        return constant.values

    def option(self, name: str, place: int, value: Value) -> tuple[Any, ...] | None:
        """What older versions of an operator hold as an attribute and newer ones take as an operand."""
        given = self.get(name)
        return self.numbers(value, place) if given is None else tuple(given)

    def refuse(self, got: str) -> NoReturn:
        """Refuses the node.

        Raises:
            CaptureError: DYD112.
        """
        got = f"{self.operator} with {got} in opset {self.opset}"
        raise CaptureError("DYD112", "an ONNX node is of a kind that is not read", where=self.name, got=got)


Operator: TypeAlias = Callable[..., Any]
"""From the node and its operands to a value, or to several."""

OPERATORS: dict[str, Operator] = {}


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Enters a function as what nodes of these names compute."""

    def enter(function: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return enter
