"""Products of matrices and vectors."""

from __future__ import annotations

import numpy as np
import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, every, stretched, whole
from dydca.analysis.facts import Fact, Scalar, Size
from dydca.analysis.intervals import Interval
from dydca.analysis.rules.arithmetic import equal
from dydca.analysis.rules.promotion import broadcast_shapes, require_stretches
from dydca.analysis.rules.registry import (
    Demands,
    bounds,
    demand_rule,
    interval_rule,
    require,
    require_rank,
    rule,
    shape_text,
    told,
)
from dydca.analysis.weighted import taps, weighted_sum

aten = torch.ops.aten


def _require_inner(node: Node, a: Size, b: Size, left: Fact, right: Fact) -> None:
    got = told("{} and {}", left.shape, right.shape)
    require(node, equal(a, b), "the inner sizes differ", got=got, want=told("{} on both sides", a))


@rule(aten.linear.default)
def linear(node: Node, x: Fact, weight: Fact, bias: Fact | None = None) -> Fact:
    """``x[..., I] @ weight[O, I].T + bias[O] -> [..., O]``."""
    require(node, len(x.shape) > 0, "there is no feature axis", got=shape_text(x.shape), want="1 axis or more")
    _require_inner(node, x.shape[-1], weight.shape[-1], x, weight)
    result = (*x.shape[:-1], *weight.shape[:-1])
    if bias is not None:
        require_stretches(node, bias.shape, result, "the bias does not fit")
    return Fact(result, x.dtype)


@rule(aten.matmul.default)
def matmul(node: Node, a: Fact, b: Fact) -> Fact:
    """Vectors, matrices or stacks of these; leading axes broadcast."""
    both = bool(a.shape and b.shape)
    got = told("{} and {}", a.shape, b.shape)
    require(node, both, "a number is no matrix", got=got, want="1 axis or more")
    left = a.shape if len(a.shape) > 1 else (1, *a.shape)
    right = b.shape if len(b.shape) > 1 else (*b.shape, 1)
    _require_inner(node, left[-1], right[-2], a, b)
    rows = left[-2:-1] if len(a.shape) > 1 else ()
    columns = right[-1:] if len(b.shape) > 1 else ()
    return Fact((*broadcast_shapes(node, left[:-2], right[:-2]), *rows, *columns), a.dtype)


@rule(aten.mm.default, aten.bmm.default, aten.mv.default, aten.dot.default)
def fixed_matmul(node: Node, a: Fact, b: Fact) -> Fact:
    """The product of operands of one fixed rank; a stack does not broadcast."""
    ranks = {aten.mm.default: (2, 2), aten.bmm.default: (3, 3), aten.mv.default: (2, 1), aten.dot.default: (1, 1)}
    rank_a, rank_b = ranks[node.target]  # type: ignore[index]
    require_rank(node, a, rank_a)
    require_rank(node, b, rank_b)
    if rank_a == 3:
        _require_inner(node, a.shape[0], b.shape[0], a, b)
    return matmul(node, a, b)


@rule(aten.addmm.default, aten.baddbmm.default, aten.addmv.default)
def add_matmul(node: Node, bias: Fact, a: Fact, b: Fact, *, beta: Scalar = 1, alpha: Scalar = 1) -> Fact:
    """``beta * bias + alpha * (a @ b)``; the bias stretches."""
    result = matmul(node, a, b)
    require_stretches(node, bias.shape, result.shape, "the bias does not fit")
    return result


@rule(aten.outer.default)
def outer(node: Node, a: Fact, b: Fact) -> Fact:
    """Every product of two vectors' elements."""
    require_rank(node, a, 1)
    require_rank(node, b, 1)
    return Fact((a.shape[0], b.shape[0]), torch.promote_types(a.dtype, b.dtype))  # type: ignore[arg-type]


@rule(aten.scaled_dot_product_attention.default)
def attention(node: Node, query: Fact, key: Fact, value: Fact, *settings: object, **options: object) -> Fact:
    """``softmax(query @ key.T) @ value``: ``[..., L, E], [..., S, E], [..., S, V] -> [..., L, V]``."""
    _require_inner(node, query.shape[-1], key.shape[-1], query, key)
    _require_inner(node, key.shape[-2], value.shape[-2], key, value)
    batch = broadcast_shapes(node, query.shape[:-2], broadcast_shapes(node, key.shape[:-2], value.shape[:-2]))
    return Fact((*batch, query.shape[-2], value.shape[-1]), query.dtype)


def _products(result: Fact, a: Fact, b: Fact, count: Size) -> Interval:
    """Sums of `count` products of any element of the one and any of the other."""
    products = a.bounds.collapsed() * b.bounds.collapsed()
    return products.summed(count if isinstance(count, int) else None, result.dtype)


