"""Multiply-adds, parameters and activation memory, each counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dydca.analysis import analyze_patch
from dydca.analysis.cost import macs, memory, parameters
from dydca.capture import capture
from tests.analysis.agreement import Calls

SIZES = (2, 8, 10, 12)


def total(model: nn.Module) -> int:
    program = capture(model, [SIZES])
    facts = analyze_patch(program, program.routes[0], (SIZES,))
    return sum(int(macs(node, facts)) for node in program.routes[0].graph)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: nn.Conv2d(8, 6, 3, padding=1), 2 * 6 * 10 * 12 * 8 * 9),
        (lambda: nn.Conv2d(8, 8, 5, stride=2, groups=8), 2 * 8 * 3 * 4 * 25),
        (lambda: nn.ConvTranspose2d(8, 3, 9, 3, padding=4), 2 * 8 * 10 * 12 * 3 * 81),
        (lambda: nn.Linear(12, 7), 2 * 8 * 10 * 12 * 7),
        (lambda: Calls(lambda x: x @ x.mT), 2 * 8 * 10 * 10 * 12),
        (lambda: Calls(lambda x: torch.bmm(x[0], x[1].mT)), 8 * 10 * 10 * 12),
        (lambda: nn.ReLU(), 0),
    ],
    ids=["conv", "depthwise", "transposed", "linear", "matmul", "bmm", "none"],
)
def test_macs(make: Callable[[], nn.Module], count: int) -> None:
    assert total(make()) == count


def test_parameters_leave_out_statistics_and_count_shared_tensors_once() -> None:
    conv = nn.Conv2d(8, 8, 3, padding=1)
    model = nn.Sequential(conv, nn.BatchNorm2d(8), conv)
    program = capture(model, [SIZES])
    assert parameters(program.routes[0].graph) == 8 * 8 * 9 + 8 + 2 * 8


def peak(function: Callable[..., Any]) -> tuple[int, int, int]:
    program = capture(Calls(function), [SIZES])
    use = memory(program.routes[0].graph, analyze_patch(program, program.routes[0], (SIZES,)))
    unit = 4 * 2 * 8 * 10 * 12
    return use.peak // unit, use.bound // unit, use.total // unit


def chain(x: Tensor) -> Tensor:
    return x.exp().sin().cos()


def skip(x: Tensor) -> Tensor:
    return x.exp().sin().cos() + x


def views(x: Tensor) -> Tensor:
    return x.exp().permute(0, 2, 3, 1).unsqueeze(0)[..., :8].sin()


def split(x: Tensor) -> Tensor:
    a, b = x.exp().chunk(2, 1)
    return torch.cat([b.sin(), a], 1)


@pytest.mark.parametrize(
    ("function", "expected"),
    [(chain, (2, 2, 4)), (skip, (3, 3, 5)), (views, (2, 2, 3)), (split, (2, 2, 3))],
    ids=["chain", "skip", "views", "split"],
)
def test_memory(function: Callable[..., Any], expected: tuple[int, int, int]) -> None:
    assert peak(function) == expected
