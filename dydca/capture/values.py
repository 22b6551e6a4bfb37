"""What is known of the numbers in a tensor while a path is traced, so that ``int()`` of it is a choice among few.

A table by the name of the torch function, each rule from what is known of the operands to what is known of the result.
It holds what networks choose routes by: class indices, clamped levels, counts of flags, tables of widths. What has no
rule is unknown, which is always sound.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

MEMBERS = 1024
"""A set of more numbers is known by its ends only."""

EXACT = 2**24
"""Up to here float32 holds every integer."""


@dataclass(frozen=True)
class Known:
    """All elements lie in ``low..high``, are among `members` where these are listed, and below `count` if it is given.

    `count` is a size that is still free.
    """

    low: float
    high: float
    members: frozenset[int] | None = None
    count: torch.SymInt | None = None

    @property
    def integers(self) -> tuple[int, ...] | None:
        """The integers it may be, rising; None if they are too many to list."""
        if self.members is not None:
            return tuple(sorted(self.members))
        low, high = (end if math.isfinite(end) else 0 for end in (self.low, self.high))
        if (low, high) != (self.low, self.high) or high - low >= MEMBERS:
            return None
        return tuple(range(math.ceil(low), math.floor(high) + 1))

    def fixed(self, limit: int) -> Known | None:
        """With the free size fixed to that of the patch at hand, if that is not above the limit."""
        few = self.count is not None and self.count.node.hint <= limit
        return below(int(self.count)) if self.count is not None and few else self


@dataclass(frozen=True)
class Use:
    """One call of a torch function.

    Attributes:
        args: Positional arguments.
        kwargs: The others.
        result: What it gave.
        known: What is known of an argument, be it a tensor or a number.
    """

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    result: Any
    known: Callable[[object], Known | None]

    def get(self, place: int, name: str) -> Any:
        """The argument at a place or by its name; None if it was not given."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name)


Rule: TypeAlias = Callable[[Use], "Known | None"]


def listed(numbers: Iterable[float]) -> Known | None:
    """Just these; None for none."""
    members = frozenset(numbers)
    if not members:
        return None
    kept = len(members) <= MEMBERS and all(number == int(number) for number in members)
    return Known(min(members), max(members), frozenset(map(int, members)) if kept else None)


def below(count: int) -> Known | None:
    """``0..count - 1``."""
    if isinstance(count, torch.SymInt):
        return Known(0, math.inf, count=count)
    return listed(range(count)) if count <= MEMBERS else Known(0, count - 1)


def of_tensor(tensor: Tensor) -> Known | None:
    """Of a stored tensor of integers."""
    small = 0 < tensor.numel() <= MEMBERS and not tensor.is_floating_point() and not tensor.is_complex()
    return listed(tensor.flatten().tolist()) if small else None


