"""Linear operators that only move channels: slices, splits, concatenations, repeats, reshapes between the channels.

None has an algebra of its own. Each is run, as it is, on a small tensor of channel numbers, and what comes out says
which channel lies where. The small picture has two pixels a side and two pictures a batch, so an operator that moves
pixels as well gives itself away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import Node

from dydca.passes.linear.affine import Affine, Pads, stacked
from dydca.passes.linear.arithmetic import norm_rows
from dydca.passes.linear.context import Context, Forms, Rule
from dydca.program import arguments, op_name

_BATCH, _HEIGHT, _WIDTH = 2, 2, 3
_SIZED = ("reshape", "view", "_unsafe_view", "expand")
_MOVES = (
    *_SIZED,
    *("clone", "contiguous", "alias", "detach"),
    *("flip", "index", "index_select", "permute", "repeat", "repeat_interleave", "select", "squeeze", "transpose"),
    "unsqueeze",
)
_TUPLES = ("split", "split_with_sizes", "chunk")
_NORMS = ("_native_batch_norm_legit_no_training", "native_batch_norm", "cudnn_batch_norm")


def _layout(context: Context, node: Node) -> tuple[int, ...] | None:
    """The sizes between the batch axis and the picture axes."""
    sizes = context.facts[node].shape[1:-2]
    whole = len(context.facts[node].shape) >= 4 and all(isinstance(size, int) for size in sizes)
    return sizes if whole else None


def _numbers(channels: Sequence[int]) -> Tensor:
    """Every channel's number, in a batch of small pictures."""
    count = int(torch.tensor(channels).prod())
    number = torch.arange(count).reshape(1, *channels, 1, 1).expand(_BATCH, *channels, _HEIGHT, _WIDTH)
    return number + count * torch.arange(_BATCH * _HEIGHT * _WIDTH).reshape(
        _BATCH, *[1] * len(channels), _HEIGHT, _WIDTH
    )


def _moved(context: Context, node: Node, operand: Node) -> Tensor | None:
    """The channel of `operand` that each channel of `node` is, None if it does anything else."""
    before, after = _layout(context, operand), _layout(context, node)
    if before is None or after is None or not context.alike(operand, node):
        return None
    given, wanted = _numbers(before), _numbers(after)
    try:
        made = _run(context, node, operand, given, (_BATCH, *after, _HEIGHT, _WIDTH))
    except (RuntimeError, IndexError, TypeError, ValueError):  # what an operator raises that asks for the true sizes
        return None
    if made.shape != wanted.shape:
        return None
    count = int(torch.tensor(before).prod())
    rows = made[0, ..., 0, 0]
    pixels = torch.arange(_BATCH * _HEIGHT * _WIDTH).reshape(_BATCH, *[1] * len(after), _HEIGHT, _WIDTH)
    return rows if torch.equal(made, rows[None, ..., None, None] + count * pixels) else None


