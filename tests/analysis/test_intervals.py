"""Intervals: their arithmetic on random members, and what single operators and constant weights make of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from dydca.analysis.intervals import UNKNOWN, Interval, entrywise, interval_of, point, spanning
from tests.analysis.agreement import lies_within
from tests.analysis.tracing import facts_of, interval_after, traced

Function = Callable[..., Any]
numbers = st.sampled_from([0.0, 1.0, -1.0, 0.1, 3.0, -7.5, 255.0, 1e-30, -1e-45, 3e38]) | st.floats(-50, 50, width=32)


@st.composite
def intervals(draw: Callable[[Any], Any]) -> tuple[Interval, Tensor]:
    """An interval of three entries or of one, and a member of every entry."""
    count = draw(st.sampled_from([1, 3]))
    entries = [(draw(numbers), draw(numbers)) for _ in range(count)]
    ends = np.sort(np.array(entries, np.float64), 1)
    chosen = [low if draw(st.booleans()) else high for low, high in ends]
    if draw(st.booleans()):
        chosen = [(low + high) / 2 for low, high in ends]
    members = torch.tensor(chosen, dtype=torch.float64).clamp(*torch.from_numpy(ends.T.copy())).float()
    interval = Interval(ends.T, -1) if len(entries) == 3 else spanning(*ends[0])
    return interval, members


OPERATIONS: dict[str, tuple[Callable[[Interval, Interval], Interval], Function]] = {
    "add": (lambda a, b: a + b, torch.add),
    "sub": (lambda a, b: a - b, torch.sub),
    "mul": (lambda a, b: a * b, torch.mul),
    "div": (lambda a, b: a / b, torch.div),
    "max": (Interval.larger, torch.maximum),
    "min": (Interval.smaller, torch.minimum),
    "union": (lambda a, b: a | b, lambda a, b: a + 0 * b),
}


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(a=intervals(), b=intervals())
def test_float32_results_of_members_lie_within(
    name: str, a: tuple[Interval, Tensor], b: tuple[Interval, Tensor]
) -> None:
    on_intervals, on_tensors = OPERATIONS[name]
    # ends are float32 numbers here, as those of every fact are
    left, right = (part[0].rounded(torch.float32) for part in (a, b))
    assert left is not None
    assert right is not None
    found = on_intervals(left, right).rounded(torch.float32)
    value = on_tensors(a[1], b[1])
    low, high = torch.from_numpy(found.ends.copy())  # type: ignore[union-attr]
    inside = (low <= value.double()) & (value.double() <= high)
    assert bool((inside | value.isnan() if found.nan else inside).all()), (str(left), str(right), str(found), value)  # type: ignore[union-attr]


@given(a=intervals(), count=st.integers(1, 2000))
@settings(max_examples=100, deadline=None, database=None, derandomize=True)
def test_sums_of_many_members_lie_within(a: tuple[Interval, Tensor], count: int) -> None:
    members, interval = a[1], a[0].rounded(torch.float32)
    assert interval is not None
    whole = interval.summed(count, torch.float32).rounded(torch.float32)
    assert whole is not None
    total = members.repeat(count, 1).sum(0)  # in blocks
    running = members.repeat(count, 1).cumsum(0)[-1]  # one after the other
    for value in (total, running):
        assert bool((torch.from_numpy(whole.ends[0]) <= value.double()).all())
        assert bool((value.double() <= torch.from_numpy(whole.ends[1])).all())


X = (2, 4, 5, 6)
AFTER: dict[str, tuple[Function, float, float, str]] = {
    "relu": (functional.relu, -1, 2, "[0, 2]"),
    "relu of anything": (lambda x: (x / 0).relu(), -1, 2, "[0, inf] or NaN"),
    "leaky relu": (lambda x: functional.leaky_relu(x, -0.5), -1, 2, "[0, 2]"),
    "prelu": (nn.PReLU(4), -1, 2, "[-0.25, 2]"),
    "gelu": (functional.gelu, -9, 2, "[-0.17, 1.955]"),
    "silu": (functional.silu, -9, 2, "[-0.2785, 1.762]"),
    "sigmoid": (torch.sigmoid, -math.inf, math.inf, "[0, 1]"),
    "exp": (torch.exp, -math.inf, 0, "[0, 1]"),
    "a value times itself": (lambda x: x * x, -3, 2, "[0, 9]"),
    "two values": (lambda x: x * (x + 0), -3, 2, "[-6, 9]"),
    "square": (lambda x: x**2, -3, 2, "[0, 9]"),
    "cube": (lambda x: x**3, -3, 2, "[-27, 8]"),
    "scale and shift": (lambda x: 1 - x * 0.5, -1, 2, "[0, 1.5]"),
    "divided by what may be 0": (lambda x: 1 / x, -1, 2, "[-inf, inf]"),
    "divided by what may not": (lambda x: 1 / (x * x + 0.5), -1, 2, "[0.2222, 2]"),
    "0 divided by 0": (lambda x: x / x, 0, 2, "[-inf, inf] or NaN"),
    "root of what may be negative": (torch.sqrt, -1, 4, "[0, 2] or NaN"),
    "logarithm of 0": (torch.log, 0, 1, "[-inf, 0]"),
    "clamp": (lambda x: x.clamp(0, 1), -1, 2, "[0, 1]"),
    "clamp below": (lambda x: x.clamp(min=0.5), -1, 2, "[0.5, 2]"),
    "numbers in place of none": (lambda x: torch.nan_to_num(x.sqrt()), -1, 4, "[0, 2]"),
    "where": (lambda x: torch.where(x > 0, x, x * 0.5), -1, 2, "[-1, 2]"),
    "where it is decided": (lambda x: torch.where(x > 5, x, x * 0.5), -1, 2, "[-0.5, 1]"),
    "softmax": (lambda x: x.softmax(1), -1, 2, "[0, 1]"),
    "sum of channels": (lambda x: x.sum(1), -1, 2, "[-4, 8]"),
    "largest": (lambda x: x.amax((2, 3)), -1, 2, "[-1, 2]"),
    "place of the largest": (lambda x: x.argmax(1), -1, 2, "[0, 3]"),
    "spread": (lambda x: x.std((2, 3), unbiased=False), -1, 2, "[0, 1.5]"),
    "layer norm of seven": (nn.LayerNorm(6), -1, 2, "[-2.237, 2.237]"),
    "whole part": (lambda x: (x * 10).long(), -0.55, 2.19, "[-5, 21]"),
    "remainder": (lambda x: (x * 10).long() % 3, -1, 2, "[0, 2]"),
    "bicubic": (lambda x: functional.interpolate(x, scale_factor=2, mode="bicubic"), 0, 1, "[-0.4453, 1.445]"),
    "bilinear": (lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"), 0, 1, "[0, 1]"),
    "pad": (lambda x: functional.pad(x, (1, 1, 1, 1), value=5), 0, 1, "[0, 5]"),
    "reflect": (lambda x: functional.pad(x, (1, 1, 1, 1), mode="reflect"), 0.5, 1, "[0.5, 1]"),
    "mean with padding": (lambda x: functional.avg_pool2d(x, 3, 1, 1), 0.5, 1, "[0, 1]"),
    "mean without": (lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False), 0.5, 1, "[0.5, 1]"),
    "mean of none": (lambda x: x[..., :0].mean(3), 0.5, 1, "[0.5, 1] or NaN"),
    "positions": (lambda x: (x > 0).nonzero(), 0, 1, "[0, 5]"),
    "truth": (lambda x: x > 0, 0, 1, "[0, 1]"),
    "undecided at the border": (lambda x: x >= 0.1, 0.1, 1, "[0, 1]"),
    "decided": (lambda x: x >= 0, 0, 1, "[1, 1]"),
    "unknown operator": (lambda x: torch.special.erfcx(x), 0, 1, "[-inf, inf] or NaN"),
}


@pytest.mark.parametrize("name", AFTER)
def test_interval_after(name: str) -> None:
    function, low, high, wanted = AFTER[name]
    assert str(interval_after(function, X, low, high)) == wanted


def test_float32_of_a_number_decides_not_the_number() -> None:
    """0.1 is no float32; the comparison is made with the float32 next to it, which is larger."""
    x = torch.full((1,), 0.1)
    graph = traced(lambda x: x > 0.1, x)
    (node,) = graph.outputs
    assert str(facts_of(graph, x, interval=interval_of(x))[node].bounds) == "[0, 1]"
    assert not graph.run(x)[0].item()


def channels(*ends: tuple[float, float]) -> Interval:
    return entrywise([low for low, _ in ends], [high for _, high in ends], -3)


MOVED: dict[str, tuple[Function, Interval]] = {
    "cat": (
        lambda x: torch.cat([x[:, 1:], torch.ones(1, 1, 4, 6)], 1),
        channels((0, 5), (-1, 2), (-3, -2), (1, 1)),
    ),
    "split": (lambda x: x.split([1, 3], 1)[1], channels((0, 5), (-1, 2), (-3, -2))),
    "chunk": (lambda x: x.chunk(2, 1)[1], channels((-1, 2), (-3, -2))),
    "one channel": (lambda x: x[:, -1], spanning(-3, -2)),
    "shuffle": (lambda x: functional.pixel_shuffle(x, 2), channels((-3, 5))),
    "unshuffle": (
        lambda x: functional.pixel_unshuffle(x[:, :2], 2),
        channels((0, 1), (0, 1), (0, 1), (0, 1), (0, 5), (0, 5), (0, 5), (0, 5)),
    ),
    "repeat": (lambda x: x[:, :2].repeat_interleave(2, 1), channels((0, 1), (0, 1), (0, 5), (0, 5))),
    "tile": (lambda x: x[:, :2].repeat(1, 2, 1, 1), channels((0, 1), (0, 5), (0, 1), (0, 5))),
    "scale": (
        lambda x: x * torch.tensor([1.0, -1.0, 2.0, 0.0]).view(4, 1, 1),
        channels((0, 1), (-5, 0), (-2, 4), (0, 0)),
    ),
    "there and back": (
        lambda x: x.flatten(2).transpose(1, 2).unflatten(1, (4, 6)).permute(0, 3, 1, 2),
        channels((0, 1), (0, 5), (-1, 2), (-3, -2)),
    ),
    "pooled": (lambda x: functional.max_pool2d(x, 2), channels((0, 1), (0, 5), (-1, 2), (-3, -2))),
    "largest of each": (lambda x: x.amax((2, 3), keepdim=True), channels((0, 1), (0, 5), (-1, 2), (-3, -2))),
    "rows": (lambda x: torch.cat([x[:, :1], x[:, 1:2]], 2), channels((0, 5))),
    "more channels": (
        lambda x: functional.pad(x[:, :2], (0, 0, 0, 0, 0, 1), value=7.0),
        channels((0, 1), (0, 5), (7, 7)),
    ),
}


@pytest.mark.parametrize("name", MOVED)
def test_channels_are_told_apart_wherever_they_go(name: str) -> None:
    function, wanted = MOVED[name]
    given = channels((0, 1), (0, 5), (-1, 2), (-3, -2))
    x = torch.rand(1, 4, 4, 6)
    graph = traced(function, x)
    found = facts_of(graph, x, interval=given)[graph.outputs[0]].bounds
    assert np.allclose(found.ends, wanted.ends, rtol=1e-6), found.ends
    assert found.axis == wanted.axis


def worst(module: nn.Module, x: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """The least and the largest value that the first element of each channel can take, by the sign of each weight."""
    found = []
    for channel in range(module(x).shape[1]):
        given = x.clone().requires_grad_()
        centre = module(given)[0, channel].flatten()
        (slope,) = torch.autograd.grad(centre[centre.numel() // 2], given)
        ends = [torch.where((slope > 0) == up, float(high), float(low)) for up in (False, True)]
        found.append([float(module(end)[0, channel].flatten()[centre.numel() // 2].detach()) for end in ends])
    return torch.tensor(found).unbind(1)  # type: ignore[return-value]


LINEAR: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(4, 5, 3),
    "padded": lambda: nn.Conv2d(4, 5, 3, padding=1),
    "depthwise": lambda: nn.Conv2d(4, 8, (1, 3), groups=4, bias=False),
    "grouped": lambda: nn.Conv2d(4, 6, 2, groups=2, stride=2),
    "dilated": lambda: nn.Conv2d(4, 2, 3, dilation=2, padding="same"),
    "transposed": lambda: nn.ConvTranspose2d(4, 3, 4, 2, 1),
    "linear": lambda: nn.Linear(9, 3),
    "batch norm": lambda: nn.BatchNorm2d(4).eval(),
}


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 0.5), (2, 3)])
def test_known_weights_give_the_least_interval_there_is(name: str, low: float, high: float) -> None:
    torch.manual_seed(3)
    module = LINEAR[name]()
    if isinstance(module, nn.BatchNorm2d):
        for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
            nn.init.uniform_(tensor, 0.5, 2)  # type: ignore[arg-type]
    x = torch.rand(1, 4, 9, 9)
    if isinstance(module, nn.Linear):
        module, x = nn.Sequential(nn.Flatten(0, 2), module), x[:, :, :1]
    with torch.no_grad():
        graph = traced(module, x)
    found = facts_of(graph, x, interval=spanning(low, high))[graph.outputs[0]].bounds
    least, most = worst(module, x, low, high)
    assert np.all(found.ends[0] <= least.numpy())
    assert np.all(found.ends[1] >= most.numpy())
    if not (name == "transposed" or (name in ("padded", "dilated") and low == 2)):  # some phases, and the border
        np.testing.assert_allclose(found.ends, np.stack([least, most]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LINEAR)
def test_borders_and_phases_lie_within(name: str) -> None:
    torch.manual_seed(4)
    module = LINEAR[name]()
    shape = (1, 4, 9, 9)
    with torch.no_grad():
        graph = traced(module, torch.rand(shape))
        facts = facts_of(graph, torch.rand(shape), interval=spanning(2, 3))
        for _ in range(20):
            x = 2 + torch.randint(0, 2, shape).float()
            assert lies_within(graph.run(x)[0], facts[graph.outputs[0]])


def test_weights_that_are_computed_are_known() -> None:
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3, padding=1))
    x = torch.rand(1, 3, 8, 8)
    plain = nn.Conv2d(3, 4, 3, padding=1)
    plain.load_state_dict({"weight": conv.weight.detach(), "bias": conv.bias.detach()})
    with torch.no_grad():
        graphs = [traced(module, x) for module in (conv, plain)]
    found = [facts_of(graph, x, interval=spanning(0, 1))[graph.outputs[0]].bounds for graph in graphs]
    np.testing.assert_allclose(found[0].ends, found[1].ends, rtol=1e-5)


def test_nothing_is_known_of_an_input_without_a_range() -> None:
    x = torch.rand(1, 3, 8, 8)
    graph = traced(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3)), x)
    conv, relu, last = (node for node in graph if node.op == "call_function")
    facts = facts_of(graph, x)
    assert facts[graph.inputs[0]].bounds is UNKNOWN
    assert not facts[conv].bounds.bounded
    assert str(facts[relu].bounds) == "[0, inf] or NaN"
    assert not facts[last].bounds.bounded


def test_wrapped_integers_lose_their_interval() -> None:
    graph = traced(lambda x: x * 3, torch.zeros(2, dtype=torch.uint8))
    x = torch.zeros(2, dtype=torch.uint8)
    narrow = facts_of(graph, x, interval=spanning(0, 80))[graph.outputs[0]].bounds
    wide = facts_of(graph, x, interval=spanning(0, 90))[graph.outputs[0]].bounds
    assert (str(narrow), str(wide)) == ("[0, 240]", "[0, 255]")


def test_rounding_goes_outward_and_leaves_float32_numbers_alone() -> None:
    exact, tenth = spanning(0, 0.5).rounded(torch.float32), point(0.1).rounded(torch.float32)
    assert exact == spanning(0, 0.5)
    assert tenth is not None
    assert tenth.low < 0.1 < tenth.high
    assert tenth.high - tenth.low == pytest.approx(2**-27)
    huge = spanning(-1e39, 1e39).rounded(torch.float32)
    assert huge == spanning(-math.inf, math.inf)
    half = spanning(0, 70_000).rounded(torch.float16)
    assert half == spanning(0, math.inf)
