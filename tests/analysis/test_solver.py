"""Whole networks: every tensor of every route against eager, concrete and symbolic."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import sympy
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

import dydca.models
from dydca.analysis import Fact, analyze, analyze_patch, analyze_route
from dydca.analysis.cost import macs, parameters
from dydca.analysis.rules.registry import rule
from dydca.capture import capture
from dydca.errors import ShapeError
from dydca.models import DynamicWDSR
from dydca.program import Graph, Program, Route
from tests.analysis.agreement import Calls, check_agreement

aten = torch.ops.aten


def test_dynamic_wdsr() -> None:
    program = check_agreement(DynamicWDSR(), [(1, 3, 108, 96), (1, 3, 54, 48), (1, 3, 33, 17), (1, 3, 71, 9)])
    symbolic = analyze_route(program, program.routes[0])
    assert list(map(str, symbolic[program.routes[0].graph.outputs[0]].shape)) == ["1", "3", "2*H", "2*W"]


def window_padding(x: Tensor) -> Tensor:
    """SwinIR along one axis: pad to a multiple of the window, partition, put together again, crop."""
    n, c, h, w = x.shape
    padded = functional.pad(x, (0, (4 - w % 4) % 4, 0, 0), mode="reflect")
    windows = padded.view(n, c, h, padded.shape[3] // 4, 4).permute(0, 2, 3, 4, 1)
    return windows.softmax(3).permute(0, 4, 1, 2, 3).reshape(n, c, h, padded.shape[3])[:, :, :, :w]


def borders(x: Tensor) -> Tensor:
    """ECB and RT4KSR: a frame written around the picture in place."""
    y = functional.pad(x, (1, 1, 1, 1))
    bias = x.mean((0, 2, 3)).view(1, -1, 1, 1)
    y[:, :, 0:1, :] = bias
    y[:, :, -1:, :] = bias
    y[:, :, :, 0:1] = bias
    return y


def attention(x: Tensor, squeeze: nn.Module, excite: nn.Module) -> Tensor:
    """IMDN: contrast-aware attention with a spread computed from the size."""
    mean = x.sum(3, keepdim=True).sum(2, keepdim=True) / (x.size(2) * x.size(3))
    spread = ((x - mean).pow(2).sum(3, keepdim=True).sum(2, keepdim=True) / (x.size(2) * x.size(3))).pow(0.5)
    weight: Tensor = torch.sigmoid(excite(functional.relu(squeeze(spread + mean))))
    return x * weight


def halves(x: Tensor) -> Tensor:
    """NAFNet: gate of two halves, quarters by floor division."""
    a, b = x.chunk(2, 1)
    return (a * b)[:, :, : x.shape[2] // 4, 1:-1]


def scales(x: Tensor) -> tuple[Tensor, ...]:
    """A pixel shuffle beside interpolation of the same factor, and back down."""
    up = functional.pixel_shuffle(x, 2)
    skip = functional.interpolate(x[:, :3], scale_factor=2, mode="bicubic")
    return up + skip[:, :1], functional.pixel_unshuffle(up, 2), functional.interpolate(x, size=(x.shape[2] // 2, 7))


def coordinates(x: Tensor) -> Tensor:
    """Sizes as values: a grid of positions, normalised by the size."""
    h, w = x.shape[2:]
    rows = torch.arange(h).view(-1, 1) / (h - 1)
    return x + rows + torch.arange(w) * 2 + torch.full((h, w), 0.5) + torch.zeros(x.shape)


def pyramid(x: Tensor) -> Tensor:
    """A U-Net with a size that halves unevenly."""
    small = functional.max_pool2d(x, 3, 2, 1, ceil_mode=True)
    return functional.interpolate(functional.avg_pool2d(small, 2), size=x.shape[2:], mode="bilinear") + x


def norms(x: Tensor, batch: nn.Module, layer: nn.Module, group: nn.Module) -> Tensor:
    """Three normalisations."""
    y: Tensor = batch(x) + layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) + group(x)
    return y


def linear(x: Tensor, first: nn.Module, second: nn.Module) -> Tensor:
    """A router's head over pooled features."""
    scores = second(functional.leaky_relu(first(x.mean((2, 3))), 0.1)).softmax(1)
    y: Tensor = x * scores.max(1).values.view(-1, 1, 1, 1) + scores.argmax(1).view(-1, 1, 1, 1)
    return y


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "window_padding": lambda: Calls(window_padding),
    "borders": lambda: Calls(borders),
    "attention": lambda: Calls(attention, nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)),
    "halves": lambda: Calls(halves),
    "scales": lambda: Calls(scales),
    "coordinates": lambda: Calls(coordinates),
    "pyramid": lambda: Calls(pyramid),
    "norms": lambda: Calls(norms, nn.BatchNorm2d(8), nn.LayerNorm(8), nn.GroupNorm(2, 8)),
    "linear": lambda: Calls(linear, nn.Linear(8, 4), nn.Linear(4, 3)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str) -> None:
    program = check_agreement(NETWORKS[name](), [(2, 8, 18, 16), (2, 8, 25, 31)])
    assert all(not analyze_route(program, route).unruled for route in program.routes)


