"""Operators that read or write a part of a tensor."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import sympy
import torch
from torch.fx import Node

from dydca.analysis.facts import Fact, Size
from dydca.analysis.rules.arithmetic import at_least, ceildiv, equal, largest, smallest
from dydca.analysis.rules.promotion import broadcast_shapes, common_shape
from dydca.analysis.rules.registry import axis_of, require, require_rank, rule, shape_text, told

aten = torch.ops.aten


def unknown_size(node: Node, suffix: str = "") -> sympy.Symbol:
    """A size that only execution can tell."""
    return sympy.Symbol(f"u_{node.name}{suffix}", integer=True, nonnegative=True)


def _position(index: Size, size: Size) -> Size:
    """A slice's bound, counted from the front and kept inside."""
    if isinstance(index, int) and index >= sys.maxsize:
        return size
    if isinstance(index, int) and isinstance(size, int):
        return min(index, size) if index >= 0 else max(index + size, 0)
    front, back = smallest(index, size), largest(index + size, 0)
    if isinstance(index, int) or sympy.sympify(index).is_nonnegative is not None:
        return front if sympy.sympify(index).is_nonnegative else back
    return sympy.Piecewise((front, sympy.Ge(index, 0)), (back, True))


@rule(aten.slice.Tensor)
def slice_(
    node: Node, x: Fact, dim: int = 0, start: Size | None = None, end: Size | None = None, step: int = 1
) -> Fact:
    """``x[start:end:step]`` along one axis; bounds outside are clipped as in Python."""
    axis = axis_of(node, dim, len(x.shape))
    if not start and step == 1 and (end is None or (isinstance(end, int) and end >= sys.maxsize)):
        return Fact(x.shape, x.dtype, x.value)
    size = x.shape[axis]
    first, last = _position(start or 0, size), _position(sys.maxsize if end is None else end, size)
    value = x.value[start:end:step] if isinstance(x.value, tuple) else None
    return Fact((*x.shape[:axis], largest(ceildiv(last - first, step), 0), *x.shape[axis + 1 :]), x.dtype, value)


@rule(aten.narrow.default)
def narrow(node: Node, x: Fact, dim: int, start: Size, length: Size) -> Fact:
    """`length` elements of one axis."""
    axis = axis_of(node, dim, len(x.shape))
    first = start + x.shape[axis] if isinstance(start, int) and start < 0 else start
    fits = at_least(x.shape[axis], first + length)
    require(node, fits, "the part reaches beyond the axis", got=first + length, want=f"<= {x.shape[axis]}")
    return Fact((*x.shape[:axis], length, *x.shape[axis + 1 :]), x.dtype)


def _require_index(node: Node, index: Size, size: Size) -> None:
    require(node, at_least(size, index + 1), "the index lies outside", got=index, want=f"< {size}")
    require(node, at_least(index, -size), "the index lies outside", got=index, want=f">= {-size}")


