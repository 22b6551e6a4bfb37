"""Operators that read or write a part of a tensor at positions known beforehand."""

from __future__ import annotations

import sys

import sympy
import torch
from torch.fx import Node

from dydca.analysis.boxes import Box, Extent, Run, every, only, run, windows
from dydca.analysis.facts import Fact, Size
from dydca.analysis.intervals import Interval
from dydca.analysis.rules.arithmetic import at_least, ceildiv, equal, largest, smallest
from dydca.analysis.rules.registry import Demands, axis_of, demand_rule, interval_rule, require, rule, shape_text

aten = torch.ops.aten


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
    # a start behind the end needs no clipping: nothing is left either way
    first = start if isinstance(start, int) and start >= 0 else _position(start or 0, size)
    last = _position(sys.maxsize if end is None else end, size)
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


def part_of(x: Fact, dim: int, places: slice | None) -> Interval:
    """Of some entries of an axis; None if it is not known which."""
    own = x.bounds
    if not x.shape or own.axis != dim % len(x.shape) - len(x.shape):
        return own
    chosen = own.entries(_longest(x, own))[:, places] if places is not None else own.ends[:, :0]
    return Interval(chosen, own.axis, own.nan) if chosen.size else own.collapsed()


def _longest(x: Fact, own: Interval) -> int:
    size = x.shape[own.axis or 0]
    return size if isinstance(size, int) else own.ends.shape[1]


@interval_rule(aten.slice.Tensor)
def slice_interval(
    node: Node, result: Fact, x: Fact, dim: int = 0, start: Size | None = None, end: Size | None = None, step: int = 1
) -> Interval:
    """The entries that are left."""
    known = all(place is None or isinstance(place, int) for place in (start, end))
    return part_of(x, dim, slice(start, end, step) if known else None)


@interval_rule(aten.narrow.default)
def narrow_interval(node: Node, result: Fact, x: Fact, dim: int, start: Size, length: Size) -> Interval:
    """The entries that are left."""
    known = isinstance(start, int) and isinstance(length, int) and start >= 0
    return part_of(x, dim, slice(start, start + length) if known else None)


@interval_rule(aten.select.int)
def select_interval(node: Node, result: Fact, x: Fact, dim: int, index: Size) -> Interval:
    """The one entry, or those of the axes that stay."""
    own, rank = x.bounds, len(x.shape)
    if own.axis is None or own.axis == dim % rank - rank:
        known = isinstance(index, int) and own.axis is not None
        return part_of(x, dim, slice(index, index + 1 or None) if known else None).collapsed()
    return own.moved(own.axis + (dim % rank > own.axis + rank))


@interval_rule(aten.select_scatter.default)
def select_scatter_interval(node: Node, result: Fact, x: Fact, source: Fact, dim: int, index: Size) -> Interval:
    """Old and new elements."""
    return x.bounds | source.bounds.collapsed()


@interval_rule(aten.slice_scatter.default)
def slice_scatter_interval(node: Node, result: Fact, x: Fact, source: Fact, dim: int = 0, *places: object) -> Interval:
    """Old and new elements."""
    own = source.bounds
    written = own.collapsed() if own.axis == dim % len(x.shape) - len(x.shape) else own
    return x.bounds | written


@demand_rule(aten.slice.Tensor)
def slice_demand(
    node: Node,
    wanted: Box,
    result: Fact,
    x: Fact,
    dim: int = 0,
    start: Size | None = None,
    end: Size | None = None,
    step: int = 1,
) -> Demands:
    """The same places, counted from the start."""
    axis = dim % len(x.shape)
    first = _position(start or 0, x.shape[axis])
    return [(*wanted[:axis], _behind(node, run(wanted[axis]), x.shape[axis], first, step), *wanted[axis + 1 :])]


def _behind(node: Node, part: Run, size: Size, first: Size, step: int) -> Extent:
    """Of an axis what is wanted of its slice."""
    if part.endless or not isinstance(first, int):
        return every(size, part.cause or node)
    return windows(part, size, step, first, first)


@demand_rule(aten.narrow.default)
def narrow_demand(node: Node, wanted: Box, result: Fact, x: Fact, dim: int, start: Size, length: Size) -> Demands:
    """The same places, counted from the start."""
    return slice_demand(node, wanted, result, x, dim, start)


@demand_rule(aten.select.int)
def select_demand(node: Node, wanted: Box, result: Fact, x: Fact, dim: int, index: Size) -> Demands:
    """The one entry."""
    axis, size = dim % len(x.shape), x.shape[dim]
    known = isinstance(index, int) and (index >= 0 or isinstance(size, int))
    entry = only(size, index if index >= 0 else index + size) if known else every(size, node)
    return [(*wanted[:axis], entry, *wanted[axis:])]


@demand_rule(aten.slice_scatter.default)
def slice_scatter_demand(
    node: Node,
    wanted: Box,
    result: Fact,
    x: Fact,
    source: Fact,
    dim: int = 0,
    start: Size | None = None,
    end: Size | None = None,
    step: int = 1,
) -> Demands:
    """What was written, and around it what was there before."""
    axis = dim % len(x.shape)
    joint, first, size = run(wanted[axis]), _position(start or 0, x.shape[axis]), source.shape[axis]
    if not isinstance(first, int) or not isinstance(size, int):
        return [wanted]
    last = first + (size - 1) * step
    low, high = (max(joint.low, first) - first) // step, (min(joint.high, last) - first) // step
    written = (*wanted[:axis], only(size, low, high), *wanted[axis + 1 :]) if low <= high else None
    covered = step == 1 and first <= joint.low and joint.high <= last
    return [None if covered else wanted, written]


@demand_rule(aten.select_scatter.default)
def select_scatter_demand(
    node: Node, wanted: Box, result: Fact, x: Fact, source: Fact, dim: int, index: Size
) -> Demands:
    """What was written, and around it what was there before."""
    axis = dim % len(x.shape)
    return [wanted, (*wanted[:axis], *wanted[axis + 1 :])]
