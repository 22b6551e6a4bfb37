"""Linear arithmetic: sums, differences, and products and norms that are one factor per channel."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.fx import Node

from dydca.passes.linear.affine import Affine
from dydca.passes.linear.context import Context, Forms, Rule
from dydca.program import Graph, arguments, op_name


def _is_picture(context: Context, operand: object, node: Node) -> bool:
    """Whether it is a tensor that `node` adds pixel by pixel; one channel may serve all."""
    if not isinstance(operand, Node) or context.graph.constant(operand) is not None:
        return False
    shape, own = context.facts[operand].shape, context.facts[node].shape
    return len(shape) == len(own) == 4 and shape[1] in (1, own[1]) and context.alike(operand, node)


def _sum_operands(context: Context, node: Node) -> Iterable[Node] | None:
    pictures = []
    for operand in node.args[:2]:
        if _is_picture(context, operand, node):
            pictures.append(operand)
        elif context.rows(operand, node) is None:
            return None
    return pictures  # type: ignore[return-value]


def _sum(context: Context, node: Node, forms: Forms) -> Affine:
    """``a + alpha * b``, ``a - alpha * b``, and ``alpha`` apart ``rsub`` with its operands turned round."""
    name, alpha = op_name(node), float(arguments(node).get("alpha", 1))
    signs = {"add": (1.0, alpha), "sub": (1.0, -alpha), "rsub": (-alpha, 1.0)}[name]
    total: Affine | None = None
    shift = context.rows(0, node)
    assert shift is not None
    for operand, sign in zip(node.args[:2], signs, strict=True):
        constant = context.rows(operand, node)
        if constant is not None:
            shift = shift + sign * constant
            continue
        part = forms[operand]  # type: ignore[index]
        if len(part.bias) == 1:
            part = part.selected(torch.zeros(len(shift), dtype=torch.long), (len(shift),))
        part = part.scaled(torch.full_like(shift, sign))
        total = part if total is None else total.plus(part)
    assert total is not None
    return total.shifted(shift)


def _product_operands(context: Context, node: Node) -> Iterable[Node] | None:
    found = _sum_operands(context, node)
    pictures = [] if found is None else list(found)
    if len(pictures) != 1 or (op_name(node) == "div" and (pictures[0] is not node.args[0] or node.kwargs)):
        return None
    return pictures if context.facts[pictures[0]].shape == context.facts[node].shape else None


def _product(context: Context, node: Node, forms: Forms) -> Affine:
    turned = isinstance(node.args[1], Node) and node.args[1] in forms
    picture, other = (node.args[1], node.args[0]) if turned else node.args[:2]
    factor = context.rows(other, node)
    assert factor is not None
    return forms[picture].scaled(1 / factor if op_name(node) == "div" else factor)  # type: ignore[index]


def _only_operand(context: Context, node: Node) -> Iterable[Node] | None:
    operand = node.args[0]
    return [operand] if isinstance(operand, Node) and context.graph.constant(operand) is None else None


def _negated(context: Context, node: Node, forms: Forms) -> Affine:
    operand = forms[node.args[0]]  # type: ignore[index]
    return operand.scaled(-torch.ones_like(operand.bias))


def norm_rows(graph: Graph, norm: Node) -> tuple[Tensor, Tensor] | None:
    """Scale and shift per channel of a batch norm in eval mode: ``s = w / sqrt(var + eps)``, ``b - mean * s``."""
    named = arguments(norm)
    mean, variance = graph.constant(named["running_mean"]), graph.constant(named["running_var"])
    gain, shift = graph.constant(named["weight"]), graph.constant(named["bias"])
    constant = (named["weight"] is None) == (gain is None) and (named["bias"] is None) == (shift is None)
    if mean is None or variance is None or not constant or named.get("training"):
        return None
    scale = (variance.double() + named["eps"]).rsqrt() * (1.0 if gain is None else gain.double())
    return scale, (0.0 if shift is None else shift.double()) - mean.double() * scale


def _norm_operands(context: Context, node: Node) -> Iterable[Node] | None:
    return [node.args[0]] if norm_rows(context.graph, node) is not None else None  # type: ignore[list-item]


def _norm(context: Context, node: Node, forms: Forms) -> Affine:
    rows = norm_rows(context.graph, node)
    assert rows is not None
    return forms[node.args[0]].scaled(rows[0]).shifted(rows[1])  # type: ignore[index]


RULES = {
    **dict.fromkeys(("add", "sub", "rsub"), Rule(_sum_operands, _sum)),
    **dict.fromkeys(("mul", "div"), Rule(_product_operands, _product)),
    "neg": Rule(_only_operand, _negated),
    "batch_norm": Rule(_norm_operands, _norm),
}
"""By the operator's name."""
