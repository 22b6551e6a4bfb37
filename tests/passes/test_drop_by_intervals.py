"""Activations and clippings that let everything through, by the intervals of what they are applied to."""

from __future__ import annotations

import pytest
import torch

from dydca.passes import DropClip, DropRelu, default_passes, run_passes
from dydca.program import Program
from dydca.testing import Builder, check_pass
from dydca.testing.builder import program_of

aten = torch.ops.aten
PATCHES = (((1, 2, 5, 4),), ((1, 2, 3, 7),))


def program(*operators: tuple[object, ...], promise: tuple[float, float] | None = None) -> Program:
    """A chain of operators, each with its further operands."""
    b = Builder()
    value = b.input()
    for operator, *rest in operators:
        rest = [b.const(each) if isinstance(each, torch.Tensor) else each for each in rest]
        value = b.call(operator, value, *rest)  # type: ignore[arg-type]
    made = program_of(b.output(value), *PATCHES)
    made.promise(promise)
    return made


RELU = (aten.relu.default,)
SIGMOID = (aten.sigmoid.default,)
SLOPES = torch.tensor([0.25, -2.0])


@pytest.mark.parametrize(
    "behind", [RELU, (aten.leaky_relu.default, 0.1), (aten.prelu.default, SLOPES), (aten.abs.default,)]
)
@pytest.mark.parametrize("front", [SIGMOID, (aten.exp.default,), (aten.clamp.default, 0.0), (aten.add.Tensor, 1.0)])
def test_activations_of_what_is_not_negative(front: tuple[object, ...], behind: tuple[object, ...]) -> None:
    check_pass(program(front, behind, promise=(-0.5, 2)), DropRelu(), ops={str(behind[0]).split(".")[1]: 0}, rewrites=1)


def test_a_refusal_names_the_interval() -> None:
    reason = "%x in [-0.3, 1] may be negative"
    check_pass(program(RELU, promise=(-0.3, 1)), DropRelu(), ops={"relu": 1}, misses=[reason], rewrites=0)
    reason = "%sigmoid_default in [0, 1] or NaN may leave [0, 0.9]"
    check_pass(program(SIGMOID, (aten.clamp.default, 0.0, 0.9)), DropClip(), ops={"clamp": 1}, misses=[reason])


def test_one_channel_that_may_be_negative_is_enough() -> None:
    scale = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)
    reason = "%mul_tensor in [-1, 1] may be negative"
    check_pass(program((aten.mul.Tensor, scale), RELU, promise=(0, 1)), DropRelu(), misses=[reason], rewrites=0)


def test_nothing_is_said_where_nothing_is_known() -> None:
    check_pass(program(RELU, (aten.neg.default,)), DropRelu(), misses=[], rewrites=0)
    check_pass(program((aten.clamp.default, 0, 1)), DropClip(), misses=[], rewrites=0)


@pytest.mark.parametrize(
    "clip",
    [
        (aten.clamp.default, 0, 1),
        (aten.clamp.default, None, 1.5),
        (aten.clamp.default, -0.0),
        (aten.hardtanh.default, 0.0, 1.0),
        (aten.hardtanh.default,),
        (aten.relu6.default,),
        (aten.clamp_min.default, -1),
        (aten.clamp_max.default, 1),
    ],
)
def test_clips_to_a_range_that_is_never_left(clip: tuple[object, ...]) -> None:
    check_pass(program(SIGMOID, clip), DropClip(), ops={"sigmoid": 1}, rewrites=1)
    check_pass(program(clip, promise=(0, 1)), DropClip(), ops={}, rewrites=1)


def test_a_clip_that_changes_the_type_stays() -> None:
    b = Builder()
    graph = b.output(b.call(aten.clamp.default, b.input(), 0.0, 200.0))
    made = program_of(graph, *PATCHES, dtype=torch.uint8)
    made.promise((0, 100))
    check_pass(made, DropClip(), ops={"clamp": 1}, rewrites=0)


def test_the_default_passes_drop_them_and_merge_what_is_left() -> None:
    kernel = torch.rand(2, 2, 3, 3)
    chain = (
        (aten.conv2d.default, kernel),
        RELU,
        (aten.clamp.default, 0.0),
        (aten.conv2d.default, kernel[:, :, :1, :1]),
    )
    outcome = run_passes(program(*chain, promise=(0, 1)), default_passes(), verify=True)
    assert outcome.reports[-1].ops_after == {"conv2d": 1}
