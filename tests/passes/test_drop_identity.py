"""What drop_identity removes, and what only looks like an identity."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dydca.passes import DropDead, DropIdentity, FoldConstants, MergeReshape, SpecializeShapes, run_passes
from dydca.testing import Builder, check_pass, program_of
from tests.passes.checking import SHAPE, as_program, outputs_of

aten = torch.ops.aten
Body = Callable[[Tensor], Tensor]


class Net(nn.Module):
    """``body(relu(x))``, so that the operator under test is neither first nor alone."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(torch.relu(x))


IDENTITIES: dict[str, Body] = {
    "add": lambda x: x + 0,
    "add_tensor": lambda x: torch.zeros(1) + x,
    "sub": lambda x: x - 0.0,
    "mul": lambda x: 1.0 * x,
    "div": lambda x: x / 1,
    "pow": lambda x: x**1,
    "clone": lambda x: x.clone(),
    "detach": lambda x: x.detach().contiguous(),
    "to": lambda x: x.to(torch.float32, copy=True),
    "view": lambda x: x.view(x.shape),
    "reshape": lambda x: x.reshape(1, x.shape[1], -1).view(x.shape),
    "expand": lambda x: x.expand(1, 3, *x.shape[2:]),
    "slice": lambda x: x[:, :, 0:],
    "cat": lambda x: torch.cat([x], 1),
    "pixel_shuffle": lambda x: torch.pixel_shuffle(x, 1),
    "pixel_unshuffle": lambda x: torch.pixel_unshuffle(x, 1),
    "dropout": lambda x: nn.functional.dropout(x, 0.5, training=False),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_drops(name: str) -> None:
    shapes = [SHAPE, (1, 3, 7, 9)]
    program = as_program(Net(IDENTITIES[name]), shapes)
    outcome = run_passes(program, [FoldConstants(), MergeReshape(), DropIdentity(), SpecializeShapes()], verify=True)
    assert [report.ops_after for report in outcome.reports[-2:]] == [{"relu": 1}] * 2


KEPT: dict[str, Body] = {
    "add": lambda x: x + 1e-9,
    "sub_reversed": lambda x: 0 - x,
    "div_rounding": lambda x: torch.div(x, 1, rounding_mode="floor"),
    "to_other_type": lambda x: x.to(torch.float64),
    "permute_of_equal_sizes": lambda x: x.transpose(2, 3),
    "slice_with_step": lambda x: aten.slice.Tensor(x, 2, 0, 8, 2),
    "broadcast": lambda x: x[:, :1].expand(1, 3, -1, -1),
    "cat_of_two": lambda x: torch.cat([x, x], 1),
    "wider_by_zeros": lambda x: x[:, :1] + torch.zeros(1, 3, 1, 1),
}


@pytest.mark.parametrize("name", KEPT)
def test_keeps(name: str) -> None:
    report = check_pass(Net(KEPT[name]), MergeReshape(), DropIdentity(), patches=[(1, 3, 8, 8)]).report
    assert sum(report.ops_after.values()) == sum(report.ops_before.values()) > 1


def test_zero_minus_x_is_not_x() -> None:
    b = Builder()
    graph = b.output(b.call(aten.sub.Tensor, b.const(torch.zeros(1)), b.input()))
    check_pass(program_of(graph, (SHAPE,)), MergeReshape(), DropIdentity(), ops={"sub": 1})


def test_a_write_that_covers_all_is_what_is_written() -> None:
    def overwrite(x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        y[:] = x * 2
        return y

    check_pass(Net(overwrite), MergeReshape(), DropIdentity(), ops={"copy": 0, "mul": 1, "slice_scatter": 0})


def test_an_output_may_be_the_bare_input() -> None:
    b = Builder()
    x = b.input()
    program = program_of(b.output(b.call(aten.clone.default, x), x), (SHAPE,))
    outcome = run_passes(program, [MergeReshape(), DropIdentity()], verify=True)
    given = torch.randn(SHAPE)
    assert all(torch.equal(output, given) for output in outputs_of(outcome, given))
    assert [node.op for node in outcome.variants[0].graph.outputs] == ["placeholder"] * 2


def test_views_go_on_working_without_the_copy_that_made_them_legal() -> None:
    def folded(x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).contiguous().view(1, -1, 3)

    check_pass(Net(folded), MergeReshape(), DropIdentity(), ops={"clone": 0, "view": 0, "reshape": 1})


def test_refuses_a_graph_that_reads_the_memory_layout() -> None:
    b = Builder()
    copied = b.call(aten.clone.default, b.input())
    graph = b.output(b.call(aten.as_strided.default, copied, [3], [1]))
    reason = "%as_strided_default reads the memory layout, which a copy may have set"
    check_pass(program_of(graph, (SHAPE,)), MergeReshape(), DropIdentity(), ops={"clone": 1}, misses=[reason])


def test_reshapes_merge_and_views_become_reshapes() -> None:
    def chained(x: Tensor) -> Tensor:
        return x.view(1, -1).view(3, -1).reshape(1, 3, -1).view(-1)

    check_pass(Net(chained), MergeReshape(), ops={"view": 0, "reshape": 1})


def test_a_view_as_another_type_is_no_reshape() -> None:
    def bits(x: Tensor) -> Tensor:
        return x.view(1, -1).view(torch.int32).view(SHAPE) >> 1

    check_pass(Net(bits), MergeReshape(), ops={"view": 1, "reshape": 2})


def test_drops_the_dead_in_one_sweep() -> None:
    b = Builder()
    x = b.input()
    b.call(aten.mul.Tensor, b.call(aten.relu.default, x), b.const(torch.ones(1)))
    program = program_of(b.output(b.call(aten.neg.default, x)), (SHAPE,))
    check_pass(program, DropDead(), ops={"relu": 0, "mul": 0, "neg": 1}, rewrites=1)
    assert not program.routes[0].graph.constants
