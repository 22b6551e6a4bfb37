"""Views, slices, joins, products and normalisations against eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import strategies as st

from tests.analysis.differential import Call, Operand, agrees, call, tensors

aten = torch.ops.aten
Draw = Callable[[Any], Any]
axis = st.integers(-4, 3)
bound = st.one_of(st.none(), st.integers(-8, 8), st.just(2**63 - 1))
positive = st.integers(1, 4)


def view(draw: Draw) -> Call:
    x = draw(tensors(1, 4))
    sizes = draw(
        st.sampled_from(
            [[-1], list(x.shape), list(x.shape[::-1]), [x.shape[0], -1], [-1, 2], [2, 3], [-1, x.shape[-1]]]
        )
    )
    return call(aten.view.default, x, sizes)


def flatten(draw: Draw) -> Call:
    return call(aten.flatten.using_ints, draw(tensors(0, 4)), draw(axis), draw(axis))


def unflatten(draw: Draw) -> Call:
    return call(
        aten.unflatten.int,
        draw(tensors(1, 3)),
        draw(st.integers(-3, 2)),
        draw(st.sampled_from([[-1, 2], [2, 2], [1, -1]])),
    )


def permute(draw: Draw) -> Call:
    x = draw(tensors(1, 4))
    return call(aten.permute.default, x, draw(st.permutations(range(len(x.shape)))))


def squeeze(draw: Draw) -> Call:
    return call(aten.squeeze.dim, Operand(draw(tensors(1, 4, most=3)).shape), draw(axis))


def slice_(draw: Draw) -> Call:
    return call(aten.slice.Tensor, draw(tensors(1, 4)), draw(axis), draw(bound), draw(bound), draw(positive))


def slice_scatter(draw: Draw) -> Call:
    x = draw(tensors(2, most=5))
    source = Operand((x.shape[0], draw(positive)))
    return call(aten.slice_scatter.default, x, source, 1, draw(bound), draw(bound), draw(positive))


def select_scatter(draw: Draw) -> Call:
    x = draw(tensors(2))
    return call(
        aten.select_scatter.default, x, Operand((draw(st.sampled_from(x.shape)),)), draw(st.integers(0, 1)), draw(axis)
    )


def index(draw: Draw) -> Call:
    x = draw(tensors(1, 5, most=4))
    chosen = draw(st.sampled_from([{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {1, 3}, {1, 2, 4}]))
    shapes = st.sampled_from([(3,), (1,), (2, 3), ()])
    return call(
        aten.index.Tensor, x, [indices(draw(shapes)) if place in chosen else None for place in range(max(chosen) + 1)]
    )


def indices(shape: tuple[int, ...]) -> Operand:
    return Operand(shape, torch.int64, 1)


def index_select(draw: Draw) -> Call:
    return call(aten.index_select.default, draw(tensors(1, 3)), draw(axis), Operand((draw(positive),), torch.int64, 1))


def gather(draw: Draw) -> Call:
    x = draw(tensors(1, 3))
    shape = tuple(max(size + draw(st.sampled_from([0, 0, 0, -1, 1])), 1) for size in x.shape)
    return call(aten.gather.default, x, draw(st.integers(-3, 2)), Operand(shape, torch.int64, 1))


def parts(draw: Draw) -> list[Operand]:
    x = draw(tensors(0, 3))
    changed = [list(x.shape) for _ in range(3)]
    for shape in changed:
        if shape and draw(st.booleans()):
            shape[draw(st.integers(0, len(shape) - 1))] = draw(positive)
    if not draw(st.integers(0, 3)):
        changed[draw(st.integers(0, 2))] = [0]  # PyTorch skips an empty tensor of rank 1, whatever the others are
    return [
        Operand(tuple(shape), draw(st.sampled_from([torch.float32, torch.int64, torch.float16]))) for shape in changed
    ]


def cat(draw: Draw) -> Call:
    return call(aten.cat.default, parts(draw), draw(axis))


def stack(draw: Draw) -> Call:
    return call(aten.stack.default, parts(draw), draw(axis))


def split_sizes(draw: Draw) -> Call:
    x = draw(tensors(2))
    return call(aten.split_with_sizes.default, x, [draw(positive), draw(positive)], draw(st.integers(-2, 1)))


def whole_parts(op: Any) -> Callable[[Draw], Call]:
    """How many parts there are is read off the graph for symbols, so here every size stays a number."""
    return lambda draw: call(op, draw(tensors(1, 3)), draw(positive), draw(st.integers(-3, 2)))


def expand(draw: Draw) -> Call:
    x = draw(tensors(0, 3, most=3))
    sizes = [draw(st.sampled_from([size, size, -1, 3])) for size in x.shape]
    return call(aten.expand.default, x, draw(st.sampled_from([[], [2], [2, 2]])) + sizes)


def repeat(op: Any) -> Callable[[Draw], Call]:
    return lambda draw: call(op, draw(tensors(0, 3)), [draw(positive) for _ in range(draw(st.integers(0, 4)))])


def with_axis(op: Any, *settings: Any, low: int = 1) -> Callable[[Draw], Call]:
    return lambda draw: call(op, draw(tensors(low, 4)), draw(axis), *settings)


def two_axes(op: Any, *before: Any) -> Callable[[Draw], Call]:
    return lambda draw: call(op, draw(tensors(2, 4)), *before, draw(axis), draw(axis))


def matmul(draw: Draw) -> Call:
    a, b = draw(tensors(1, 4, most=3)), draw(tensors(1, 4, most=3))
    return call(aten.matmul.default, a, b)


def linear(draw: Draw) -> Call:
    x = draw(tensors(1, 4, most=4))
    weight = Operand((draw(positive), draw(st.sampled_from([x.shape[-1], x.shape[-1], 3]))))
    return call(aten.linear.default, x, weight, draw(st.sampled_from([None, Operand(weight.shape[:1])])))


def fixed(op: Any, rank: int) -> Callable[[Draw], Call]:
    return lambda draw: call(op, *(draw(tensors(rank, most=2)) for _ in range(2)))


def addmm(draw: Draw) -> Call:
    a, b = draw(tensors(2, most=2)), draw(tensors(2, most=2))
    return call(aten.addmm.default, draw(tensors(0, 2, most=2)), a, b)


def layer_norm(draw: Draw) -> Call:
    x = draw(tensors(1, 4))
    tail = x.shape[-draw(st.integers(1, len(x.shape))) :]
    tail = draw(st.sampled_from([tail, tail, (2,)]))
    return call(aten.layer_norm.default, x, list(tail), Operand(tail), Operand(tail))


def group_norm(draw: Draw) -> Call:
    x = draw(tensors(3, 4, least=2))
    return call(aten.group_norm.default, x, draw(positive), Operand(x.shape[1:2]), None)


def batch_norm(draw: Draw) -> Call:
    x = draw(tensors(2, 4))
    channels = Operand((draw(st.sampled_from([x.shape[1], x.shape[1], 2])),))
    return call(aten.batch_norm.default, x, channels, channels, channels, channels, False, 0.1, 1e-5, False)


def created(op: Any, *args: Any, **kwargs: Any) -> Callable[[Draw], Call]:
    return lambda draw: call(op, *args, **kwargs) if draw(st.booleans()) else call(op, *args)


def arange(draw: Draw) -> Call:
    number = st.sampled_from([-3, 0, 1, 2, 7, 2.5, 10])
    return call(aten.arange.start_step, draw(number), draw(number), draw(st.sampled_from([1, 2, -1, 0.5])))


STRATEGIES: dict[str, Callable[[Draw], Call]] = {
    "view": view,
    "flatten": flatten,
    "unflatten": unflatten,
    "permute": permute,
    "transpose": two_axes(aten.transpose.int),
    "diagonal": two_axes(aten.diagonal.default, 1),
    "unsqueeze": with_axis(aten.unsqueeze.default, low=0),
    "flip": lambda draw: call(aten.flip.default, draw(tensors(1, 3)), [draw(axis)]),
    "roll": lambda draw: call(aten.roll.default, draw(tensors(1, 3)), [2], [draw(axis)]),
    "rot90": lambda draw: call(aten.rot90.default, draw(tensors(2, 3)), draw(positive), [0, 1]),
    "slice": slice_,
    "slice_scatter": slice_scatter,
    "select": two_axes(aten.select.int),
    "select_scatter": select_scatter,
    "index": index,
    "index_select": index_select,
    "gather": gather,
    "embedding": lambda draw: call(
        aten.embedding.default, draw(tensors(2)), Operand(draw(tensors(0, 2)).shape, torch.int64, 1)
    ),
    "cat": cat,
    "stack": stack,
    "split_with_sizes": split_sizes,
    "glu": with_axis(aten.glu.default),
    "expand": expand,
    "repeat": repeat(aten.repeat.default),
    "tile": repeat(aten.tile.default),
    "repeat_interleave": lambda draw: call(
        aten.repeat_interleave.self_int, draw(tensors(1, 3)), draw(positive), draw(axis)
    ),
    "matmul": matmul,
    "linear": linear,
    "mm": fixed(aten.mm.default, 2),
    "bmm": fixed(aten.bmm.default, 3),
    "addmm": addmm,
    "outer": fixed(aten.outer.default, 1),
    "layer_norm": layer_norm,
    "native_layer_norm": lambda draw: Call(aten.native_layer_norm.default, (*layer_norm(draw).args, 1e-5), {}),
    "group_norm": group_norm,
    "batch_norm": batch_norm,
    "arange": arange,
    "full": lambda draw: call(aten.full.default, [2, 3], draw(st.sampled_from([1, 1.5, True]))),
    "zeros": created(aten.zeros.default, [2, 3], dtype=torch.int32),
    "linspace": created(aten.linspace.default, 0, 1, 7),
    "eye": created(aten.eye.default, 3),
    "scalar_tensor": created(aten.scalar_tensor.default, 3),
    "full_like": lambda draw: call(aten.full_like.default, draw(tensors(0, 3)), 2),
    "new_zeros": lambda draw: call(aten.new_zeros.default, draw(tensors(0, 3)), [3, 2]),
}
MANY_CASES = ("slice", "slice_scatter", "index", "cat", "view")
NUMBERS_ONLY = {
    "squeeze": squeeze,
    "split": whole_parts(aten.split.Tensor),
    "chunk": whole_parts(aten.chunk.default),
    "unbind": lambda draw: call(aten.unbind.int, draw(tensors(1, 3)), draw(axis)),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_agrees_with_eager(name: str) -> None:
    agrees(STRATEGIES[name], examples=150 if name in MANY_CASES else 30)()


@pytest.mark.parametrize("name", NUMBERS_ONLY)
def test_agrees_with_eager_on_numbers(name: str) -> None:
    agrees(NUMBERS_ONLY[name], symbols=0.0)()
