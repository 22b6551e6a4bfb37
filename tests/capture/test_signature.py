"""What forward takes and returns: several tensors, nested, by name, left out; given back as forward would."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import dydca
from dydca.errors import CaptureError
from dydca.runtime.structure import is_structure, leaves, rebuild
from tests.capture.bodies import Body

SHAPE = (1, 3, 6, 8)


class Recurrent(nn.Module):
    """A step of a video network: a frame and what is kept of the frames before it."""

    def forward(self, frame: Tensor, state: list[Tensor], *, mask: Tensor | None = None, gain: float = 2.0) -> Any:
        kept = state[0] + state[1] * frame.mean()
        kept = kept if mask is None else torch.where(mask > 0, kept, 0.0)
        return {"picture": frame * gain, "state": [kept, kept + 1]}


class Result(NamedTuple):
    picture: Tensor
    score: Tensor


def test_arguments_are_nested_by_name_and_left_out() -> None:
    program = dydca.capture(Recurrent(), [{"frame": SHAPE, "state": [SHAPE, SHAPE]}])
    assert [tensor.name for tensor in program.inputs] == ["frame", "state_0", "state_1"]
    assert program.outputs[0] == "picture"
    inputs = [torch.rand(SHAPE) for _ in range(3)]
    expected = Recurrent()(inputs[0], inputs[1:])
    results = rebuild(program.structure, program.run(*inputs))
    assert list(results) == ["picture", "state"]
    torch.testing.assert_close(results, expected)


def test_examples_say_what_is_passed_by_name_and_of_which_type() -> None:
    example = {"frame": torch.rand(SHAPE), "state": (torch.rand(SHAPE),) * 2, "mask": torch.ones(SHAPE).int()}
    shapes = {"frame": SHAPE, "state": (SHAPE, SHAPE), "mask": SHAPE}
    program = dydca.capture(Recurrent(), [shapes], example)
    assert [tensor.dtype for tensor in program.inputs] == [*[torch.float32] * 3, torch.int32]
    mask = torch.arange(144).reshape(SHAPE).int() % 2
    inputs = [*(torch.rand(SHAPE) for _ in range(3)), mask]
    expected = Recurrent()(inputs[0], inputs[1:3], mask=mask)
    torch.testing.assert_close(rebuild(program.structure, program.run(*inputs)), expected)


@pytest.mark.parametrize(
    "result",
    [
        lambda _, x: x * 2,
        lambda _, x: (x * 2,),
        lambda _, x: [x, (x + 1, None)],
        lambda _, x: OrderedDict(b=x + 1, a=x * 2),
        lambda _, x: Result(x - 1, x.mean()),
        lambda _, x: {"first": Result(x - 1, x.mean()), "scale": 2},
    ],
)
def test_results_are_given_back_as_forward_returns_them(result: Any) -> None:
    program = dydca.capture(Body(result), [SHAPE])
    x = torch.rand(SHAPE)
    given, expected = rebuild(program.structure, program.run(x)), result(None, x)
    assert is_structure(program.structure, len(program.outputs))
    if isinstance(expected, Result):
        assert given._asdict().keys() == expected._asdict().keys()
        given, expected = tuple(given), tuple(expected)
    if isinstance(expected, dict):
        assert list(given) == list(expected)
    torch.testing.assert_close(list(leaves(given)), list(leaves(expected)))


def by_width(_: nn.ModuleList, x: Tensor) -> Any:
    return x if x.shape[3] < 9 else (x, x + 1)


@pytest.mark.parametrize(
    ("result", "shapes"),
    [
        (lambda _, x: (x, x.shape[2] + 1), [SHAPE]),
        (lambda _, x: {0: x}, [SHAPE]),
        (lambda _, x: (x, torch.bfloat16), [SHAPE]),
        (by_width, [SHAPE, (1, 3, 6, 12)]),
    ],
)
def test_what_compiled_code_cannot_return_is_refused(result: Any, shapes: Any) -> None:
    with pytest.raises(CaptureError, match="DYD111"):
        dydca.capture(Body(result), shapes)


def test_structures_of_foreign_files_are_checked() -> None:
    Point = namedtuple("Point", "x y")
    assert rebuild({"named": "Point", "fields": {"x": 1, "y": {"constant": 3}}}, "ab") == Point("b", 3)
    deep: Any = 0
    for _ in range(20):
        deep = {"tuple": [deep]}
    malformed: list[Any] = [
        deep,
        2,
        -1,
        True,
        {"named": "P", "fields": {"class": 0}},
        {"dict": [0]},
        {"tuple": {}},
        {},
        None,
    ]
    assert not any(is_structure(value, 2) for value in malformed)


def test_compiled_networks_return_what_forward_returns() -> None:
    with dydca.compile(Recurrent(), [{"frame": SHAPE, "state": [SHAPE, SHAPE]}]) as network:
        inputs = [torch.rand(SHAPE) for _ in range(3)]
        given = network(inputs[0], inputs[1:])
    torch.testing.assert_close(given, Recurrent()(inputs[0], inputs[1:]), rtol=1e-4, atol=1e-4)
