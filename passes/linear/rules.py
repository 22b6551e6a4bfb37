"""How each linear operator turns the affine forms of its operands into that of its result: the table of rules."""

from __future__ import annotations

from torch.fx import Node

from dydca.passes.linear import arithmetic, channels, windows
from dydca.passes.linear.affine import Affine
from dydca.passes.linear.context import Context, Forms, Rule
from dydca.program import op_name

RULES: dict[str, Rule] = windows.RULES | arithmetic.RULES | channels.RULES
"""By the operator's name."""


def linear_operands(context: Context, node: Node) -> tuple[Node, ...] | None:
    """The tensors that `node` is linear in, None if it is not linear."""
    rule = RULES.get(op_name(node)) if node.op == "call_function" else None
    fact = context.facts.get(node)
    if rule is None or fact is None or fact.dtype is None or not fact.dtype.is_floating_point or len(fact.shape) < 4:
        return None
    operands = rule.operands(context, node)
    if operands is None or any(context.facts[operand].dtype != fact.dtype for operand in operands):
        return None
    return tuple(dict.fromkeys(operands)) or None


def form(context: Context, node: Node, forms: Forms) -> Affine:
    """The form of a linear node.

    Raises:
        NotAffine: A border, mostly.
    """
    return RULES[op_name(node)].form(context, node, forms)
