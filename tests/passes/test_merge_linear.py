"""Linear regions become one convolution, borders exact."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dydca.models.ecb import ECB
from dydca.models.ecbsr import ECBSR
from dydca.models.rt4ksr import ResBlock
from dydca.passes import PassReport, SpecializeShapes, run_passes
from dydca.passes.running.proof import Execution
from dydca.program import op_name
from dydca.testing import Builder, check_pass, program_of
from tests.passes.blocks import ac_net, conv_norm, dbb, merging, mobile_one, rep_vgg, scrambled
from tests.passes.checking import as_program

aten = torch.ops.aten

SHAPE = (2, 6, 9, 11)
MINIMAL: dict[str, tuple[Callable[[], nn.Module], dict[str, int]]] = {
    "ecb": (lambda: ECB(6, 6, identity=True), {"conv2d": 1, "prelu": 1}),
    "rt4ksr": (lambda: ResBlock(6), {"conv2d": 1}),
    "rep_vgg": (rep_vgg, {"conv2d": 1, "relu": 1}),
    "ac_net": (ac_net, {"conv2d": 1, "relu": 1}),
    "dbb": (dbb, {"conv2d": 1, "relu": 1}),
    "mobile_one": (mobile_one, {"conv2d": 2, "relu": 2}),
    "batch_norm": (lambda: conv_norm(6, 4, 3), {"conv2d": 1}),
}


def merged(model: nn.Module, shape: tuple[int, ...] = SHAPE) -> PassReport:
    return run_passes(as_program(scrambled(model), [shape]), merging(), verify=True).reports[-1]


@pytest.mark.parametrize("name", MINIMAL)
def test_blocks_reach_their_minimal_form(name: str) -> None:
    build, wanted = MINIMAL[name]
    report = merged(build())
    assert report.ops_after == wanted
    assert report.misses == ()
    assert all(difference.max_abs <= difference.tolerance / 3 for difference in report.differences)


def test_a_block_of_depthwise_convolutions_stays_depthwise() -> None:
    program = as_program(scrambled(mobile_one()), [SHAPE])
    check_pass(program, *merging())
    weights = [tuple(tensor.shape) for tensor in program.routes[0].graph.constants.values() if tensor.dim() == 4]
    assert weights == [(6, 1, 3, 3), (6, 6, 1, 1)]


def test_the_merge_is_rounded_once() -> None:
    """The kernel is the float64 composition, rounded: not a digit may be lost on the way."""
    model = scrambled(ResBlock(6))
    assert isinstance(model, ResBlock)
    program = as_program(model, [SHAPE])
    check_pass(program, *merging())
    k0, k1, k2 = (layer.weight.detach().double() for layer in (model.expand, model.window, model.reduce))
    inner = k1 + functional.pad(torch.eye(12).double()[:, :, None, None], (1, 1, 1, 1))
    exact = torch.einsum("om,mnab,ni->oiab", k2[:, :, 0, 0], inner, k0[:, :, 0, 0])
    exact += functional.pad(torch.eye(6).double()[:, :, None, None], (1, 1, 1, 1))
    weight = next(tensor for tensor in program.routes[0].graph.constants.values() if tensor.dim() == 4)
    assert torch.equal(weight, exact.float())


@pytest.mark.parametrize("identity", [False, True])
def test_values_up_to_255_round_as_little_as_they_can(identity: bool) -> None:
    """models.md section 3 measured 3.1e-5 at first weights and without identities: two steps of float32 at 255.

    With them the values double from block to block, and any order of summing them differs by more. The merged weights
    alone, in float64, move nothing by half a step.
    """
    network = ECBSR(2, 0, 8, 1, identity=identity).eval()
    x = torch.rand(1, 1, 24, 20) * 255
    outcome = run_passes(as_program(network, [(1, 1, 24, 20)]), merging(), verify=False)
    with torch.no_grad():
        expected, exact = network(x), network.double()(x.double())
    merged = Execution(outcome.variants[0].graph, [x])
    assert outcome.reports[-1].ops_after["conv2d"] == 2
    step = 2.0 ** (math.ceil(math.log2(float(exact.abs().max()))) - 24)
    if not identity:
        assert float((merged.outputs[0] - expected).abs().max()) <= 2 * step
    assert float((merged.exact[0] - exact).abs().max()) <= step / 2


class Net(nn.Module):
    """``body(layers, x)``."""

    def __init__(self, body: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.body = nn.ModuleList(layers), body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x, *self.layers)


def conv(inputs: int = 6, outputs: int = 6, kernel: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **options)  # type: ignore[arg-type]


def same(inputs: int = 6, outputs: int = 6, kernel: int = 3, **options: object) -> nn.Conv2d:
    return conv(inputs, outputs, kernel, padding=kernel // 2, **options)


MERGES: dict[str, tuple[nn.Module, dict[str, int]]] = {
    "valid_after_valid": (nn.Sequential(conv(6, 12), conv(12, 2)), {"conv2d": 1}),
    "pointwise_after_window": (nn.Sequential(same(6, 12), same(12, 6, 1)), {"conv2d": 1}),
    "bias_free_pointwise_before_window": (nn.Sequential(same(6, 12, 1, bias=False), same(12, 6)), {"conv2d": 1}),
    "pad_before": (nn.Sequential(nn.ZeroPad2d(1), conv()), {"conv2d": 1, "pad": 0}),
    "uneven_pad_before": (nn.Sequential(nn.ZeroPad2d((2, 0, 1, 1)), conv(), conv(6, 6, 1)), {"conv2d": 1}),
    "pool": (
        Net(lambda x, a, b, pool: pool(b(x)) + a(x), same(), same(6, 6, 1, bias=False), nn.AvgPool2d(3, 1, 1)),
        {"conv2d": 1},
    ),
    "dilated": (nn.Sequential(conv(6, 6, 3, padding=2, dilation=2), nn.BatchNorm2d(6)), {"conv2d": 1}),
    "same_of_an_even_kernel": (nn.Sequential(conv(6, 6, 2, padding="same"), nn.BatchNorm2d(6)), {"conv2d": 1}),
    "grouped": (nn.Sequential(same(6, 6, groups=2), nn.BatchNorm2d(6)), {"conv2d": 1}),
    "residual": (Net(lambda x, a: a(x) - 2 * x.neg() / 4 + 1.5, same()), {"conv2d": 1}),
    "cat_and_slice": (Net(lambda x, a, b: b(torch.cat([x, a(x)], 1))[:, 2:], same(), same(12, 4, 1)), {"conv2d": 1}),
    "parts": (
        Net(lambda x, a, b: a(x.split([2, 4], 1)[0]) + b(x.split([2, 4], 1)[1]), same(2), same(4)),
        {"conv2d": 1},
    ),
    "crop": (Net(lambda x, a, b: b(a(x))[:, :, 1:-2, :-1], same(6, 9), same(9, 1, 1)), {"conv2d": 1}),
    "channel_shuffle": (Net(lambda x, a, b: b(shuffled(a(x))), same(6, 12), same(12, 4, 1)), {"conv2d": 1}),
    "repeat": (Net(lambda x, a: a(x) + x.repeat_interleave(2, 1), same(6, 12)), {"conv2d": 1}),
    "one_channel_for_all": (Net(lambda x, a: a(x) + x[:, :1], same()), {"conv2d": 1}),
}


def shuffled(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w).flip(1)


@pytest.mark.parametrize("name", MERGES)
def test_merges(name: str) -> None:
    model, wanted = MERGES[name]
    report = merged(model)
    operators = {name: count for name, count in report.ops_after.items() if name not in ("sym_size", "constant_pad_nd")}
    assert operators == {name: count for name, count in wanted.items() if count}


REFUSED: dict[str, tuple[nn.Module, list[str]]] = {
    "window_over_a_padded_window": (
        Net(lambda x, a, b: b(a(x)), same(), same()),
        ["%conv2d is padded, where its own 3x3 window over %x is not constant"],
    ),
    "bias_under_padding": (
        nn.Sequential(same(6, 12, 1), same(12, 6)),
        ["%conv2d is padded with another value than its bias"],
    ),
    "dearer": (
        Net(lambda x, a, b: b(a(x)), same(6, 2, 1), same(2, 6, 1)),
        ["one convolution of %x takes 36 multiply-adds a pixel, what it frees 24"],
    ),
    "shared": (
        Net(lambda x, a, b: torch.cat([b(y := a(x)), y.relu()], 1), same(), same(6, 6, 1)),
        [
            (
                "one convolution of %x takes 324 multiply-adds a pixel, what it frees 36; "
                "%conv2d stays, being read elsewhere"
            )
        ],
    ),
    "shared_under_batch_norm": (
        Net(lambda x, a, b: torch.cat([b(y := a(x)), y.relu()], 1), same(), nn.BatchNorm2d(6)),
        [
            (
                "one convolution of %x takes 324 multiply-adds a pixel, what it frees 0; "
                "%conv2d stays, being read elsewhere"
            )
        ],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_and_says_why(name: str) -> None:
    model, reasons = REFUSED[name]
    report = merged(model)
    assert [miss["reason"] for miss in report.misses] == reasons
    assert report.rewrites == 0


KEPT: dict[str, nn.Module] = {
    "strided": nn.Sequential(conv(6, 6, 3, stride=2), conv(6, 6, 1, stride=2)),
    "reflected": nn.Sequential(conv(6, 6, 3, padding=1, padding_mode="reflect")),
    "pool_that_leaves_out_the_pad": nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    "two_inputs": Net(lambda x, a, b: a(x.relu()) + b(x.tanh()), same(), same()),
    "flipped_picture": Net(lambda x, a: a(x.flip(2)), same()),
    "transposed_picture": Net(lambda x, a: a(x.transpose(2, 3)), same()),
    "product": Net(lambda x, a: a(x) * x, same()),
    "pixel_map": Net(lambda x, a: a(x) + torch.ones(1, 1, 9, 11), same()),
    "elementwise_alone": Net(lambda x: (x * 2 + 1 - x[:, :1]).relu()),
    "one_convolution": same(),
}


@pytest.mark.parametrize("name", KEPT)
def test_leaves_alone(name: str) -> None:
    report = merged(KEPT[name])
    assert (report.rewrites, report.misses) == (0, ())


def test_a_merge_inside_a_larger_region_is_found_where_the_whole_does_not_pay() -> None:
    """48 channels go through a bottleneck of 2: what lies behind it merges, the bottleneck itself stays."""
    model = nn.Sequential(same(6, 2, 1, bias=False), same(2, 24), nn.BatchNorm2d(24), same(24, 6, 1))
    report = merged(model)
    assert report.ops_after == {"conv2d": 2}


def test_the_networks_of_two_refused_layers_merge_up_to_the_border() -> None:
    model = nn.Sequential(conv_norm(6, 6, 3), conv_norm(6, 6, 3))
    report = merged(model)
    assert report.ops_after == {"conv2d": 2}
    assert len(report.misses) == 1


def test_a_base_that_another_merge_reads_stays() -> None:
    """The second pair merges over ``a(x)`` itself, so the first must not take ``a(x)`` away under it."""

    def body(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
        middle = a(x) * 2
        return torch.cat([middle.relu(), (b(middle) * 3).tanh()], 1)

    assert merged(Net(body, same(6, 2, 1), same(2, 8, 1))).ops_after["conv2d"] == 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_element_type_stays(dtype: torch.dtype) -> None:
    b = Builder()
    one = b.call(aten.conv2d.default, b.input(), b.const(torch.randn(6, 3, 3, 3, dtype=dtype)))
    program = program_of(b.output(b.call(aten.mul.Tensor, one, 0.5)), ((1, 3, 9, 8),), dtype=dtype)
    graph = run_passes(program, [SpecializeShapes(), *merging()], verify=False).variants[0].graph
    assert [tensor.dtype for tensor in graph.constants.values()] == [dtype]
    assert [op_name(node) for node in graph if node.op == "call_function"] == ["conv2d"]
