"""Constant regions are computed once, in float64, and not where that would change the network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dydca.models import DynamicWDSR, WeightNormConv2d
from dydca.passes import FoldConstants, SpecializeShapes, run_passes
from dydca.testing import Builder, check_pass, program_of
from tests.passes.checking import SHAPE, as_program

aten = torch.ops.aten


def test_weight_norm_becomes_one_constant() -> None:
    model = WeightNormConv2d(3, 4, 3, gain=1.5).eval()
    program = as_program(model)
    check_pass(program, FoldConstants(), ops={"conv2d": 1, "_weight_norm": 0}, rewrites=1)
    v = model.weight_v.detach().double()
    exact = 1.5 * v / v.flatten(1).norm(dim=1)[:, None, None, None]
    constants = program.routes[0].graph.constants
    assert set(constants) == {"weight", "bias"}
    assert torch.equal(constants["weight"], exact.float())


def test_the_whole_network_folds_on_both_routes() -> None:
    outcome = run_passes(as_program(DynamicWDSR(2), [(1, 3, 72, 8), (1, 3, 8, 16)]), [FoldConstants()], verify=True)
    assert [(r.subject, r.rewrites) for r in outcome.reports] == [("route0", 7), ("route1", 11)]
    assert all("_weight_norm" not in r.ops_after for r in outcome.reports)
    assert all(d.max_abs <= 1e-5 for r in outcome.reports for d in r.differences)


def test_a_chain_is_rounded_once() -> None:
    b = Builder()
    tensor = torch.rand(64, generator=torch.Generator().manual_seed(1))
    chain = b.call(aten.div.Tensor, b.call(aten.mul.Tensor, b.call(aten.add.Tensor, b.const(tensor), 0.1), 0.7), 0.3)
    graph = b.output(b.call(aten.add.Tensor, b.input(), chain))
    check_pass(program_of(graph, ((64,),)), FoldConstants(), ops={"add": 1, "mul": 0, "div": 0}, rewrites=1)
    (folded,) = graph.constants.values()
    assert torch.equal(folded, ((tensor.double() + 0.1) * 0.7 / 0.3).float())
    assert not torch.equal(folded, (tensor + 0.1) * 0.7 / 0.3)


def test_a_discontinuous_step_keeps_pytorchs_own_result() -> None:
    """In float32 ``10 * 0.1`` is 1 and more than 1 in float64, so the ceiling differs."""
    b = Builder()
    product = b.call(aten.mul.Tensor, b.const(torch.tensor([10.0])), b.const(torch.tensor([0.1])))
    ceiling = b.call(aten.ceil.default, product)
    graph = b.output(b.call(aten.add.Tensor, b.input(), ceiling))
    outcome = run_passes(program_of(graph, ((4,),)), [FoldConstants()], verify=True)
    assert [t.item() for t in outcome.variants[0].graph.constants.values()] == [1.0]


def test_integers_are_computed_as_they_are() -> None:
    b = Builder()
    index = b.call(aten.add.Tensor, b.const(torch.tensor([0, 2])), 1)
    graph = b.output(b.call(aten.index_select.default, b.input(), 3, index))
    check_pass(program_of(graph, (SHAPE,)), FoldConstants(), ops={"add": 0, "index_select": 1})


def test_what_would_fill_memory_is_refused_and_its_operands_still_fold() -> None:
    b = Builder()
    scaled = b.call(aten.mul.Tensor, b.const(torch.ones(3, 1, 1)), 2.0)
    wide = b.call(aten.expand.default, scaled, [1, 3, 600, 600])
    graph = b.output(b.call(aten.add.Tensor, b.input(), wide))
    reason = "the result takes 4319988 bytes more than its operands, over 1048576"
    check_pass(program_of(graph, ((1, 3, 600, 600),)), FoldConstants(), ops={"expand": 1, "mul": 0}, misses=[reason])


def test_a_large_step_on_the_way_to_a_small_result_folds() -> None:
    b = Builder()
    wide = b.call(aten.expand.default, b.const(torch.ones(3, 1, 1)), [3, 600, 600])
    mean = b.call(aten.mean.dim, wide, [1, 2], True)
    graph = b.output(b.call(aten.add.Tensor, b.input(), mean))
    check_pass(program_of(graph, (SHAPE,)), FoldConstants(), ops={"expand": 0, "mean": 0, "add": 1})


def test_random_numbers_are_not_constant() -> None:
    b = Builder()
    noise = b.call(aten.bernoulli.default, b.const(torch.full((3, 1, 1), 0.5)))
    graph = b.output(b.call(aten.mul.Tensor, b.input(), noise))
    outcome = run_passes(program_of(graph, (SHAPE,)), [FoldConstants()], verify=False)
    assert outcome.reports[0].rewrites == 0


class Ramp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(x.shape[2], dtype=torch.float32).view(1, 1, -1, 1) / x.shape[2]


def test_what_depends_on_sizes_only_is_constant_for_a_patch() -> None:
    shapes = [(1, 3, 8, 10), (1, 3, 12, 10)]
    outcome = run_passes(as_program(Ramp(), shapes), [SpecializeShapes(), FoldConstants()], verify=True)
    for variant, height in zip(outcome.variants, (8, 12), strict=True):
        assert [tuple(t.shape) for t in variant.graph.constants.values()] == [(1, 1, height, 1)]
    assert [r.ops_after for r in outcome.reports[2:]] == [{"add": 1}, {"add": 1}]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_element_type_stays(dtype: torch.dtype) -> None:
    b = Builder()
    scaled = b.call(aten.mul.Tensor, b.const(torch.full((3, 1, 1), 1.5, dtype=dtype)), 1.5)
    graph = b.output(b.call(aten.add.Tensor, b.input(), scaled))
    outcome = run_passes(program_of(graph, (SHAPE,), dtype=dtype), [FoldConstants()], verify=True)
    assert [t.dtype for t in outcome.variants[0].graph.constants.values()] == [dtype]
