"""Elementwise operators, on tensors by torch and on sizes by Python."""

from __future__ import annotations

import math
import operator as python
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dydca.capture.onnx.numbers import Numbers, Value, tensor_of
from dydca.capture.onnx.table import OPERATORS, Node, Operator, operator
from dydca.capture.onnx.types import TORCH_TYPES


def _on_tensors(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda _, *operands: function(*map(tensor_of, operands))


def _on_numbers(compute: Callable[..., Any], function: Callable[..., Tensor], dtype: torch.dtype | None = None) -> Any:
    """Elementwise on two values; a single number beside a tensor stays a number."""

    def run(_: Node, left: Value, right: Value) -> Value:
        if isinstance(left, Numbers) and isinstance(right, Numbers):
            count = max(len(left.values), len(right.values)) if left.values and right.values else 0
            pairs = zip(_repeated(left, count), _repeated(right, count), strict=True)
            values = tuple(compute(*pair) for pair in pairs)
            return Numbers(values, dtype or left.dtype, left.scalar and right.scalar)
        return function(_operand(left), _operand(right))

    return run


def _repeated(numbers: Numbers, count: int) -> tuple[Any, ...]:
    return numbers.values * count if len(numbers.values) == 1 else numbers.values


def _operand(value: Value) -> Any:
    plain = isinstance(value, Numbers) and value.scalar and type(value.values[0]) in (int, float)
    return value.values[0] if isinstance(value, Numbers) and plain else tensor_of(value)


def _tensors(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """For functions that want a tensor first."""

    def run(left: Any, right: Any) -> Tensor:
        like = left if isinstance(left, Tensor) else right
        operands = (x if isinstance(x, Tensor) else torch.scalar_tensor(x, dtype=like.dtype) for x in (left, right))
        return function(*operands)

    return run


def _divided(left: Any, right: Any) -> Tensor:
    exact = [x.is_floating_point() if isinstance(x, Tensor) else isinstance(x, float) for x in (left, right)]
    return left / right if any(exact) else _tensors(lambda a, b: torch.div(a, b, rounding_mode="trunc"))(left, right)


def _quotient(left: Any, right: Any) -> Any:
    if isinstance(left, float) or isinstance(right, float):
        return left / right
    negative = isinstance(left, int) and isinstance(right, int) and (left < 0) != (right < 0)
    return -(-left // right) if negative else left // right  # sizes that are free are not negative


def _modulo(node: Node, left: Value, right: Value) -> Value:
    if node.get("fmod", 0):
        return torch.fmod(tensor_of(left), tensor_of(right))
    result: Value = _on_numbers(python.mod, _tensors(torch.remainder))(node, left, right)
    return result


OPERATORS |= {
    "Add": _on_numbers(python.add, python.add),
    "Sub": _on_numbers(python.sub, python.sub),
    "Mul": _on_numbers(python.mul, python.mul),
    "Div": _on_numbers(_quotient, _divided),
    "Mod": _modulo,
    "Pow": _on_numbers(python.pow, python.pow),
    "Equal": _on_numbers(python.eq, python.eq, torch.bool),
    "Less": _on_numbers(python.lt, python.lt, torch.bool),
    "LessOrEqual": _on_numbers(python.le, python.le, torch.bool),
    "Greater": _on_numbers(python.gt, python.gt, torch.bool),
    "GreaterOrEqual": _on_numbers(python.ge, python.ge, torch.bool),
}

_PLAIN: dict[str, Callable[..., Tensor]] = {
    "Relu": torch.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Exp": torch.exp, "Log": torch.log,
    "Sqrt": torch.sqrt, "Reciprocal": torch.reciprocal, "Erf": torch.erf, "Sin": torch.sin, "Cos": torch.cos,
    "Tan": torch.tan, "Atan": torch.atan, "Asin": torch.asin, "Acos": torch.acos, "Sinh": torch.sinh,
    "Cosh": torch.cosh, "Round": torch.round, "Sign": torch.sign, "Not": torch.logical_not, "IsNaN": torch.isnan,
    "And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor, "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or, "BitwiseXor": torch.bitwise_xor, "BitwiseNot": torch.bitwise_not,
    "HardSwish": functional.hardswish, "Mish": functional.mish, "Softplus": functional.softplus,
    "Softsign": functional.softsign, "Selu": functional.selu,
}  # fmt: skip
for _name, _function in _PLAIN.items():
    OPERATORS[_name] = _on_tensors(_function)


def _alone(compute: Callable[[Any], Any], function: Callable[[Tensor], Tensor]) -> Operator:
    def run(_: Node, value: Value) -> Value:
        if isinstance(value, Numbers):
            return value.like([compute(number) for number in value.values], scalar=value.scalar)
        return function(tensor_of(value))

    return run


OPERATORS |= {
    "Identity": lambda _, value: value,
    "Neg": _alone(python.neg, torch.neg),
    "Abs": _alone(abs, torch.abs),
    "Floor": _alone(math.floor, torch.floor),
    "Ceil": _alone(math.ceil, torch.ceil),
    "Swish": lambda node, x: x * torch.sigmoid(node.get("alpha", 1.0) * x),
    "LeakyRelu": lambda node, x: functional.leaky_relu(x, node.get("alpha", 0.01)),
    "Elu": lambda node, x: functional.elu(x, node.get("alpha", 1.0)),
    "Celu": lambda node, x: functional.celu(x, node.get("alpha", 1.0)),
    "ThresholdedRelu": lambda node, x: functional.threshold(x, node.get("alpha", 1.0), 0.0),
    "Gelu": lambda node, x: functional.gelu(x, approximate=node.get("approximate", "none")),
    "Softmax": lambda node, x: functional.softmax(x, node.get("axis", -1)),
    "LogSoftmax": lambda node, x: functional.log_softmax(x, node.get("axis", -1)),
}


@operator("HardSigmoid")
def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    return functional.hardsigmoid(x) if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5 else (alpha * x + beta).clamp(0, 1)


@operator("PRelu")
def _prelu(_: Node, x: Tensor, slope: Value) -> Tensor:
    weight = tensor_of(slope)
    if weight.numel() == 1 or (x.dim() > 1 and tuple(weight.shape) == (x.shape[1], *(1,) * (x.dim() - 2))):
        return functional.prelu(x, weight.reshape(-1))
    return torch.where(x < 0, x * weight, x)


@operator("Clip")
def _clip(node: Node, x: Value, low: Value = None, high: Value = None) -> Tensor:
    ends = [node.get("min"), node.get("max")]
    for place, value in enumerate((low, high)):
        if value is not None:
            (ends[place],) = node.numbers(value, place + 1) or (None,)
    return tensor_of(x) if ends == [None, None] else torch.clamp(tensor_of(x), *ends)


@operator("Min", "Max", "Sum", "Mean")
def _of_several(node: Node, *values: Value) -> Value:
    if all(isinstance(value, Numbers) for value in values) and node.operator in ("Min", "Max"):
        compute = torch.sym_min if node.operator == "Min" else torch.sym_max
        found: Value = reduce(lambda a, b: _on_numbers(compute, torch.add)(node, a, b), values)
        return found
    functions = {"Min": torch.minimum, "Max": torch.maximum}
    total = reduce(functions.get(node.operator, torch.add), map(tensor_of, values))
    return total / len(values) if node.operator == "Mean" else total


@operator("Where")
def _where(_: Node, condition: Value, left: Value, right: Value) -> Value:
    if isinstance(condition, Numbers) and all(isinstance(known, bool) for known in condition.values):
        if condition.scalar:
            return left if condition.values[0] else right
        if isinstance(left, Numbers) and isinstance(right, Numbers):
            count = max(len(value.values) for value in (condition, left, right))
            rows = zip(*(_repeated(value, count) for value in (condition, left, right)), strict=True)
            return left.like([a if chosen else b for chosen, a, b in rows])
    return torch.where(tensor_of(condition), tensor_of(left), tensor_of(right))


@operator("Cast")
def _cast(node: Node, value: Value) -> Value:
    dtype = TORCH_TYPES.get(node.get("to"))
    if dtype is None:
        node.refuse(f"element type {node.get('to')}")
    if isinstance(value, Numbers) and all(isinstance(number, bool) for number in value.values):
        value = value.like([int(number) for number in value.values], scalar=value.scalar)
    if isinstance(value, Numbers) and dtype != torch.bool:
        convert: Callable[[Any], Any] = torch.sym_float if dtype.is_floating_point else torch.sym_int
        return Numbers(tuple(map(convert, value.values)), dtype, value.scalar)
    return tensor_of(value).to(dtype)


@operator("CastLike")
def _cast_like(_: Node, value: Value, like: Value) -> Tensor:
    return tensor_of(value).to(tensor_of(like).dtype)
