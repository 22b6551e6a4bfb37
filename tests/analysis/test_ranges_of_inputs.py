"""What callers promise of the values of inputs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dydca
from dydca.analysis import analyze_patch
from dydca.capture import capture
from dydca.errors import ShapeError

PATCH = (1, 3, 8, 8)


class Pair(nn.Module):
    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        return x + state


def test_a_promise_holds_for_every_input_or_for_those_it_names() -> None:
    program = capture(Pair(), [{"x": PATCH, "state": PATCH}])
    program.promise((0, 1))
    (route,) = program.routes
    assert str(analyze_patch(program, route, route.patches[0])[route.graph.outputs[0]].bounds) == "[0, 2]"
    program.promise({"state": (-math.inf, 0)})
    assert str(analyze_patch(program, route, route.patches[0])[route.graph.outputs[0]].bounds) == "[-inf, 1]"


@pytest.mark.parametrize("declared", [(1, 0), (0,), "range", (0, math.nan), {"y": (0, 1)}, (math.inf, math.inf), 5])
def test_what_is_no_range_is_refused(declared: Any) -> None:
    program = capture(nn.ReLU(), [PATCH])
    with pytest.raises(ShapeError, match="DYD203"):
        program.promise(declared)


@pytest.mark.parametrize("ends", [(0.0, 255.0), (-math.inf, 0.0), (0.25, math.inf), (2.0, 2.0)])
def test_examples_keep_the_promise(ends: tuple[float, float]) -> None:
    program = capture(nn.ReLU(), [PATCH])
    program.promise(ends)
    drawn = program.inputs[0].example(PATCH, torch.Generator().manual_seed(0))
    assert drawn.shape == PATCH
    assert float(drawn.min()) >= ends[0]
    assert float(drawn.max()) <= ends[1]


def test_compile_and_explain_take_it() -> None:
    analysis = dydca.explain(nn.ReLU(), [PATCH], input_range=(0, 1))
    assert len(analysis.routes) == 1
    with dydca.compile(nn.Conv2d(3, 3, 3), [PATCH], input_range={"input": (100, 101)}) as net:
        result = net(torch.full(PATCH, 100.5))
        assert isinstance(result, Tensor)
        assert result.shape == (1, 3, 6, 6)
    with pytest.raises(ShapeError, match="DYD203"):
        dydca.compile(nn.ReLU(), [PATCH], input_range=(2, 1))