def named_tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The tensors that the parts of a network hold: parameters, buffers, and plain attributes."""
    for path, part in network.named_modules():
        registered = (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False))
        for name, value in (*registered, *vars(part).items()):
            if isinstance(value, Tensor):
                yield f"{path}.{name}", value


def of_network(network: nn.Module) -> dict[str, Known]:
    """What is known of the tensors of a network, by name."""
    found = ((name, of_tensor(tensor)) for name, tensor in named_tensors(network))
    return {name: known for name, known in found if known is not None}


def result_of(name: str, use: Use) -> list[tuple[Tensor, Known]]:
    """What is known of the tensors that a call gave."""
    results = use.result if isinstance(use.result, tuple) else (use.result,)
    rules = [RULES.get(name), INDICES.get(name)] if name not in _SPLIT else [_first] * len(results)
    pairs = [(made, rule(use)) for made, rule in zip(results, rules, strict=False) if isinstance(made, Tensor) and rule]
    return [(tensor, known) for tensor, known in pairs if known is not None]


def _along(place: int, default: int | None = None) -> Rule:
    """Positions along the axis that an argument names; among all elements if it names none and nothing is assumed."""

    def rule(use: Use) -> Known | None:
        dim = use.get(place, "dim")
        dim = default if dim is None else dim
        return below(use.args[0].numel() if dim is None else use.args[0].shape[dim])

    return rule


def _elementwise(compute: Callable[..., Any], count: int) -> Rule:
    """A function that over a box of operands is least and greatest at corners."""

    def rule(use: Use) -> Known | None:
        if use.kwargs:  # `alpha` and the like, which nobody chooses routes by
            return None
        operands = [use.known(argument) for argument in use.args[:count]]
        known = [operand for operand in operands if operand is not None]
        if len(known) < count:
            return None
        sets = [operand.members for operand in known if operand.members is not None]
        if len(sets) == count and math.prod(map(len, sets)) <= MEMBERS:
            return listed(compute(*numbers) for numbers in product(*sets))
        kind = np.float32 if use.result.dtype == torch.float32 else float  # to round as the tensor's own arithmetic
        corners = [float(compute(*map(kind, corner))) for corner in product(*((k.low, k.high) for k in known))]
        return None if any(map(math.isnan, corners)) else Known(min(corners), max(corners))

    return rule


def _ordered(compare: Callable[..., bool]) -> Rule:
    """Decided if all corners agree."""
    corners = _elementwise(compare, 2)

    def rule(use: Use) -> Known | None:
        found = corners(use)
        return found if found is not None and found.low == found.high else None

    return rule


def _equal(compare: Callable[..., bool]) -> Rule:
    """Decided if the operands share no number, or have one each."""

    def rule(use: Use) -> Known | None:
        left, right = use.known(use.args[0]), use.known(use.args[1])
        if left is None or right is None:
            return None
        if left.high < right.low or right.high < left.low:
            return listed([compare(0, 1)])
        return listed([compare(0, 0)]) if left.low == left.high == right.low == right.high else None

    return rule


def _absolute(use: Use) -> Known | None:
    before = use.known(use.args[0])
    if before is None:
        return None
    if before.members is not None:
        return listed(map(abs, before.members))
    return Known(max(before.low, -before.high, 0), max(abs(before.low), abs(before.high)))


def _quotient(use: Use) -> Known | None:
    divisor = use.known(use.args[1])
    return _elementwise(operator.floordiv, 2)(use) if divisor is not None and divisor.low > 0 else None


def _remainder(use: Use) -> Known | None:
    exact, divisor = use.known(use.args[0]), use.known(use.args[1])
    if divisor is None or divisor.low <= 0 or use.result.is_floating_point():
        return None
    if exact is not None and exact.members is not None and divisor.members is not None:
        return _elementwise(operator.mod, 2)(use)
    return below(int(divisor.high))


def _clamped(use: Use) -> Known | None:
    before = use.known(use.args[0])
    ends = [use.get(1, "min"), use.get(2, "max")]
    low, high = (use.known(end) for end in ends)
    if any(end is not None and known is None for end, known in zip(ends, (low, high), strict=True)):
        return None
    bottom, top = low.low if low else -math.inf, high.high if high else math.inf
    if before is not None and before.members is not None:
        return listed(min(max(number, bottom), top) for number in before.members)
    low_end, high_end = (before.low, before.high) if before is not None else (-math.inf, math.inf)
    return Known(min(max(low_end, bottom), top), min(max(high_end, bottom), top))


def _converted(use: Use) -> Known | None:
    before = use.known(use.args[0])
    if before is None or not -EXACT <= before.low <= before.high <= EXACT:
        return None
    if before.members is not None or use.result.is_floating_point():
        return before
    return Known(math.trunc(before.low), math.trunc(before.high))


def _sum(use: Use) -> Known | None:
    before, count = use.known(use.args[0]), use.args[0].numel()
    if before is None or use.result.is_floating_point():
        return None
    if isinstance(count, torch.SymInt):
        return Known(0, math.inf, count=count + 1) if before.members == frozenset((0, 1)) else None
    return Known(min(before.low * count, before.low), max(before.high * count, before.high))


def _union(*operands: Known | None) -> Known | None:
    known = [operand for operand in operands if operand is not None]
    if not known or len(known) < len(operands):
        return None
    if all(operand.members is not None for operand in known):
        return listed(number for operand in known for number in operand.members or ())
    return Known(min(operand.low for operand in known), max(operand.high for operand in known))


def _written(use: Use) -> Known | None:
    """Numbers in the source: ``torch.tensor([16, 32])``."""
    flat = np.ravel(np.array(use.args[0], dtype=object))
    return listed(flat.tolist()) if all(type(number) in (int, bool) for number in flat) else None


def _counted(use: Use) -> Known | None:
    plain = all(type(argument) is int for argument in use.args)
    return listed(range(*use.args)) if plain and len(range(*use.args)) <= MEMBERS else None


def _first(use: Use) -> Known | None:
    return use.known(use.args[0])


def _extreme(compute: Callable[..., Any]) -> Rule:
    """Of one tensor one of its elements, of two tensors elementwise."""
    pairwise = _elementwise(compute, 2)
    return lambda use: pairwise(use) if isinstance(use.get(1, "other"), Tensor) else _first(use)


def _chosen(use: Use) -> Known | None:
    """Of ``torch.where(condition, a, b)`` and of ``a.where(condition, b)``."""
    operands = [use.get(place, name) for place, name in enumerate(("condition", "input", "other"))]
    return _union(*(use.known(operand) for operand in operands if getattr(operand, "dtype", None) != torch.bool))


_KEPT = """
    amax amin clone contiguous detach expand expand_as flatten gather index_select permute repeat reshape select squeeze
    take take_along_dim transpose unsqueeze view __getitem__
