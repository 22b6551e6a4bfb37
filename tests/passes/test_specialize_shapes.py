"""One static graph per patch, constants shared."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dydca.models import DynamicWDSR
from dydca.passes import FoldConstants, SpecializeShapes, default_passes, run_passes
from tests.passes.checking import as_program, outputs_of


class Windows(nn.Module):
    """Cuts into windows, scales each, and puts them together again: reshapes full of size arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        cut = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)
        y: Tensor = (cut * self.scale.view(3, 1, 1)).permute(0, 3, 1, 4, 2, 5)
        return y.reshape(n, c, h, w)


SHAPES = [(1, 3, 8, 12), (1, 3, 16, 6), (2, 3, 4, 4)]


def test_every_size_becomes_a_number() -> None:
    model = Windows().eval()
    program = as_program(model, SHAPES)
    outcome = run_passes(program, [SpecializeShapes()], verify=True)
    assert len(outcome.variants) == len(SHAPES)
    for variant in outcome.variants:
        scalars = [node for node in variant.graph if node.op == "call_function" and variant.facts[node].dtype is None]
        assert scalars == []
        assert all(isinstance(size, int) for fact in variant.facts.values() for size in fact.shape)
    for shape in SHAPES:
        x = torch.randn(shape)
        assert torch.equal(outputs_of(outcome, x)[0], model(x))


def test_the_routes_own_graph_stays_general() -> None:
    program = as_program(Windows(), SHAPES[:2])
    before = program.routes[0].graph.text()
    run_passes(program, [SpecializeShapes()])
    assert program.routes[0].graph.text() == before


def test_variants_share_their_tensors() -> None:
    program = as_program(DynamicWDSR(2), [(1, 3, 8, 16), (1, 3, 9, 8), (1, 3, 72, 8)])
    outcome = run_passes(program, default_passes(), verify="fast")
    first, second, other = (variant.graph.constants for variant in outcome.variants)
    assert first.keys() == second.keys()
    assert all(first[name] is second[name] for name in first)
    assert other.keys() != first.keys()


def test_routes_share_tensors_of_equal_content() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.conv(x)
            return y.tanh() if x.shape[2] < 10 else y.relu()

    outcome = run_passes(as_program(Shared(), [(1, 3, 8, 8), (1, 3, 12, 12)]), default_passes(), verify=True)
    tensors = {id(tensor) for variant in outcome.variants for tensor in variant.graph.constants.values()}
    assert len({variant.route.name for variant in outcome.variants}) == 2
    assert len(tensors) == 2


def test_a_pipeline_without_it_still_ends_in_one_variant_per_patch() -> None:
    outcome = run_passes(as_program(Windows(), SHAPES[:2]), [FoldConstants()])
    assert [variant.patch for variant in outcome.variants] == [(shape,) for shape in SHAPES[:2]]


def test_the_whole_pipeline_leaves_the_arithmetic_only() -> None:
    program = as_program(DynamicWDSR(2), [(1, 3, 72, 8), (1, 3, 8, 16)])
    outcome = run_passes(program, default_passes(), verify=True)
    kept = {"add", "conv2d", "pixel_shuffle", "relu", "sub"}
    last = outcome.reports[-2:]
    assert [set(report.ops_after) for report in last] == [kept, kept]
    assert [report.ops_after["conv2d"] for report in last] == [7, 11]
