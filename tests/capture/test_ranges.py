"""Ranges of sizes: every patch in a declared range takes a route that was found; the cover is proven, not sampled."""

from __future__ import annotations

from itertools import product

import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.export import Dim as TorchDim
from torch.utils._sympy.functions import FloorDiv, IntTrueDiv, Mod, ModularIndexing, PythonMod, TruncToInt

import dydca
from dydca import Dim
from dydca.analyze import parse_patch
from dydca.capture.cover import uncovered_patch
from dydca.inputs import Input, bind_sizes
from dydca.program import Guard, Program, Route
from dydca.shapes import AnyShape, Patch, PatchRange, parse_patches

H, W = (sympy.Symbol(name, integer=True, positive=True) for name in "HW")
PLANE = (Input("x", torch.float32, (H, W)),)


class Tiled(nn.Module):
    """Branches on a height, an area and a remainder."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] < 30:
            return x * 2
        if x.shape[2] * x.shape[3] < 900:
            return x - 1
        return torch.cat([x, x]) if x.shape[3] % 3 == 0 else x.flip(3)


def taking(program: Program, patch: Patch) -> list[Route]:
    sizes = program.sizes(patch)
    return [route for route in program.routes if any(all(g.holds(sizes) for g in region) for region in route.regions)]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_every_patch_of_a_range_takes_the_route_that_eager_takes(step: int) -> None:
    declared = (1, 3, Dim("h", 20, 44), Dim("w", 19, 26, multiple_of=step))
    program = dydca.capture(Tiled(), [declared])
    assert len(program.routes) == (3 if step == 3 else 4)
    assert program.patches == []
    for height, width in product(range(20, 45, 3), [w for w in range(19, 27) if w % step == 0]):
        x = torch.rand(1, 3, height, width)
        (route,) = taking(program, (tuple(x.shape),))
        assert torch.equal(route.graph.run(x)[0], Tiled()(x))


def test_patches_and_ranges_share_routes() -> None:
    program = dydca.capture(Tiled(), [(1, 3, 8, 9), (1, 3, Dim("h", 4, 29), 9)])
    (route,) = program.routes
    assert route.patches == [((1, 3, 8, 9),)]
    assert str(program.ranges[0]) == "1x3xh:4..29x9"
    assert ((1, 3, 29, 9),) in program.ranges[0]
    assert ((1, 3, 30, 9),) not in program.ranges[0]
    assert len(program.uncovered) == 1


def test_a_name_used_twice_is_one_size() -> None:
    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.shape[2] == x.shape[3] else x[:, :, :1]

    side = Dim("side", 4, 90)
    assert len(dydca.capture(Square(), [(1, 3, side, side)]).routes) == 1
    assert len(dydca.capture(Square(), [(1, 3, side, Dim("width", 4, 90))]).routes) == 2


def test_a_batch_of_one_is_exported_apart_and_is_the_same_route() -> None:
    program = dydca.capture(nn.Conv2d(3, 3, 3), [(Dim("n", 1, 8), 3, 5, 6)])
    (route,) = program.routes
    assert len(route.regions) == 2


def test_a_range_with_too_many_regions_is_refused_with_the_line() -> None:
    class Unrolled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(x.shape[2]):
                x = x + 1
            return x

    with pytest.raises(dydca.DydcaError, match="DYD105"):
        dydca.capture(Unrolled(), [(1, 3, Dim("h", 4, 90), 4)], max_routes=5)
    assert len(dydca.capture(Unrolled(), [(1, 3, Dim("h", 4, 8), 4)], max_routes=5).routes) == 5


def test_explain_takes_ranges_and_compile_refuses_them() -> None:
    declared = [(1, 3, Dim("h", 8, 90), 9)]
    assert "route1" in str(dydca.explain(Tiled(), declared))
    with pytest.raises(dydca.DydcaError, match="DYD107"):
        dydca.compile(Tiled(), declared)


@pytest.mark.parametrize(
    "arguments",
    [("h", 9, 8), ("h", 0, 8), ("h", 5, 7, 4), ("h", 1, 8, 0), ("2h", 1, 8), ("h", 1.5, 8)],
)
def test_ranges_that_are_none(arguments: tuple[str, int, int]) -> None:
    with pytest.raises(dydca.DydcaError, match="DYD106"):
        Dim(*arguments)


def test_ranges_in_patches() -> None:
    known = {"x": (1, 3, -1, -1)}
    even = Dim("h", 16, 256, multiple_of=2)
    declared = parse_patches([(8, 8), (even, 9), (TorchDim("w", min=2, max=9), 4), (even, 9)], known)
    assert declared.patches == (((1, 3, 8, 8),),)
    assert declared.ranges == (PatchRange(((1, 3, even, 9),)), PatchRange(((1, 3, Dim("w", 2, 9), 4),)))
    refused: list[AnyShape] = [(TorchDim("h"), 4), (2 * TorchDim("h", max=9), 4), (even, Dim("h", 1, 2))]
    for bad in refused:
        with pytest.raises(dydca.DydcaError, match="DYD106"):
            parse_patches([bad], known)
    with pytest.raises(dydca.DydcaError, match="DYD201"):
        parse_patches([(1, 3, 8, 8), (3, 8, 8)], {"x": ()})


def test_ranges_on_the_command_line() -> None:
    even = Dim("max_h", 16, 256, multiple_of=2)
    assert parse_patch("max_h:16..256:2 x w:1..9") == (even, Dim("w", 1, 9))
    assert parse_patch("a=1x3xmax_h:16..256:2X4,b=4x4") == {"a": (1, 3, even, 4), "b": (4, 4)}


CONDITIONS = [
    H < 7, H >= 12, W > H, H * W < 60, sympy.Eq(Mod(H, 3), 0), sympy.Eq(PythonMod(W, 4), 1), sympy.Ne(H, W),
    sympy.Eq(FloorDiv(W, 2) * 2, W), sympy.Max(H, W) > 9, sympy.Eq(ModularIndexing(H, 2, 3), 1),
    TruncToInt(IntTrueDiv(H, W)) > 1, sympy.And(H < 9, W < 9), sympy.Or(H < 4, W > 11),
]  # fmt: skip
LITERALS = st.sampled_from([*CONDITIONS, *map(sympy.Not, CONDITIONS)])


@settings(max_examples=60)
@given(
    regions=st.lists(st.lists(LITERALS, min_size=1, max_size=3), max_size=5),
    height=st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(1, 3)),
    points=st.sampled_from([4, 2**20]),
)
def test_the_cover_agrees_with_trying_every_patch(
    regions: list[list[sympy.Basic]], height: tuple[int, int, int], points: int
) -> None:
    low, more, step = height
    span = PatchRange(((Dim("h", low, low + more + step, multiple_of=step), Dim("w", 1, 14)),))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("dydca.capture.cover.POINTS", points)  # with 4, nearly everything is cut in halves
        found = uncovered_patch(span, PLANE, regions)

    def covered(patch: Patch) -> bool:
        sizes = bind_sizes(PLANE, patch)
        return any(all(Guard(condition).holds(sizes) for condition in region) for region in regions)

    patches = [((h, w),) for h, w in product(span.dims[0].sizes, span.dims[1].sizes)]
    assert (found is None) == all(map(covered, patches))
    assert found is None or (found in span and not covered(found))


def test_large_ranges_are_decided_and_too_large_ones_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    span = PatchRange(((Dim("h", 16, 8192), Dim("w", 16, 8192)),))
    assert uncovered_patch(span, PLANE, [[H * W < 2**31]]) is None
    assert uncovered_patch(span, PLANE, [[H < 70], [H >= 71]]) == ((70, 16),)
    huge = PatchRange(((Dim("h", 1, 2**20), Dim("w", 1, 2**20)),))
    monkeypatch.setattr("dydca.capture.cover.PARTS", 20)
    with pytest.raises(dydca.DydcaError, match="DYD108"):
        uncovered_patch(huge, PLANE, [[H < W], [H > W], [sympy.Eq(H, W)]])