@pytest.mark.parametrize(
    "name", ["elsr", "abpn_m4c28", "fsrcnn", "rt4ksr_base", "swrn_no_hidden", "imdn_rtc", "block_naf", "early_exit"]
)
def test_network_of_the_zoo(name: str) -> None:
    entry = next(entry for entry in dydca.models.every() if entry.facts.name == name)
    shapes = entry.facts.shapes(40, 48)
    program = check_agreement(entry.build(), [dict(shapes)])
    route, size = program.routes[0], tuple(entry.facts.shapes(*entry.facts.lr_size).values())
    assert not analyze_route(program, route).unruled
    if len(program.routes) == 1 and entry.facts.gmacs is not None and name != "rt4ksr_base":  # has a dead branch
        facts = analyze_patch(program, route, size)
        assert sum(int(macs(node, facts)) for node in route.graph) / 1e9 == pytest.approx(entry.facts.gmacs, abs=6e-4)
        assert parameters(route.graph) == entry.facts.parameters


def test_assumptions_that_follow_from_others_are_left_out() -> None:
    entry = next(entry for entry in dydca.models.every() if entry.facts.name == "rt4ksr_base")
    program = capture(entry.build(), [(1, 3, 40, 48)])
    conditions = [str(need.condition) for need in analyze_route(program, program.routes[0]).assumptions]
    assert conditions == ["Eq(Mod(H, 2), 0)", "Eq(Mod(W, 2), 0)"]


def test_shuffle_undoes_unshuffle_on_symbols() -> None:
    program = capture(Calls(lambda x: functional.pixel_shuffle(functional.pixel_unshuffle(x, 2), 4)), [(1, 4, 12, 8)])
    facts = analyze_route(program, program.routes[0])
    _, channels, *sizes = facts[program.routes[0].graph.outputs[0]].shape
    height, width = program.inputs[0].dims[2:]
    assert sizes == [2 * height, 2 * width]
    assert str(channels) in ("C/4", "1")
    assert [str(entry.condition) for entry in facts.assumptions if entry.condition.has(height)] == ["Eq(Mod(H, 2), 0)"]


def graph_of(op: Any, *args: Any) -> tuple[Graph, fx.Node]:
    graph = fx.Graph()
    node = graph.call_function(op, (graph.placeholder("x"), *args))
    graph.output((node,))
    return Graph(graph, {}), node


def program_of(graph: Graph) -> tuple[Program, Route]:
    program = capture(nn.Identity(), [(1, 3, 8, 8)])
    return program, Route("route0", (), graph, ((1, 3, 8, 8),))


class Unshuffle(nn.Module):
    """Needs even sizes."""

    def forward(self, x: Tensor) -> Tensor:
        """One operator."""
        return functional.pixel_unshuffle(x, 2)


