"""Broadcasting, type promotion and reductions against eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import strategies as st

from tests.analysis.differential import Call, Operand, agrees, call, tensors

aten = torch.ops.aten
Draw = Callable[[Any], Any]
DTYPES = st.sampled_from(
    [torch.float32, torch.float64, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool]
)
FLOAT = st.just(torch.float32)
NUMBERS = st.sampled_from([2, 3.0, True])


def operand(draw: Draw, shape: tuple[int, ...]) -> Operand:
    """A tensor that perhaps broadcasts against the shape, and perhaps does not."""
    sizes = tuple(draw(st.sampled_from([size, size, size, 1, 3])) for size in shape)
    return Operand(sizes[draw(st.integers(0, len(sizes))) :] if draw(st.booleans()) else sizes, draw(DTYPES))


def pair(op: Any) -> Callable[[Draw], Call]:
    def strategy(draw: Draw) -> Call:
        x = draw(tensors(0, 4, most=5))
        return call(op, Operand(x.shape, draw(DTYPES)), operand(draw, x.shape))

    return strategy


def with_number(op: Any) -> Callable[[Draw], Call]:
    return lambda draw: call(op, Operand(draw(tensors(0, 3)).shape, draw(DTYPES)), draw(NUMBERS))


def single(op: Any) -> Callable[[Draw], Call]:
    return lambda draw: call(op, Operand(draw(tensors(0, 3)).shape, draw(DTYPES)))


def float_only(op: Any, *settings: Any) -> Callable[[Draw], Call]:
    return lambda draw: call(
        op, Operand(draw(tensors(0, 3)).shape, draw(st.sampled_from([torch.float32, torch.float64]))), *settings
    )


def where(draw: Draw) -> Call:
    x = draw(tensors(0, 3))
    return call(aten.where.self, Operand(x.shape, torch.bool), operand(draw, x.shape), operand(draw, x.shape))


def clamp(draw: Draw) -> Call:
    low, high = draw(st.sampled_from([(0, None), (0.5, 2), (None, 3), (0, 1)]))
    return call(aten.clamp.default, Operand(draw(tensors(0, 3)).shape, draw(DTYPES)), low, high)


def clamp_tensor(draw: Draw) -> Call:
    x = draw(tensors(0, 3))
    return call(aten.clamp.Tensor, x, operand(draw, x.shape), None)


def masked_fill(draw: Draw) -> Call:
    x = draw(tensors(0, 3))
    mask = operand(draw, x.shape)
    return call(aten.masked_fill.Scalar, x, Operand(mask.shape, torch.bool), 1.0)


def prelu(draw: Draw) -> Call:
    return call(aten.prelu.default, draw(tensors(1, 4)), Operand((draw(st.integers(1, 4)),)))


def copy(draw: Draw) -> Call:
    x = draw(tensors(0, 3))
    return call(aten.copy.default, Operand(x.shape, draw(DTYPES)), operand(draw, x.shape))


def addcmul(draw: Draw) -> Call:
    x = draw(tensors(1, 3))
    a, b = operand(draw, x.shape), operand(draw, x.shape)
    return call(aten.addcmul.default, x, Operand(a.shape), Operand(b.shape))


def axes(draw: Draw, rank: int) -> list[int]:
    chosen: list[int] = draw(
        st.lists(st.integers(-rank - 1, rank), max_size=3, unique_by=lambda axis: axis % max(rank, 1))
    )
    return chosen


def reduce_axes(op: Any, dtypes: Any = FLOAT) -> Callable[[Draw], Call]:
    def strategy(draw: Draw) -> Call:
        x = Operand(draw(tensors(1, 4)).shape, draw(dtypes))
        return call(op, x, axes(draw, len(x.shape)), draw(st.booleans()))

    return strategy


def spread_axes(op: Any) -> Callable[[Draw], Call]:
    def strategy(draw: Draw) -> Call:
        x = draw(tensors(1, 4))
        return call(op, x, axes(draw, len(x.shape)), draw(st.booleans()), draw(st.booleans()))

    return strategy


def one_axis(op: Any, *settings: Any, dtypes: Any = FLOAT) -> Callable[[Draw], Call]:
    return lambda draw: call(op, Operand(draw(tensors(0, 3)).shape, draw(dtypes)), draw(st.integers(-3, 2)), *settings)


def topk(draw: Draw) -> Call:
    return call(aten.topk.default, draw(tensors(0, 3)), draw(st.integers(1, 5)), draw(st.integers(-3, 2)))


PAIRS = """
    add.Tensor sub.Tensor mul.Tensor div.Tensor floor_divide.default remainder.Tensor pow.Tensor_Tensor maximum.default
    minimum.default eq.Tensor lt.Tensor ge.Tensor logical_and.default bitwise_and.Tensor atan2.default fmod.Tensor
