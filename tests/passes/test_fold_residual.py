"""Equivalent transformation: any network of skips, streams and clips becomes a chain of convolutions and ReLUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dydca.models.abpn import ABPN, ABPNEquivalent
from dydca.models.ecbsr import ECBSR, ECBSREquivalent, ECBSRMerged
from dydca.models.etds import ETDS, ETDSOnlyET
from dydca.models.weights import load_weights
from dydca.passes import FoldClip, FoldResidual, Outcome, SinkShuffle, plain_passes, run_passes
from dydca.program import Program
from dydca.testing import check_pass
from tests.passes.blocks import prepared, scrambled
from tests.passes.checking import SHAPE as CHECKED
from tests.passes.checking import as_program, outputs_of

WEIGHTS = Path(__file__).parents[3] / "shared" / "weights"
SHAPE = (1, 3, 8, 7)


class Clipped(nn.Module):
    """The picture of a network, clipped to 0..1 as the authors do before they compare."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        y = self.network(x)
        picture: Tensor = y[0] if isinstance(y, tuple) else y
        return picture.clamp(0, 1)


def promised(network: nn.Module, shapes: Sequence[tuple[int, ...]] = (CHECKED,)) -> Program:
    """The captured network, whose callers promise values of 0..1."""
    program = as_program(network, shapes)
    program.promise((0, 1))
    return program


def plain(network: nn.Module) -> tuple[Outcome, float]:
    """The plain form, and how far it is from the network on a picture, in units of 1/255."""
    clipped = Clipped(network).eval()
    outcome = run_passes(promised(clipped, [SHAPE]), plain_passes(align=2), verify=True)
    x = torch.rand(SHAPE)
    with torch.no_grad():
        return outcome, 255 * float((outputs_of(outcome, x)[0] - clipped(x)).abs().max())


def tensors(outcome: Outcome) -> list[Tensor]:
    """Weights, biases and slopes in the order of the layers."""
    graph = outcome.variants[0].graph
    return [graph.constants[str(node.target)] for node in graph if node.op == "get_attr"]


def weights(name: str) -> Path:
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