def test_a_refused_patch_names_the_source_line() -> None:
    program = capture(Unshuffle(), [(1, 3, 8, 8)])
    with pytest.raises(ShapeError) as caught:
        analyze_patch(program, program.routes[0], ((1, 3, 7, 8),))
    assert caught.value.code == "DYD202"
    assert "test_solver.py:" in str(caught.value)
    assert "got  7" in str(caught.value)
    assert "want k x 2" in str(caught.value)


def test_a_patch_of_another_rank_is_refused() -> None:
    program = capture(nn.ReLU(), [(1, 3, 8, 8)])
    with pytest.raises(ShapeError, match="DYD201"):
        analyze_patch(program, program.routes[0], ((3, 8, 8),))


def test_an_operator_without_a_rule_is_listed_and_its_shape_is_pytorchs() -> None:
    graph, node = graph_of(aten.renorm.default, 2.0, 0, 1.0)
    concrete = analyze(graph, [Fact((4, 5), torch.float32)])
    assert concrete.unruled == [node]
    assert concrete[node] == Fact((4, 5), torch.float32)
    height = sympy.Symbol("H", integer=True, positive=True)
    symbolic = analyze(graph, [Fact((height, 5), torch.float32)], {height: 9})
    assert list(map(str, symbolic[node].shape)) == ["u_renorm_default_0", "u_renorm_default_1"]


def test_a_meta_kernel_that_refuses_is_a_refusal() -> None:
    graph, _ = graph_of(aten.renorm.default, 2.0, 7, 1.0)
    with pytest.raises(ShapeError, match="meta kernel"):
        analyze(graph, [Fact((4, 5), torch.float32)])


def test_values_are_followed_through_small_integer_tensors() -> None:
    def sizes(x: Tensor) -> Tensor:
        both = torch.stack([torch.tensor(x.shape[2]), torch.tensor(x.shape[3])]) * 2 + 1
        return x.new_zeros(2).long() + torch.cat([both, both])[1:3].flip(0)

    check_agreement(Calls(sizes), [(2, 3, 8, 9), (2, 3, 5, 11)])


def test_sizes_that_the_data_decides_get_a_symbol_of_their_own() -> None:
    graph, node = graph_of(aten.nonzero.default)
    facts = analyze(graph, [Fact((4, 5), torch.float32)])
    assert list(map(str, facts[node].shape)) == ["u_nonzero_default", "2"]
    with pytest.raises(ValueError, match="symbolic"):
        facts.shape(node)


def test_constants() -> None:
    program = capture(
        Calls(lambda x, conv: x * conv.weight.sum().exp() + torch.rand(1), nn.Conv2d(3, 3, 1)), [(1, 3, 8, 8)]
    )
    graph = program.routes[0].graph
    facts = analyze_route(program, program.routes[0])
    constant = {str(node.target): facts[node].constant for node in graph if node.op == "call_function"}
    assert constant["aten.exp.default"]
    assert not constant["aten.rand.default"]
    assert not constant["aten.mul.Tensor"]


def test_an_operator_has_one_rule() -> None:
    with pytest.raises(ValueError, match="has a rule already"):
        rule(aten.relu.default)(lambda node, x: x)


def long_chain(nodes: int) -> Graph:
    graph = fx.Graph()
    value = graph.placeholder("x")
    for place in range(nodes):
        further: dict[Any, Any] = {aten.relu.default: (), aten.pixel_shuffle.default: (1,), aten.add.Tensor: (value,)}
        op = list(further)[place % 3]
        value = graph.call_function(op, (value, *further[op]))
    graph.output((value,))
    return Graph(graph, {})


def test_500_nodes_on_8_patches_and_4_routes_take_less_than_a_second() -> None:
    program, route = program_of(long_chain(500))
    analyze_route(program, route)  # loads the rules
    start = time.process_time()
    for _ in range(4):
        analyze_route(program, route)
        for size in range(8, 16):
            analyze_patch(program, route, ((1, 3, size, 8),))
    assert time.process_time() - start < 1