"""
WITH_NUMBER = """
    add.Tensor sub.Tensor mul.Tensor div.Tensor rsub.Scalar remainder.Scalar pow.Tensor_Scalar floor_divide.default
    gt.Scalar ne.Scalar add.Scalar mul.Scalar clamp_min.default
"""
SINGLE = """
    neg.default abs.default square.default sqrt.default exp.default sigmoid.default tanh.default logical_not.default
    isnan.default bitwise_not.default sign.default relu.default reciprocal.default rsqrt.default log1p.default
    clone.default mean.default sum.default amax.default max.default any.default argmax.default prod.default
    count_nonzero.default
"""
FLOATS = """
    silu.default gelu.default softplus.default hardtanh.default leaky_relu.default elu.default hardswish.default
    mish.default floor.default round.default trunc.default erf.default log_sigmoid.default relu6.default
    hardsigmoid.default
"""


def named(name: str) -> Any:
    packet, overload = name.split(".")
    return getattr(getattr(aten, packet), overload)


STRATEGIES: dict[str, Callable[[Draw], Call]] = {
    **{f"{name} of tensors": pair(named(name)) for name in PAIRS.split()},
    **{f"{name} with a number": with_number(named(name)) for name in WITH_NUMBER.split()},
    **{f"{name} of one": single(named(name)) for name in SINGLE.split()},
    **{name: float_only(named(name)) for name in FLOATS.split()},
    "where": where,
    "clamp": clamp,
    "clamp of tensors": clamp_tensor,
    "masked_fill": masked_fill,
    "prelu": prelu,
    "copy": copy,
    "addcmul": addcmul,
    "div_floor": lambda draw: Call(aten.div.Tensor_mode, pair(aten.div.Tensor)(draw).args, {"rounding_mode": "floor"}),
    "mean": reduce_axes(aten.mean.dim),
    "sum": reduce_axes(aten.sum.dim_IntList, DTYPES),
    "amax": reduce_axes(aten.amax.default, DTYPES),
    "logsumexp": lambda draw: call(aten.logsumexp.default, draw(tensors(1, 3)), [draw(st.integers(-3, 2))], True),
    "var": spread_axes(aten.var.dim),
    "std_mean": spread_axes(aten.std_mean.dim),
    "max": one_axis(aten.max.dim, True, dtypes=DTYPES),
    "argmax": one_axis(aten.argmax.default, False),
    "softmax": one_axis(aten.softmax.int),
    "cumsum": one_axis(aten.cumsum.default, dtypes=DTYPES),
    "any": one_axis(aten.any.dim, dtypes=DTYPES),
    "prod": one_axis(aten.prod.dim_int, dtypes=DTYPES),
    "sort": one_axis(aten.sort.default),
    "topk": topk,
    "vector_norm": lambda draw: call(aten.linalg_vector_norm.default, draw(tensors(1, 3)), 2, [0], draw(st.booleans())),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_agrees_with_eager(name: str) -> None:
    agrees(STRATEGIES[name], examples=30)()
