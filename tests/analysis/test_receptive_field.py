"""What outputs see: against gradients of every network of the zoo, and worked examples."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

import dydca.models
from dydca.analysis import Facts
from dydca.analysis.boxes import only, run, whole
from dydca.analysis.demand import dead, demanded
from dydca.analysis.receptive_field import ReceptiveField, receptive_field
from dydca.models.registry import Entry
from dydca.program import Graph, op_name
from tests.analysis.tracing import exported, facts_of, traced

Function = Callable[..., Any]


def seen_by(function: Function, inputs: list[Tensor], output: int, axis: int, place: int) -> list[set[int]]:
    """The rows or columns of each input whose change moves one row or column of an output, by its gradient."""
    given = [x.clone().double().requires_grad_() for x in inputs]
    results = function(*(x.clone() for x in given))  # some write into their input
    result = results[output] if isinstance(results, tuple) else results
    line = result.select(axis, place)
    grads = torch.autograd.grad((line * torch.rand_like(line)).sum(), given, allow_unused=True)
    sums = [None if grad is None else grad.transpose(axis, 0).flatten(1).abs().sum(1) for grad in grads]
    return [set() if each is None else set(torch.nonzero(each).flatten().tolist()) for each in sums]


def predicted(graph: Graph, facts: Facts, node: fx.Node, output: int, axis: int, place: int) -> tuple[int, int] | None:
    """The first and the last row or column that the sweep says is read, inside the picture."""
    wanted = graph.outputs[output]
    box = list(whole(facts[wanted].shape))
    box[axis] = only(facts[wanted].shape[axis], place)
    read = demanded(graph, facts, {wanted: tuple(box)}).box(node)
    if read is None:
        return None
    joint = run(read[axis])
    return int(joint.low), int(joint.high)


def compare(
    function: Function, graph: Graph, inputs: list[Tensor], *, exact: bool = True
) -> tuple[ReceptiveField, ...]:
    """Every row near both ends and in the middle sees what is predicted and, where exact, the first and last of it."""
    facts = facts_of(graph, *inputs)
    fields = receptive_field(graph, facts)
    if isinstance(function, nn.Module):
        function = copy.deepcopy(function).double()
    for output, node in enumerate(graph.outputs):
        for axis in (-2, -1):
            size = facts.shape(node)[axis]
            for place in sorted({0, 1, 2, size // 2, size // 2 + 1, size // 2 + 2, size // 2 + 3, size - 2, size - 1}):
                seen = seen_by(function, inputs, output, axis, min(max(place, 0), size - 1))
                for given, rows in zip(graph.inputs, seen, strict=True):
                    box = predicted(graph, facts, given, output, axis, min(max(place, 0), size - 1))
                    assert not rows or (box is not None and box[0] <= min(rows) and max(rows) <= box[1])
                    if exact and box is not None:
                        assert rows
                        assert (min(rows), max(rows)) == box
                    _window_agrees(fields, node, given, axis, place, box, facts)
    return fields


def _window_agrees(
    fields: tuple[ReceptiveField, ...],
    output: fx.Node,
    given: fx.Node,
    axis: int,
    place: int,
    box: tuple[int, int] | None,
    facts: Facts,
) -> None:
    """The table that holds for all sizes, cut to this picture, says the same."""
    for field in fields:
        if (field.output, field.input) == (output, given) and box is not None:
            sight = field.rows if axis == -2 else field.columns
            if sight.unbounded is None:
                low, high = sight.window(place)
                last = facts.shape(given)[axis] - 1
                assert (max(low, 0), min(high, last)) == box


def one_of_each_kind() -> list[Any]:
    """The zoo without networks that differ in numbers alone, that ask for values, or that autograd cannot follow."""
    kinds = {re.sub(r"\d+", "", entry.facts.name): entry for entry in reversed(dydca.models.every())}
    asking = ("class_routed", "class_routed_square", "early_exit", "width_switching")
    overwriting = ("block_fasternet_slicing",)
    return [pytest.param(entry, id=name) for name, entry in sorted(kinds.items()) if name not in asking + overwriting]


@pytest.mark.parametrize("entry", one_of_each_kind())
def test_networks_of_the_zoo_see_what_is_predicted(entry: Entry) -> None:
    torch.manual_seed(1)
    model = entry.build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.uniform_(-0.5, 0.5)  # gains that start at zero would hide whole branches
    inputs = [torch.rand(shape) for shape in entry.facts.shapes(24, 20).values()]
    fields = compare(model, exported(model, *inputs), inputs, exact=False)
    assert {field.input.name for field in fields} <= {name for name, _ in entry.facts.inputs}
    for field in fields:
        assert field.rows.unbounded or field.output.name not in entry.facts.outputs or field.rows.scale > 0


# scale, step, halo before and after, table; None: unbounded, and by which operator
Expected = tuple[str, int, int | None, int | None, list[tuple[int, int]]]
SIGHTS: dict[str, tuple[Function, Expected]] = {
    "conv": (nn.Conv2d(3, 3, 3, padding=1), ("1", 1, 1, 1, [(-1, 1)])),
    "valid conv": (nn.Conv2d(3, 3, 3), ("1", 1, 0, 2, [(0, 2)])),
    "dilated": (nn.Conv2d(3, 3, 3, padding=2, dilation=2), ("1", 1, 2, 2, [(-2, 2)])),
    "stride": (nn.Conv2d(3, 3, 3, 2, 1), ("1/2", 2, 1, 0, [(-1, 1)])),
    "down and up": (
        nn.Sequential(nn.Conv2d(3, 4, 2, 2), nn.Conv2d(4, 12, 3, padding=1), nn.PixelShuffle(2)),
        ("1", 2, 2, 2, [(-2, 3), (-2, 3)]),
    ),
    "hidden rhythm": (
        lambda x: (
            functional.avg_pool2d(x, 9, 1, 4) + functional.interpolate(functional.avg_pool2d(x, 2), scale_factor=2)
        ),
        ("1", 2, 4, 4, [(-4, 4), (-3, 5)]),
    ),
    "shuffle": (lambda x: functional.pixel_shuffle(x.repeat(1, 4, 1, 1), 2), ("2", 1, 0, 0, [(0, 0), (0, 0)])),
    "unshuffle": (lambda x: functional.pixel_unshuffle(x, 2), ("1/2", 2, 0, 0, [(0, 1)])),
    "one of the unshuffled": (lambda x: functional.pixel_unshuffle(x, 2)[:, 3:4], ("1/2", 2, 0, 0, [(1, 1)])),
    "transposed": (nn.ConvTranspose2d(3, 3, 4, 2, 1), ("2", 1, 1, 1, [(-1, 0), (0, 1)])),
    "max pool": (lambda x: functional.max_pool2d(x, 3, 2, 1), ("1/2", 2, 1, 0, [(-1, 1)])),
    "nearest": (lambda x: functional.interpolate(x, scale_factor=3), ("3", 1, 0, 0, [(0, 0)] * 3)),
    "bilinear": (
        lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"),
        ("2", 1, 1, 1, [(-1, 0), (0, 1)]),
    ),
    "bicubic": (
        lambda x: functional.interpolate(x, scale_factor=2, mode="bicubic"),
        ("2", 1, 2, 2, [(-2, 1), (-1, 2)]),
    ),
    "shrunk": (
        lambda x: functional.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True),
        ("1/2", 2, 1, 1, [(-1, 2)]),
    ),
    "crop": (lambda x: x[:, :, 2:-2, 1:], ("1", 1, 0, 2, [(2, 2)])),
    "even rows": (lambda x: x[:, :, ::2], ("1/2", 2, 0, 0, [(0, 0)])),
    "reflect": (
        lambda x: functional.avg_pool2d(functional.pad(x, (2, 2, 2, 2), mode="reflect"), 5, 1),
        ("1", 1, 2, 2, [(-2, 2)]),
    ),
    "channel attention": (lambda x: x * x.softmax(1).amax(1, keepdim=True), ("1", 1, 0, 0, [(0, 0)])),
    "windows": (
        lambda x: (
            x.view(1, 3, x.shape[2] // 4, 4, x.shape[3]).softmax(3).view(x.shape)
            + x.unflatten(2, (-1, 4)).flatten(2, 3)
        ),
        ("1", 4, 0, 0, [(0, 3)] * 4),
    ),
    "flat": (
        lambda x: functional.layer_norm(x.flatten(2).transpose(1, 2), (3,)).transpose(1, 2).view(x.shape),
        ("1", 1, 0, 0, [(0, 0)]),
    ),
    "zeros of its size": (lambda x: x + torch.zeros(x.shape), ("1", 1, 0, 0, [(0, 0)])),
    "pooled": (lambda x: x * x.mean((2, 3), keepdim=True), ("mean", 1, None, None, [])),
    "rolled": (lambda x: torch.roll(x, 1, 2), ("roll", 1, None, None, [])),
    "first row": (lambda x: x + x[:, :, :1], ("x", 1, None, None, [])),
    "coordinates": (lambda x: x * torch.linspace(0, 1, x.shape[2]).view(-1, 1), ("linspace", 1, None, None, [])),
    "upside down": (lambda x: x.flip(2), ("flip", 1, None, None, [])),
    "unknown operator": (lambda x: torch.renorm(x, 2.0, 1, 1.0), ("renorm", 1, None, None, [])),
}


@pytest.mark.parametrize("name", SIGHTS)
def test_rows_see(name: str) -> None:
    function, (scale, step, before, after, table) = SIGHTS[name]
    torch.manual_seed(0)
    x = torch.rand(1, 3, 24, 20)
    with torch.no_grad():
        graph = traced(function, x)
    graph.inputs[0].name = "x"
    exact = before is not None and name != "dilated"  # at the border the first tap inside is not the first pixel
    (field,) = compare(function, graph, [x], exact=exact)
    rows = field.rows
    if rows.unbounded is not None:
        assert op_name(rows.unbounded) == scale or rows.unbounded.name == scale
    else:
        assert str(rows.scale) == scale
    assert (rows.step, rows.before, rows.after, list(rows.table)) == (step, before, after, table)


def test_rows_and_columns_of_several_inputs_and_outputs() -> None:
    def both(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return functional.avg_pool2d(x, (3, 1), 1, (1, 0)) + y, functional.interpolate(y, scale_factor=(1, 2))

    inputs = [torch.rand(1, 3, 12, 16), torch.rand(1, 3, 12, 16)]
    graph = traced(both, *inputs)
    fields = compare(both, graph, inputs)
    found = [
        (graph.outputs.index(field.output), graph.inputs.index(field.input), field.rows.table, field.columns.table)
        for field in fields
    ]
    assert found == [
        (0, 0, ((-1, 1),), ((0, 0),)),
        (0, 1, ((0, 0),), ((0, 0),)),
        (1, 1, ((0, 0),), ((0, 0), (0, 0))),
    ]


def test_windows_of_many_pixels() -> None:
    x = torch.rand(1, 3, 24, 20)
    net = nn.Sequential(nn.Conv2d(3, 4, 2, 2), nn.Conv2d(4, 48, 3, padding=1), nn.PixelShuffle(4))
    with torch.no_grad():
        (field,) = receptive_field(graph := traced(net, x), facts_of(graph, x))
    for first in range(9):
        for last in range(first, 30):
            ends = [field.rows.window(place) for place in range(first, last + 1)]
            assert field.rows.window(first, last) == (min(low for low, _ in ends), max(high for _, high in ends))


def test_a_tile_with_its_halo_computes_what_the_whole_picture_does() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(4, 12, 5, padding=2),
        nn.PixelShuffle(2),
        nn.Conv2d(3, 12, 3, padding=1),
        nn.PixelShuffle(2),
    )
    net = net.double().requires_grad_(False)
    x = torch.rand(1, 3, 48, 20, dtype=torch.float64)
    (field,) = receptive_field(graph := traced(net, x), facts_of(graph, x))
    rows, whole_picture = field.rows, net(x)
    assert rows.before is not None
    assert rows.after is not None
    assert rows.step == 2
    tile = 8
    for begin in range(0, 48, tile):
        low = max(0, begin - -(-rows.before // rows.step) * rows.step)
        high = min(48, begin + tile + -(-rows.after // rows.step) * rows.step)
        part = net(x[:, :, low:high])[:, :, (begin - low) * 2 :][:, :, : tile * 2]
        torch.testing.assert_close(part, whole_picture[:, :, begin * 2 : begin * 2 + tile * 2], rtol=1e-12, atol=0)


def test_what_is_read_and_what_is_dead() -> None:
    weight, x = torch.rand(8, 4, 3, 3), torch.rand(1, 4, 10, 10)

    def parts(x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = functional.conv2d(x, weight, padding=1).chunk(2, 1)
        return a[:, 1:3] * torch.ones_like(b[:, :2]) + torch.cat([x[:, :1], x[:, :1] * 2], 1), b.sigmoid().sum(1)

    graph = traced(parts, x)
    graph.fx.output_node().args = (graph.outputs[:1],)  # the second branch is computed, and never used
    facts = facts_of(graph, x)
    demand = demanded(graph, facts)
    (conv,) = (node for node in graph if op_name(node) == "conv2d")
    assert [(run(extent).low, run(extent).high) for extent in demand.box(conv) or ()] == [
        (0, 0),
        (1, 2),
        (0, 9),
        (0, 9),
    ]
    (kernel,) = (node for node in graph if node.op == "get_attr")
    outputs = run((demand.box(kernel) or ())[0])
    assert (outputs.low, outputs.high) == (1, 2)
    assert {op_name(node) for node in dead(graph, facts)} == {"getitem", "slice", "sigmoid", "sum"}