def _run(context: Context, node: Node, operand: Node, given: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The operator on `given` in the place of `operand`; sizes that it is told are those of the small picture."""
    if op_name(node) in _SIZED:
        made: Tensor = given.expand(shape) if op_name(node) == "expand" else given.reshape(shape)
        return made

    def value(argument: Node) -> Any:
        return given if argument is operand else context.graph.constant(argument)

    args, kwargs = fx.map_arg(node.args, value), fx.map_arg(node.kwargs, value)
    if op_name(node) == "slice":
        args = (given, *node.args[1:])
    moved: Tensor = node.target(*args, **kwargs)  # type: ignore[operator]
    return moved.contiguous()


def _move_operands(context: Context, node: Node) -> Iterable[Node] | None:
    operand = node.args[0]
    fits = isinstance(operand, Node) and context.graph.constant(operand) is None
    return [operand] if fits and _moved(context, node, operand) is not None else None  # type: ignore[list-item,arg-type]


def _move(context: Context, node: Node, forms: Forms) -> Affine:
    operand = node.args[0]
    assert isinstance(operand, Node)
    rows = _moved(context, node, operand)
    assert rows is not None
    return forms[operand].selected(rows.flatten(), tuple(rows.shape))


# Slices: of channels, or of the picture, which is a pad below zero


def _axis(context: Context, node: Node) -> int:
    """0 for the height, 1 for the width, below 0 for the axes before."""
    rank = len(context.facts[node].shape)
    return int(arguments(node)["dim"]) % rank - (rank - 2)


def _cut(context: Context, node: Node) -> Pads | None:
    """What a slice of the picture takes off, as pads below zero."""
    named, operand = arguments(node), node.args[0]
    axis, start = _axis(context, node), named["start"] or 0
    assert isinstance(operand, Node)
    size, left = (context.facts[one].shape[-2 + axis] for one in (operand, node))
    rest = size - left
    if named["step"] != 1 or not isinstance(start, int):
        return None
    to_the_end = named["end"] is None or named["end"] == 2**63 - 1
    before = start if start >= 0 else rest if to_the_end else None
    after = None if before is None else rest - before
    if not _whole(before) or not _whole(after):
        return None
    cut = (-int(before), -int(after))  # type: ignore[arg-type]
    return (*cut, 0, 0) if axis == 0 else (0, 0, *cut)


def _whole(size: Any) -> bool:
    return size is not None and getattr(size, "is_Integer", isinstance(size, int)) and int(size) >= 0


def _slice_operands(context: Context, node: Node) -> Iterable[Node] | None:
    operand = node.args[0]
    if not isinstance(operand, Node) or context.graph.constant(operand) is not None:
        return None
    if _axis(context, node) < 0:
        return _move_operands(context, node)
    return [operand] if len(context.facts[node].shape) == 4 and _cut(context, node) is not None else None


def _slice(context: Context, node: Node, forms: Forms) -> Affine:
    if _axis(context, node) < 0:
        return _move(context, node, forms)
    operand, pads = forms[node.args[0]], _cut(context, node)  # type: ignore[index]
    assert pads is not None
    return operand.padded(pads, torch.zeros_like(operand.bias))


# Results that come as tuples


def _getitem_operands(context: Context, node: Node) -> Iterable[Node] | None:
    whole = node.args[0]
    if not isinstance(whole, Node) or whole.op != "call_function" or not isinstance(whole.args[0], Node):
        return None
    if op_name(whole) in _NORMS:
        return [whole.args[0]] if node.args[1] == 0 and norm_rows(context.graph, whole) is not None else None
    fits = op_name(whole) in _TUPLES and _part(context, node) is not None
    return [whole.args[0]] if fits else None


def _part(context: Context, node: Node) -> Tensor | None:
    whole = node.args[0]
    assert isinstance(whole, Node)
    operand = whole.args[0]
    assert isinstance(operand, Node)
    before = _layout(context, operand)
    if before is None or len(before) != 1 or not context.alike(operand, node):
        return None
    named = arguments(whole)
    if named["dim"] % 4 != 1:
        return None
    parts = whole.target(torch.arange(before[0])[None, :, None, None], *whole.args[1:], **whole.kwargs)  # type: ignore[operator]
    rows: Tensor = parts[node.args[1]].flatten()
    return rows


def _getitem(context: Context, node: Node, forms: Forms) -> Affine:
    whole = node.args[0]
    assert isinstance(whole, Node)
    operand = forms[whole.args[0]]  # type: ignore[index]
    if op_name(whole) in _NORMS:
        rows = norm_rows(context.graph, whole)
        assert rows is not None
        return operand.scaled(rows[0]).shifted(rows[1])
    picked = _part(context, node)
    assert picked is not None
    return operand.selected(picked, (len(picked),))


def _cat_operands(context: Context, node: Node) -> Iterable[Node] | None:
    parts: Any = node.args[0]
    pictures = all(isinstance(part, Node) and context.graph.constant(part) is None for part in parts)
    if not pictures or _axis(context, node) != -1 or len(context.facts[node].shape) != 4:
        return None
    return parts if all(context.alike(part, node) for part in parts) else None


def _cat(context: Context, node: Node, forms: Forms) -> Affine:
    parts: Any = node.args[0]
    return stacked([forms[part] for part in parts])


RULES = {
    **dict.fromkeys(_MOVES, Rule(_move_operands, _move)),
    "cat": Rule(_cat_operands, _cat),
    "getitem": Rule(_getitem_operands, _getitem),
    "slice": Rule(_slice_operands, _slice),
}
"""By the operator's name."""