@rule(aten.select.int)
def select(node: Node, x: Fact, dim: int, index: Size) -> Fact:
    """One entry of an axis, which goes."""
    axis = axis_of(node, dim, len(x.shape))
    require(node, len(x.shape) > 0, "there is no axis to select from", got=shape_text(x.shape), want="1 axis or more")
    _require_index(node, index, x.shape[axis])
    value = x.value[index] if isinstance(x.value, tuple) and isinstance(index, int) else None
    return Fact((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype, value)


@rule(aten.select_scatter.default)
def select_scatter(node: Node, x: Fact, source: Fact, dim: int, index: Size) -> Fact:
    """`x` with one entry of an axis replaced."""
    _require_part(node, select(node, x, dim, index).shape, source)
    return Fact(x.shape, x.dtype)


@rule(aten.slice_scatter.default)
def slice_scatter(
    node: Node,
    x: Fact,
    source: Fact,
    dim: int = 0,
    start: Size | None = None,
    end: Size | None = None,
    step: int = 1,
) -> Fact:
    """`x` with a slice replaced."""
    _require_part(node, slice_(node, x, dim, start, end, step).shape, source)
    return Fact(x.shape, x.dtype)


def _require_part(node: Node, part: tuple[Size, ...], source: Fact) -> None:
    got, want = shape_text(source.shape), shape_text(part)
    require(node, len(part) == len(source.shape), "the source does not fit", got, want)
    for size, wanted in zip(source.shape, part, strict=True):
        require(node, equal(size, wanted), "the source does not fit", got, want)


@rule(aten.index_select.default)
def index_select(node: Node, x: Fact, dim: int, index: Fact) -> Fact:
    """The entries of one axis that a list names."""
    require_rank(node, index, 0, 1)
    axis = axis_of(node, dim, len(x.shape))
    count = index.shape[0] if index.shape else 1
    return Fact((*x.shape[:axis], count, *x.shape[axis + 1 :]) if x.shape else (), x.dtype)


@rule(aten.gather.default)
def gather(node: Node, x: Fact, dim: int, index: Fact, **options: object) -> Fact:
    """One element of an axis per position of `index`."""
    axis = axis_of(node, dim, len(x.shape))
    got, want = shape_text(index.shape), told("at most {} beside axis {}", x.shape, axis)
    require(node, len(index.shape or (1,)) == len(x.shape or (1,)), "the index has another rank", got, want)
    for other, (size, limit) in enumerate(zip(index.shape, x.shape, strict=False)):
        require(node, other == axis or at_least(limit, size), "the index is larger than the tensor", got, want)
    return Fact(index.shape, x.dtype)


@rule(aten.take_along_dim.default)
def take_along_dim(node: Node, x: Fact, index: Fact, dim: int) -> Fact:
    """As `gather`, with the other axes broadcast."""
    axis = axis_of(node, dim, len(x.shape))
    rest = broadcast_shapes(
        node, (*x.shape[:axis], 1, *x.shape[axis + 1 :]), (*index.shape[:axis], 1, *index.shape[axis + 1 :])
    )
    return Fact((*rest[:axis], index.shape[axis], *rest[axis + 1 :]), x.dtype)


@rule(aten.index.Tensor)
def index(node: Node, x: Fact, indices: Sequence[Fact | None]) -> Fact:
    """``x[i, :, mask, ...]``: index tensors broadcast together; a mask yields as many as it has true elements."""
    axes: list[tuple[Size, ...] | None] = []
    at = 0
    for entry in indices:
        if entry is not None and entry.dtype in (torch.bool, torch.uint8):
            require(
                node,
                _matches(entry.shape, x.shape[at:]),
                "the mask does not fit",
                shape_text(entry.shape),
                shape_text(x.shape),
            )
            axes += [(unknown_size(node),)] * len(entry.shape)
            at += len(entry.shape)
        else:
            axes.append(None if entry is None else entry.shape)
            at += 1
    require(node, at <= len(x.shape), "there are more indices than axes", got=at, want=f"<= {len(x.shape)}")
    chosen = [axis for axis, shape in enumerate(axes) if shape is not None]
    joint = common_shape(node, (shape for shape in axes if shape is not None))
    rest = [(axis, size) for axis, size in enumerate(x.shape) if axis not in chosen]
    front = chosen[0] if chosen == list(range(chosen[0], chosen[-1] + 1)) else 0
    before = tuple(size for axis, size in rest if axis < front)
    return Fact((*before, *joint, *(size for axis, size in rest if axis >= front)), x.dtype)


def _matches(mask: tuple[Size, ...], shape: tuple[Size, ...]) -> bool:
    return len(mask) <= len(shape) and all(equal(m, n) is not False for m, n in zip(mask, shape, strict=False))


@rule(
    aten.index_put.default, aten.index_fill.int_Scalar, aten.index_fill.int_Tensor, aten.scatter.src, aten.scatter.value
)
def written(node: Node, x: Fact, *where: object, **options: object) -> Fact:
    """`x` with some elements replaced."""
    return Fact(x.shape, x.dtype)


@rule(aten.embedding.default)
def embedding(node: Node, weight: Fact, indices: Fact, *settings: object) -> Fact:
    """One row of `weight` per index."""
    require_rank(node, weight, 2)
    return Fact((*indices.shape, weight.shape[1]), weight.dtype)


@rule(aten.nonzero.default)
def nonzero(node: Node, x: Fact) -> Fact:
    """The positions of the elements that are not 0: as many as the data has."""
    return Fact((unknown_size(node), len(x.shape)), torch.int64)


@rule(aten.where.default)
def where_positions(node: Node, condition: Fact) -> Fact:
    """The positions of the true elements, one tensor per axis."""
    return Fact(items=(Fact((unknown_size(node),), torch.int64),) * len(condition.shape))


@rule(aten.masked_select.default)
def masked_select(node: Node, x: Fact, mask: Fact) -> Fact:
    """The elements under the mask, in a row."""
    broadcast_shapes(node, x.shape, mask.shape)
    return Fact((unknown_size(node),), x.dtype)


@rule(aten._unique2.default)
def unique(node: Node, x: Fact, sort: bool = True, inverse: bool = False, counts: bool = False) -> Fact:
    """The different elements; where each element went and how often it came, if asked for."""
    found = (unknown_size(node),)
    positions = Fact(x.shape if inverse or counts else (0,), torch.int64)
    return Fact(items=(Fact(found, x.dtype), positions, Fact(found if counts else (0,), torch.int64)))