Build = Callable[[], nn.Module]
PUBLISHED: dict[str, tuple[Build, Build, str]] = {
    "ABPN": (lambda: ABPN(3, 4, 28), lambda: ABPNEquivalent(3, 4, 28), "M4C28_x3"),
    "ECBSR": (lambda: ECBSRMerged(2, 4, 16), lambda: ECBSREquivalent(2, 4, 16), "M4C16_x2"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_converted_weights_are_those_the_authors_publish(name: str) -> None:
    build, build_converted, size = PUBLISHED[name]
    outcome, error = plain(load_weights(build(), weights(f"{name}_{size}")))
    wanted = load_weights(build_converted(), weights(f"{name}_ET_{size}")).state_dict()
    found = tensors(outcome)
    assert [tensor.shape for tensor in found] == [tensor.shape for tensor in wanted.values()]
    assert all(torch.equal(one, other) for one, other in zip(found, wanted.values(), strict=True))
    assert error < 1.8e-4  # the authors' own, models.md section 5


def test_the_published_dual_stream_converts_within_the_authors_error() -> None:
    _, error = plain(load_weights(ETDS(4, 6, 32), weights("ETDS_M6C32_x4_normal_loss")))
    assert error < 2.1e-4


# parameters after the transformation, models.md section 2.5
COUNTS: dict[str, tuple[Build, int]] = {
    "etds_t_x3": (lambda: ETDS(3, 5, 16), 16_920),
    "etds_m_x4": (lambda: ETDS(4, 6, 32), 72_608),
    "ecbsr_32_x3": (lambda: ECBSRMerged(3, 4, 32), 57_900),
    "abpn_28_x4": (lambda: ABPN(4, 4, 28, nearest=True), 77_780),
    "abpn_40_x3": (lambda: ABPN(3, 6, 40), 126_350),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_those_of_the_paper(name: str) -> None:
    build, parameters = COUNTS[name]
    torch.manual_seed(0)
    outcome, error = plain(build())
    assert sum(tensor.numel() for tensor in tensors(outcome)) == parameters
    assert error < 2.4e-4
    operators = set(outcome.reports[-1].ops_after)
    assert operators <= {"conv2d", "relu", "prelu", "slice", "pixel_shuffle"}


def test_the_training_form_comes_to_the_same_chain() -> None:
    """Five branches a block are merged first; no pass knows the block."""
    network = scrambled(ECBSR(2, 0, 4))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.1)
    outcome, error = plain(network)
    assert outcome.reports[-1].ops_after == {"conv2d": 3, "pixel_shuffle": 1, "prelu": 1, "relu": 2}
    assert error < 2e-4


class TwoEnds(nn.Module):
    """Two outputs, of which the second reads what the chain of the first replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.last, self.other = nn.Conv2d(4, 3, 3, padding=1), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.first(x).relu()
        z = self.middle(y).relu() + y
        return self.last(z), self.other(z) + self.other(y)


def test_every_end_of_a_network_gets_its_chain() -> None:
    passes = prepared(plain_passes()[5], FoldResidual())
    check_pass(scrambled(TwoEnds()), *passes, ops={"conv2d": 6, "relu": 4, "add": 0}, rewrites=2)


def test_a_clip_to_any_bounds_becomes_two_relus() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Hardtanh(-0.25, 0.5))
    ops = {"hardtanh": 0, "relu": 2, "rsub": 2, "add": 1}
    check_pass(scrambled(network), *prepared(FoldClip(align=2)), ops=ops)


class Behind(nn.Module):
    """``network(front(x))``, the front giving the network's inputs a range."""

    def __init__(self, network: nn.Module, front: nn.Module) -> None:
        super().__init__()
        self.network, self.front = network, front

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(self.front(x))
        return y


def test_a_range_that_the_graph_itself_shows_needs_no_declaration() -> None:
    passes = prepared(SinkShuffle(), FoldResidual())
    passes.insert(-2, plain_passes()[5])
    check_pass(Behind(scrambled(ABPN(2, 1, 4)), nn.Sigmoid()), *passes, ops={"conv2d": 4, "relu": 3, "add": 0})


def test_refuses_to_carry_what_may_be_negative_through_a_relu() -> None:
    passes = prepared(plain_passes()[5], SinkShuffle(), FoldResidual())
    reason = "%x in [-inf, inf] or NaN may be negative, which the ReLU of %relu would not let through"
    check_pass(scrambled(ABPN(2, 1, 4)), *passes, ops={"conv2d": 4, "add": 1}, misses=[reason], rewrites=0)


def test_a_prelu_lets_it_through_with_slope_one() -> None:
    program = as_program(scrambled(ECBSRMerged(2, 1, 4)))
    passes = prepared(plain_passes()[5], SinkShuffle(), FoldResidual())
    check_pass(program, *passes, ops={"conv2d": 3, "prelu": 2, "add": 0})
    slopes = [tensor for name, tensor in program.routes[0].graph.constants.items() if name.endswith("slope")]
    assert [slope[-3:].tolist() for slope in slopes] == [[1.0] * 3] * 2


def test_the_streams_need_no_condition() -> None:
    """Both streams have their own ReLUs in training, so nothing is carried."""
    outcome = run_passes(as_program(Clipped(scrambled(ETDS(2, 2, 8)))), plain_passes(), verify=True)
    assert outcome.reports[-1].ops_after == {"conv2d": 5, "pixel_shuffle": 1, "relu": 5}


def test_a_plain_chain_stays_as_it_is() -> None:
    once = run_passes(promised(Clipped(scrambled(ETDSOnlyET(2, 1, 6)))), plain_passes(), verify=True)
    (variant,) = once.variants
    assert [report.rewrites for report in once.reports if report.name == "fold_residual"] == [1]
    facts = variant.facts
    rest = FoldResidual()
    ends = [node for node in variant.graph if rest.looks_at(node)]
    assert [rest.rewrite(variant.graph, node, facts) for node in ends] == [None] * len(ends)


class Gated(nn.Module):
    """A skip around something that is neither convolution nor ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(torch.tanh(self.first(x))) + x
        return y


class Cropped(Gated):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.relu(nn.functional.conv2d(x, self.first.weight))
        z: Tensor = self.last(y) + x[:, :, 1:-1, 1:-1]
        return z


REFUSED: dict[str, tuple[Build, str]] = {
    "another_activation": (Gated, "it depends on 2 tensors"),
    "carried_over_a_crop": (Cropped, "the sizes of the parts differ"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_and_says_why(name: str) -> None:
    build, reason = REFUSED[name]
    passes = prepared(plain_passes()[5], FoldResidual())
    report = run_passes(promised(build().eval()), passes, verify=True).reports[-1]
    assert report.rewrites == 0
    assert [miss["reason"].startswith(reason) for miss in report.misses] == [True]


def test_a_range_that_reaches_below_zero_is_named() -> None:
    program = as_program(scrambled(ABPN(2, 1, 4)))
    program.promise((-0.3, 1))
    report = run_passes(program, prepared(plain_passes()[5], SinkShuffle(), FoldResidual()), verify=True).reports[-1]
    (miss,) = report.misses
    assert miss["reason"] == "%x in [-0.3, 1] may be negative, which the ReLU of %relu would not let through"
