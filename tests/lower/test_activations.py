"""Activations against float64 all over float32, in vectors of every width a target has, and the steps that use them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dydca.lower.kernels import activations
from dydca.lower.kernels.epilogue import Step
from dydca.lower.kernels.layer import Layer
from dydca.lower.kernels.move import Move
from dydca.lower.layout import PLAIN
from tests.lower.native_kernel import Array, compile_kernels

LANES = (16, 8, 4)
LENGTH = 1 << 16
STRIDE = 9973
"""Every so many bit patterns are tried, which is about 860 in each power of two, and those around zero and infinity."""


class Bound(NamedTuple):
    """What an activation is held to.

    Attributes:
        step: What runs.
        exact: The same in float64.
        ulps: Largest error where the exact result is a normal number and the argument is at least `above`.
        share: Largest error anywhere, as a part of the argument's magnitude, or of 1 if that is less.
        above: See `ulps`.
    """

    step: Step
    exact: Callable[[Tensor], Tensor]
    ulps: float
    share: float = 2e-7
    above: float = -np.inf


def _gelu_tanh(x: Tensor) -> Tensor:
    """PyTorch's own sum cancels even in float64."""
    return x * torch.sigmoid(2 * (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))


BOUNDS = {
    "exp": Bound(Step("exp"), torch.exp, 1.1, np.inf),
    "erf": Bound(Step("erf"), torch.erf, 6, 4e-7),
    "tanh": Bound(Step("tanh"), torch.tanh, 3),
    "sigmoid": Bound(Step("sigmoid"), torch.sigmoid, 3, above=-87),
    "silu": Bound(Step("silu"), F.silu, 3, above=-87),
    "mish": Bound(Step("mish"), F.mish, 4, above=-86),
    "gelu": Bound(Step("gelu"), F.gelu, 3, 2.2e-7, above=-0.5),
    "gelu_tanh": Bound(Step("gelu_tanh"), _gelu_tanh, 6, above=-2),
    "softplus": Bound(Step("softplus", (1.0, 20.0)), F.softplus, 3, above=-87),
    "softplus of 2.5": Bound(Step("softplus", (2.5, 3.0)), lambda x: F.softplus(x, 2.5, 3.0), 90, above=-34),
    "elu": Bound(Step("elu", (1.3, 1.0, 1.0)), lambda x: F.elu(x, 1.3), 3, 3e-7),
    "selu": Bound(Step("elu", (1.6732632423543772, 1.0507009873554805, 1.0)), F.selu, 3, 4e-7),
    "celu": Bound(Step("elu", (0.7, 1.0, 1 / 0.7)), lambda x: F.celu(x, 0.7), 3),
    "hardsigmoid": Bound(Step("hardsigmoid"), F.hardsigmoid, 2, above=-2.9),
    "hardswish": Bound(Step("hardswish"), F.hardswish, 3, above=-2.9),
    "absolute": Bound(Step("absolute"), torch.abs, 0),
    "square_root": Bound(Step("square_root"), torch.sqrt, 0.5, np.inf),
}


def samples() -> Array:
    bits = np.arange(0, 1 << 32, STRIDE, dtype=np.uint64).astype(np.uint32)
    special = [0, 1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000]
    every = np.concatenate([bits, np.array([b ^ sign for b in special for sign in (0, 1 << 31)], np.uint32)])
    return np.concatenate([every, np.zeros(-len(every) % LENGTH, np.uint32)]).view(np.float32)


@pytest.fixture(scope="module")
def computed() -> tuple[Array, dict[tuple[str, int], Array]]:
    """The arguments, and what each activation makes of them with vectors of each width."""
    x = samples()
    cases = [(name, lanes) for name in BOUNDS for lanes in LANES]
    row = PLAIN, (1, 1, 1, LENGTH)
    kernels = [Move(Layer(*row, *row, steps=(BOUNDS[name].step,)), lanes) for name, lanes in cases]
    results = {}
    for case, function in zip(cases, compile_kernels(kernels), strict=True):
        results[case] = y = np.empty_like(x)
        for start in range(0, len(x), LENGTH):
            parts = (ctypes.c_void_p(array[start:].ctypes.data) for array in (x, y))
            function(*parts, 0, 1)
    return x, results


@pytest.mark.parametrize("name", BOUNDS)
def test_error_is_as_stated(name: str, computed: tuple[Array, dict[tuple[str, int], Array]]) -> None:
    x, results = computed
    bound, got = BOUNDS[name], results[name, LANES[0]]
    with np.errstate(all="ignore"):
        want = bound.exact(torch.from_numpy(x.astype(np.float64))).numpy()
        rounded = want.astype(np.float32)
        error = np.abs(got.astype(np.float64) - want)
        ulps = error / np.spacing(np.abs(rounded))
        share = error / np.maximum(np.abs(x.astype(np.float64)), 1)
    finite = np.isfinite(rounded) & np.isfinite(x)
    normal = finite & (np.abs(rounded) >= np.finfo(np.float32).tiny) & (x >= bound.above)
    assert ulps[normal].max() <= bound.ulps
    assert share[finite].max() <= bound.share


@pytest.mark.parametrize("name", BOUNDS)
def test_nan_infinities_and_every_width(name: str, computed: tuple[Array, dict[tuple[str, int], Array]]) -> None:
    x, results = computed
    got = results[name, LANES[0]]
    for lanes in LANES[1:]:
        assert np.array_equal(results[name, lanes], got, equal_nan=True)
    assert np.isnan(got[np.isnan(x)]).all()
    limit = BOUNDS[name].exact(torch.tensor([np.inf], dtype=torch.float64)).item()
    assert (got[x == np.inf] == limit).all()


def test_all_activations_are_held_to_a_bound() -> None:
    assert {function.__name__ for function in activations.ALL} == {bound.step.op for bound in BOUNDS.values()}
