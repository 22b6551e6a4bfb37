"""Which patches a network accepts, against eager on every small size, and what is said of those it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import dydca
import dydca.models
from dydca.analysis.acceptance import acceptance, accepted_by, arrays
from dydca.analysis.nearest import broken, nearest_accepted
from dydca.analysis.notation import size_text
from dydca.capture import capture
from dydca.errors import CaptureError, ShapeError
from dydca.program import Program
from tests.analysis.agreement import Calls

Function = Callable[..., Any]


def windows(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, c, h // 4, 4, w).mean(3)


def routed(x: Tensor) -> Tensor:
    """Small patches must be even, large ones are padded by what must not be wider than they are."""
    if x.shape[2] < 10:
        return functional.pixel_unshuffle(x, 2)
    return functional.pad(x, (11, 11, 0, 0), mode="reflect")


def joined(x: Tensor) -> Tensor:
    """A U-Net whose halves meet again only if both sizes are divisible by 4."""
    y = functional.avg_pool2d(functional.avg_pool2d(x, 2), 2)
    return torch.cat([x, functional.interpolate(y, scale_factor=4)], 1)


NETWORKS: dict[str, tuple[Function, tuple[int, int], list[str]]] = {
    "even": (lambda x: functional.pixel_unshuffle(x, 2), (8, 6), ["H % 2 == 0", "W % 2 == 0"]),
    "valid": (lambda x: functional.conv2d(x, torch.ones(2, 3, 5, 3)), (8, 6), ["C == 3", "H >= 5", "W >= 3"]),
    "mirrored": (lambda x: functional.pad(x, (2, 2, 3, 3), mode="reflect"), (8, 6), ["W >= 3", "H >= 4"]),
    "square": (lambda x: x + x.transpose(2, 3), (8, 8), ["H == W"]),
    "windows": (windows, (8, 6), ["H % 4 == 0"]),
    "two needs": (
        lambda x: functional.pixel_unshuffle(functional.conv2d(x, torch.ones(2, 3, 3, 3)), 2),
        (8, 6),
        ["C == 3", "H >= 3", "W >= 3", "H % 2 == 0", "W % 2 == 0"],
    ),
    "one includes the other": (
        lambda x: functional.pixel_unshuffle(functional.pixel_unshuffle(x, 2), 2),
        (16, 8),
        ["H % 4 == 0", "W % 4 == 0"],
    ),
    "joined": (joined, (8, 12), ["H % 4 == 0", "W % 4 == 0"]),
    "anything": (torch.relu, (8, 6), []),
}


def runs(function: Function, *sizes: int) -> bool:
    try:
        function(torch.zeros(1, 3, *sizes))
    except (RuntimeError, ValueError):
        return False
    return True


def check_small_sizes(program: Program, function: Function) -> None:
    """Every size that lies in a region is accepted exactly if eager runs it."""
    routes = [acceptance(program, route) for route in program.routes]
    numbers = np.arange(2, 20)  # capture sets sizes of 1 apart
    batch, channels, height, width = program.inputs[0].dims
    sizes = {batch: np.array(1), channels: np.array(3), height: numbers[:, None], width: numbers}
    inside = np.broadcast_to(np.logical_or.reduce([each.takes(sizes) for each in routes]), (18, 18))
    accepted = np.broadcast_to(accepted_by(routes, sizes), (18, 18))
    for h, w in zip(*np.nonzero(inside), strict=True):
        assert accepted[h, w] == runs(function, int(numbers[h]), int(numbers[w])), (numbers[h], numbers[w])


@pytest.mark.parametrize("name", NETWORKS)
def test_what_operators_need(name: str) -> None:
    function, size, wanted = NETWORKS[name]
    program = capture(Calls(function), [(1, 3, *size)])
    (each,) = [acceptance(program, route) for route in program.routes]
    assert sorted(size_text(need.condition) for need in each.constraints) == sorted(wanted)
    assert all(need.line is not None for need in each.constraints)
    check_small_sizes(program, function)


def test_each_route_has_needs_of_its_own() -> None:
    program = capture(Calls(routed), [(1, 3, 8, 6), (1, 3, 16, 13)])
    each = {route.predicate: acceptance(program, route).constraints for route in program.routes}
    found = {predicate: [size_text(need.condition) for need in needs] for predicate, needs in each.items()}
    assert found == {"H < 10": ["H % 2 == 0", "W % 2 == 0"], "H >= 10": ["W >= 12"]}
    check_small_sizes(program, routed)
    assert nearest_accepted(program, ((1, 3, 9, 8),)) == (((1, 3, 8, 8),), ((1, 3, 8, 10),))
    assert nearest_accepted(program, ((1, 3, 16, 9),), 1) == (((1, 3, 16, 12),),)


@pytest.mark.parametrize(
    ("name", "size", "near"),
    [
        ("even", (7, 8), ["8x8", "6x8"]),
        ("even", (7, 6), ["8x6", "6x6"]),
        ("two needs", (7, 3), ["8x6", "6x6"]),
        ("square", (7, 9), ["9x9", "8x8"]),
        ("one includes the other", (30, 33), ["32x32", "28x32"]),
    ],
)
def test_the_nearest_that_is_accepted(name: str, size: tuple[int, int], near: list[str]) -> None:
    function, declared, _ = NETWORKS[name]
    program = capture(Calls(function), [(1, 3, *declared)])
    patch = ((1, 3, *size),)
    found = nearest_accepted(program, patch)
    assert ["x".join(map(str, shapes[0][2:])) for shapes in found] == near
    assert broken(program, patch) is not None
    assert all(runs(function, *shapes[0][2:]) for shapes in found)


def test_a_patch_that_is_accepted_is_its_own_nearest() -> None:
    program = capture(Calls(windows), [(1, 3, 8, 6)])
    assert nearest_accepted(program, ((1, 3, 8, 6),)) == (((1, 3, 8, 6),),)
    assert broken(program, ((1, 3, 8, 6),)) is None


@pytest.mark.parametrize("declared", [[(1, 3, 7, 8)], [(1, 3, 8, 8), (1, 3, 7, 8)]], ids=["alone", "beside a good one"])
def test_a_bad_declared_patch_is_refused_at_compile_time(declared: list[tuple[int, ...]]) -> None:
    with pytest.raises(ShapeError) as caught:
        dydca.compile(Calls(NETWORKS["even"][0]), declared)
    assert caught.value.code == "DYD204"
    text = str(caught.value)
    assert "pixel_unshuffle (agreement.py:" in text
    assert "got  7x8" in text
    assert "want H % 2 == 0" in text
    assert "8x8" in text


def test_a_range_with_bad_sizes_is_refused_and_the_good_part_is_not() -> None:
    network = Calls(NETWORKS["windows"][0])
    with pytest.raises(ShapeError) as caught:
        dydca.explain(network, [(1, 3, dydca.Dim("h", 8, 20, multiple_of=2), 6)])
    assert caught.value.code == "DYD204"
    assert "want H % 4 == 0" in str(caught.value)
    assert dydca.explain(network, [(1, 3, dydca.Dim("h", 8, 20, multiple_of=4), 6)]).routes


def test_another_failure_stays_what_it_is() -> None:
    def broken_line(x: Tensor) -> Tensor:
        raise ValueError("not today") if x.shape[2] < 100 else RuntimeError("nor then")

    with pytest.raises(CaptureError, match="not today"):
        capture(Calls(broken_line), [(1, 3, 8, 8)])


def test_floor_divisions_that_differ_are_decided_for_each_patch() -> None:
    """``2*(h//8) == h//4``, which no symbolic engine proves."""

    def halves(x: Tensor) -> Tensor:
        y = functional.avg_pool2d(x, (4, 1))
        z = functional.avg_pool2d(x, (8, 1))
        return y + torch.repeat_interleave(z, 2, 2)

    sizes = [(1, 3, 16, 8), (1, 3, 19, 8), (1, 3, 25, 8), (1, 3, 32, 9)]
    program = capture(Calls(halves), sizes)
    assert {patch for _, patch in program.patches} == {(size,) for size in sizes}
    check_small_sizes(program, halves)
    with pytest.raises(ShapeError, match="DYD204"):
        capture(Calls(halves), [*sizes, (1, 3, 20, 8)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least", "wanted"),
    [
        ("rt4ksr", 4, {"C == 3", "H % 2 == 0", "W % 2 == 0"}),  # eager refuses less than 4 in what is never used
        ("window_sr", 2, {"C == 3", "H >= 5", "W >= 5"}),
    ],
)
def test_constraints_of_the_zoo(name: str, least: int, wanted: set[str]) -> None:
    """By hand: what the sheet says of RT4KSR and of windows."""
    entry = next(entry for entry in dydca.models.every() if entry.facts.name == name)
    program = capture(entry.build(), [entry.facts.shapes(40, 48)])
    each = acceptance(program, program.routes[0])
    assert {size_text(need.condition) for need in each.telling} == wanted
    numbers = np.arange(least, 64)
    accepted = each.meets(arrays(program.sizes(((1, 3, 40, 48),))) | {program.inputs[0].dims[2]: numbers})
    assert [bool(entry.facts.accepts(int(size), 48)) for size in numbers] == np.broadcast_to(
        accepted, len(numbers)
    ).tolist()
