"""Convolutions on several patches: one form of their weights, unless that is predicted to cost too much."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import nn

import dydca
from dydca.lower.calls import Calls, Weight
from dydca.lower.kernels.rows import ConvKernel
from dydca.lower.kernels.winograd import WinogradConv
from dydca.lower.lower import lower
from dydca.lower.packings import LARGEST_LOSS, agreed
from dydca.lower.plan import write_plan
from dydca.lower.select_kernels import Candidate, Choice, algorithm
from dydca.lower.targets import find_target
from dydca.passes import default_passes, run_passes

SIZES = (32, 24, 16, 20)
"""Alone, the second would take F(6), the others F(4)."""


def programs(*sizes: int) -> list[Calls]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1)).eval()
    variants = run_passes(dydca.capture(model, [(1, 12, size, size) for size in sizes]), default_passes()).variants
    return lower({f"p{number}": [variant] for number, variant in enumerate(variants)}, find_target("x86-64-v4"))


def tiles(calls: Calls) -> set[int]:
    return {call.kernel.m for call in calls.calls if isinstance(call.kernel, WinogradConv)}


def test_patches_agree_on_one_tile() -> None:
    assert [tiles(calls) for size in SIZES for calls in programs(size)] == [{4}, {6}, {4}, {4}]
    assert len(set.union(*map(tiles, programs(*SIZES)))) == 1


def test_a_patch_more_adds_no_weights() -> None:
    several = programs(*SIZES)
    one = next(calls for calls in (*programs(24), *programs(32)) if tiles(calls) == tiles(several[0]))
    assert len(write_plan(several, {}).weights) == len(write_plan([one], {}).weights)


def test_weights_are_packed_for_the_kernel_that_reads_them() -> None:
    for call in (call for calls in programs(*SIZES) for call in calls.calls):
        if isinstance(call.kernel, ConvKernel):
            weight, bias = (operand for operand in call.reads[1:3] if isinstance(operand, Weight))
            assert weight.array.shape == call.kernel.weights
            assert bias.array.shape == (call.kernel.padded_channels,)


def test_the_reason_says_what_a_patch_gave_up() -> None:
    several = programs(*SIZES)
    alone = [tiles(calls) for size in SIZES for calls in programs(size)]
    for calls, own in zip(several, alone, strict=True):
        given_up = ["but a copy of the weights" in call.reason for call in calls.calls if call.reason]
        assert given_up
        assert all(each == (tiles(calls) != own) for each in given_up)


def choice(**cycles: float) -> Choice:
    """A choice between kernels of which only the algorithm is known."""
    candidates = [Candidate(cast("ConvKernel", name), each) for name, each in cycles.items()]
    return Choice(tuple(sorted(candidates, key=lambda candidate: candidate.cycles)))


@pytest.fixture(autouse=True)
def named_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A string stands for a kernel of that algorithm."""
    monkeypatch.setattr(
        "dydca.lower.packings.algorithm", lambda kernel: kernel if isinstance(kernel, str) else algorithm(kernel)
    )
    monkeypatch.setattr(
        "dydca.lower.select_kernels.algorithm", lambda kernel: kernel if isinstance(kernel, str) else algorithm(kernel)
    )


NEAR, FAR = 1 + LARGEST_LOSS * 0.9, 1 + LARGEST_LOSS * 1.1


@pytest.mark.parametrize(
    ("choices", "taken"),
    [
        ([choice(f4=100, f6=100 * NEAR), choice(f6=1000, f4=1000 * NEAR)], ["f6", "f6"]),
        ([choice(f4=1000, f6=1000 * NEAR), choice(f6=100, f4=100 * NEAR)], ["f4", "f4"]),
        ([choice(f4=100, f6=100 * FAR), choice(f6=1000, f4=1000 * FAR)], ["f4", "f6"]),
        ([choice(f4=100, f2=104, f6=200), choice(f6=100, f2=105, f4=200)], ["f2", "f2"]),
        ([choice(f4=100, f6=200), choice(f6=100, f4=200), choice(f2=100, f6=101)], ["f4", "f6", "f6"]),
        ([choice(direct=100), choice(f6=100, direct=300)], ["direct", "f6"]),
    ],
    ids=["largest patch", "smallest patch", "too far", "a third one", "two of three", "only some know it"],
)
def test_the_fewest_forms_that_no_patch_pays_too_much_for(choices: list[Choice], taken: list[str]) -> None:
    assert [str(each.ranking[0].kernel) for each in agreed(choices)] == taken
