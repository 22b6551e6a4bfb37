"""The plan: memory without overlap, each kernel and each weight once, nothing left to an unscheduled default."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import dydca
from dydca.lower.calls import Call, Calls, Value
from dydca.lower.kernels.layer import Layer
from dydca.lower.kernels.move import Move
from dydca.lower.kernels.nest import LegalizedNest
from dydca.lower.layout import PLAIN
from dydca.lower.legalize import MULTIPLIES
from dydca.lower.lower import lower
from dydca.lower.memory import place
from dydca.lower.plan import Plan, write_plan
from dydca.lower.targets import find_target
from dydca.models import DynamicWDSR
from dydca.passes import default_passes, run_passes


class Sine(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


def plan_of(model: nn.Module, patches: list[tuple[int, ...]]) -> Plan:
    outcome = run_passes(dydca.capture(model, patches), default_passes())
    routes = {f"p{number}": [variant] for number, variant in enumerate(outcome.variants)}
    return write_plan(lower(routes, find_target("host")), {})


def chain(sizes: list[int], reads: list[int]) -> Calls:
    """Calls that each write a new value and read an earlier one."""
    kernel = Move(Layer(PLAIN, (1, 1, 1, 1), PLAIN, (1, 1, 1, 1)), 4)
    values = [Value(f"v{number}", (size,)) for number, size in enumerate(sizes)]
    calls = [
        Call(kernel, [values[back % number]] if number else [], [value])
        for number, (value, back) in enumerate(zip(values, reads, strict=True))
    ]
    return Calls("chain", (), (), list(calls))


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 30)), min_size=1, max_size=30))
def test_values_alive_together_never_share_bytes(steps: list[tuple[int, int]]) -> None:
    calls = chain([size for size, _ in steps], [back for _, back in steps])
    arena = place(calls)
    alive: dict[Value, list[int]] = {}
    for number, call in enumerate(calls.calls):
        for value in (*call.reads, *call.writes):
            assert isinstance(value, Value)
            alive.setdefault(value, []).append(number)
    values = list(alive)
    for i, one in enumerate(values):
        assert arena.offsets[one] % 64 == 0
        assert arena.offsets[one] + one.bytes <= arena.bytes
        for other in values[:i]:
            together = min(alive[one]) <= max(alive[other]) and min(alive[other]) <= max(alive[one])
            apart = (
                arena.offsets[one] + one.bytes <= arena.offsets[other]
                or arena.offsets[other] + other.bytes <= arena.offsets[one]
            )
            assert apart or not together
    assert arena.lower_bound <= arena.bytes


def test_the_main_job_shares_kernels_and_weights_and_wastes_no_memory() -> None:
    plan = plan_of(DynamicWDSR(scale=2).eval(), [(1, 3, 108, 96), (1, 3, 54, 48)])
    assert not any(isinstance(kernel, LegalizedNest) for kernel in plan.kernels.values())
    assert len(plan.kernels) == len(set(plan.kernels.values()))
    for arena in plan.arenas.values():
        assert arena.bytes <= 1.05 * arena.lower_bound


def test_weights_shared_by_patches_are_stored_once() -> None:
    model = nn.Conv2d(16, 64, 3, padding=1)
    one = plan_of(model, [(1, 16, 24, 24)])
    three = plan_of(model, [(1, 16, 24, 24), (1, 16, 36, 48), (1, 16, 48, 48)])
    assert len(three.weights) == len(one.weights)


def test_the_plan_is_the_same_every_time() -> None:
    torch.manual_seed(3)
    convs = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 12, 3, padding=1)
    model = nn.Sequential(convs[0], nn.GELU(), convs[1], nn.PixelShuffle(2))
    first, second = (plan_of(model.eval(), [(1, 3, 10, 14)]) for _ in range(2))
    assert first.text == second.text
    assert first.weights == second.weights


@pytest.mark.parametrize("groups", [1, 16])
def test_no_product_is_left_to_the_unscheduled_default(groups: int) -> None:
    model = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=groups), Sine(), nn.Conv2d(16, 16, 1)).eval()
    plan = plan_of(model, [(1, 16, 9, 13)])
    nests = [kernel for kernel in plan.kernels.values() if isinstance(kernel, LegalizedNest)]
    assert nests, "the sine is legalised by TVM"
    for nest in nests:
        assert not any(re.search(rf"\b{name}\b", nest.text) for name in (*MULTIPLIES, "conv2d_nchw", "matmul"))


def test_arena_and_library_agree() -> None:
    model = nn.Conv2d(3, 16, 3, padding=1).eval()
    with dydca.compile(model, [(1, 3, 12, 12)], threads=1) as network:
        result = network(np.zeros((1, 3, 12, 12), np.float32))
        assert isinstance(result, np.ndarray)
        assert result.shape == (1, 16, 12, 12)