@interval_rule(aten.linear.default)
def linear_interval(node: Node, result: Fact, x: Fact, weight: Fact, bias: Fact | None = None) -> Interval:
    """Per output feature where the weights are known."""
    if weight.tensor is not None and weight.tensor.dim() == 2:
        parts = taps(weight.tensor[:, :, None], np.ones(1, np.bool_))
        return weighted_sum(x.bounds, parts, 1, None if bias is None else bias.bounds, result.dtype, -1)
    products = _products(result, x, weight, weight.shape[-1])
    return products if bias is None else products + bias.bounds


@interval_rule(aten.matmul.default, aten.mm.default, aten.bmm.default, aten.mv.default, aten.dot.default)
def matmul_interval(node: Node, result: Fact, a: Fact, b: Fact) -> Interval:
    """Per column of a known matrix on the right, else one for all."""
    if b.tensor is not None and b.tensor.dim() == 2 and len(a.shape) > 1:
        parts = taps(b.tensor.T[:, :, None], np.ones(1, np.bool_))
        return weighted_sum(a.bounds, parts, 1, None, result.dtype, -1)
    return _products(result, a, b, a.shape[-1])


@interval_rule(aten.addmm.default, aten.baddbmm.default, aten.addmv.default)
def add_matmul_interval(
    node: Node, result: Fact, bias: Fact, a: Fact, b: Fact, *, beta: Scalar = 1, alpha: Scalar = 1
) -> Interval:
    """``beta * bias + alpha * (a @ b)``."""
    products = matmul_interval(node, result, a, b) if (alpha, beta) == (1, 1) else _products(result, a, b, a.shape[-1])
    if (alpha, beta) == (1, 1):
        return products + bias.bounds
    return (products * bounds(alpha)).stretched(2.0**-22) + (bias.bounds * bounds(beta)).stretched(2.0**-22)


@interval_rule(aten.outer.default)
def outer_interval(node: Node, result: Fact, a: Fact, b: Fact) -> Interval:
    """Single products."""
    return a.bounds.collapsed() * b.bounds.collapsed()


@interval_rule(aten.scaled_dot_product_attention.default)
def attention_interval(
    node: Node, result: Fact, query: Fact, key: Fact, value: Fact, *settings: object, **options: object
) -> Interval | None:
    """A weighted mean of the values, if they and the scores are finite and nothing is dropped."""
    drops = settings[1:2] not in ((), (0.0,)) or options.get("dropout_p", 0.0) != 0.0
    if drops or not (value.bounds.bounded and query.bounds.bounded and key.bounds.bounded):
        return None
    mean = value.bounds.along(-1)
    return mean.stretched(2.0**-12, 2.0**-12 * mean.magnitude)


@demand_rule(aten.linear.default)
def linear_demand(node: Node, wanted: Box, result: Fact, x: Fact, weight: Fact, bias: Fact | None = None) -> Demands:
    """Whole features, and the weights of the outputs that are wanted."""
    axes, features = len(x.shape) - 1, every(x.shape[-1], node)
    read = [(*wanted[:axes], features), (*wanted[axes:], features)]
    return read if bias is None else [*read, stretched(wanted, bias.shape)]


@demand_rule(aten.matmul.default, aten.mm.default, aten.bmm.default)
def matmul_demand(node: Node, wanted: Box, result: Fact, a: Fact, b: Fact) -> Demands:
    """Whole rows of the one, whole columns of the other."""
    if len(a.shape) < 2 or len(b.shape) < 2:
        return [whole(a.shape, node), whole(b.shape, node)]
    rows = (*stretched(wanted[:-2], a.shape[:-2]), wanted[-2], every(a.shape[-1], node))
    columns = (*stretched(wanted[:-2], b.shape[:-2]), every(b.shape[-2], node), wanted[-1])
    return [rows, columns]


@demand_rule(aten.addmm.default, aten.baddbmm.default)
def add_matmul_demand(
    node: Node, wanted: Box, result: Fact, bias: Fact, a: Fact, b: Fact, **factors: Scalar
) -> Demands:
    """As `matmul_demand`, and the places of the bias."""
    return [stretched(wanted, bias.shape), *matmul_demand(node, wanted, result, a, b)]


@demand_rule(aten.scaled_dot_product_attention.default)
def attention_demand(
    node: Node, wanted: Box, result: Fact, query: Fact, key: Fact, value: Fact, *settings: object, **options: object
) -> Demands:
    """The rows of the query, all keys, the columns of the values."""
    batch = wanted[:-2]
    return [
        (*stretched(batch, query.shape[:-2]), wanted[-2], every(query.shape[-1], node)),
        (*stretched(batch, key.shape[:-2]), *whole(key.shape[-2:], node)),
        (*stretched(batch, value.shape[:-2]), every(value.shape[-2], node), wanted[-1]),
    ]