"""
_SPLIT = ("unbind", "split", "chunk", "tensor_split")
_CONVERTED = "to type type_as int long short float double"

RULES: dict[str, Rule] = {
    **dict.fromkeys(_KEPT.split(), _first),
    **dict.fromkeys(_CONVERTED.split(), _converted),
    **dict.fromkeys(("argmax", "argmin"), _along(1)),
    "argsort": _along(1, -1),
    "bucketize": lambda use: below(use.args[1].numel() + 1),
    "searchsorted": lambda use: below(use.args[0].shape[-1] + 1),
    "count_nonzero": lambda use: below(use.args[0].numel() + 1),
    **dict.fromkeys(("clamp", "clip"), _clamped),
    "sum": _sum,
    **dict.fromkeys(("cat", "stack", "concat"), lambda use: _union(*map(use.known, use.args[0]))),
    "where": _chosen,
    **dict.fromkeys(("sigmoid", "softmax", "hardsigmoid"), lambda _: Known(0, 1)),
    "tanh": lambda _: Known(-1, 1),
    **dict.fromkeys(("tensor", "as_tensor"), _written),
    "arange": _counted,
    **dict.fromkeys(("add", "__add__", "__radd__"), _elementwise(operator.add, 2)),
    **dict.fromkeys(("sub", "__sub__"), _elementwise(operator.sub, 2)),
    "__rsub__": _elementwise(lambda a, b: b - a, 2),
    **dict.fromkeys(("mul", "__mul__", "__rmul__"), _elementwise(operator.mul, 2)),
    **dict.fromkeys(("floor_divide", "__floordiv__"), _quotient),
    **dict.fromkeys(("remainder", "__mod__"), _remainder),
    **dict.fromkeys(("abs", "__abs__", "absolute"), _absolute),
    **dict.fromkeys(("lt", "__lt__"), _ordered(operator.lt)),
    **dict.fromkeys(("le", "__le__"), _ordered(operator.le)),
    **dict.fromkeys(("gt", "__gt__"), _ordered(operator.gt)),
    **dict.fromkeys(("ge", "__ge__"), _ordered(operator.ge)),
    **dict.fromkeys(("eq", "__eq__"), _equal(operator.eq)),
    **dict.fromkeys(("ne", "__ne__"), _equal(operator.ne)),
    **dict.fromkeys(("neg", "__neg__"), _elementwise(operator.neg, 1)),
    **dict.fromkeys(("min", "minimum"), _extreme(min)),
    **dict.fromkeys(("max", "maximum"), _extreme(max)),
    "relu": _elementwise(lambda number: max(number, 0), 1),
    "floor": _elementwise(math.floor, 1),
    "ceil": _elementwise(math.ceil, 1),
    "trunc": _elementwise(math.trunc, 1),
    "round": _elementwise(round, 1),
}
"""By name of the function, which torch and Tensor share; of several results, the first."""

INDICES: dict[str, Rule] = {
    **dict.fromkeys(("max", "min", "median", "mode"), _along(1)),
    "sort": _along(1, -1),
    "topk": _along(2, -1),
    "kthvalue": _along(2, -1),
}
"""Of the second result, which are positions."""
