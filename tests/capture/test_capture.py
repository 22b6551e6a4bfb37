"""Routes by shape: found without a change of source, with the exact conditions under which they are taken."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import dydca


class Body(nn.Module):
    def __init__(self, forward: Callable[..., object]) -> None:
        super().__init__()
        self.join = forward

    def forward(self, x: Tensor) -> object:
        return self.join(x)


def by_height(x: Tensor) -> Tensor:
    if x.shape[2] < 70:
        return x * 2
    return F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2)


def by_area(x: Tensor) -> Tensor:
    if x.shape[2] * x.shape[3] < 100:
        return x + 1
    if x.shape[3] > x.shape[2]:
        return x + 2
    return x + 3


def patch(height: int, width: int, batch: int = 1) -> tuple[int, int, int, int]:
    return batch, 3, height, width


def test_each_patch_takes_the_route_the_source_gives_it() -> None:
    program = dydca.capture(Body(by_height), [patch(108, 96), patch(54, 48), patch(69, 4), patch(70, 4)])
    routes = {route.predicate: [p[0][2] for p in route.patches] for route in program.routes}
    assert routes == {"H >= 70": [108, 70], "H < 70": [54, 69]}
    for route, shapes in program.patches:
        x = torch.rand(shapes[0])
        assert torch.equal(route.graph.run(x)[0], by_height(x))


def test_conditions_on_products_and_between_sizes_are_exact() -> None:
    shapes = [patch(5, 5), patch(10, 10), patch(10, 11), patch(11, 10), patch(33, 3), patch(3, 33)]
    program = dydca.capture(Body(by_area), shapes)
    assert len(program.routes) == 3
    for route, shapes_of_route in program.patches:
        x = torch.rand(shapes_of_route[0])
        assert torch.equal(route.graph.run(x)[0], by_area(x))


def test_a_region_no_patch_enters_is_reported() -> None:
    program = dydca.capture(Body(by_height), [patch(54, 48)])
    (region,) = program.uncovered
    assert region.startswith("H >= 70 (test_capture.py:")
    assert dydca.capture(Body(by_height), [patch(54, 48), patch(80, 8)]).uncovered == ()


def test_sizes_of_one_do_not_make_routes_of_their_own() -> None:
    program = dydca.capture(Body(lambda x: x + 1), [patch(8, 8), patch(8, 8, 4), patch(1, 8), patch(1, 1)])
    assert len(program.routes) == 1
    assert len(program.routes[0].patches) == 4


def test_the_callers_tensor_is_not_edited_though_forward_edits_its_input() -> None:
    def forward(x: Tensor) -> Tensor:
        x -= 0.5
        return x * 2

    example = torch.rand(patch(4, 4))
    kept = example.clone()
    program = dydca.capture(Body(forward), [patch(4, 4)], example_inputs=[example])
    assert torch.equal(example, kept)
    assert len(program.outputs) == 1
    assert torch.equal(program.routes[0].graph.run(kept)[0], (kept - 0.5) * 2)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
def test_weights_computed_by_the_old_weight_norm_are_copied() -> None:
    model = torch.nn.utils.weight_norm(nn.Conv2d(3, 4, 3))
    model(torch.rand(patch(5, 5)))
    program = dydca.capture(model, [patch(5, 5)])
    x = torch.rand(patch(5, 5))
    assert torch.allclose(program.routes[0].graph.run(x)[0], model(x))


def test_exported_programs_are_captured_too() -> None:
    exported = torch.export.export(Body(lambda x: x * 2).eval(), (torch.rand(patch(4, 6)),))
    program = dydca.capture(exported, [patch(4, 6)])
    assert torch.equal(program.routes[0].graph.run(torch.ones(patch(4, 6)))[0], torch.full(patch(4, 6), 2.0))


def test_several_inputs_by_name() -> None:
    class Two(nn.Module):
        def forward(self, frame: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            return frame + state, state * 2

    program = dydca.capture(Two(), [{"frame": patch(4, 6), "state": patch(4, 6)}])
    assert [tensor.name for tensor in program.inputs] == ["frame", "state"]
    assert program.structure == {"tuple": [0, 1]}
    frame, state = torch.rand(patch(4, 6)), torch.rand(patch(4, 6))
    assert torch.equal(program.routes[0].graph.run(frame, state)[0], frame + state)


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.calls: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "no network": (len, [patch(4, 4)], "DYD102"),
    "no file": ("absent.pt", [patch(4, 4)], "DYD701"),
    "state": (Counter(), [patch(4, 4)], "DYD103"),
    "data-dependent shape": (Body(lambda x: x.reshape(int(x.numpy().sum()))), [patch(4, 4)], "DYD104"),
    "no patch": (Body(by_height), [], "DYD201"),
    "negative": (Body(by_height), [patch(-1, 4)], "DYD201"),
    "no number": (Body(by_height), ["108x96"], "DYD201"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_have_codes(name: str) -> None:
    model, patches, code = REFUSED[name]
    with pytest.raises(dydca.DydcaError) as refusal:
        dydca.capture(model, patches)
    assert refusal.value.code == code


def test_a_refusal_names_the_users_line() -> None:
    with pytest.raises(dydca.DydcaError, match=r"test_capture\.py:\d+"):
        dydca.capture(*REFUSED["data-dependent shape"][:2])
