"""Routes by value: every path found without a change of source, compiled to a branch in the plan, never run wrongly."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dydca
from dydca.program import Route


class Body(nn.Module):
    def __init__(self, forward: Callable[..., Any], *parts: nn.Module) -> None:
        super().__init__()
        self.join, self.parts = forward, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Any:
        return self.join(self.parts, x)


def conv(inputs: int = 3, outputs: int = 8) -> nn.Conv2d:
    torch.manual_seed(5)
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def gate(m: nn.ModuleList, x: Tensor) -> Any:
    if x.mean() > 0:
        return m[0](x)
    return m[1](x)


def expert(m: nn.ModuleList, x: Tensor) -> Any:
    return m[int(x.mean((2, 3)).argmax(1)[0])](x)


def early_exit(m: nn.ModuleList, x: Tensor) -> Any:
    y = m[0](x)
    for part in m[1:]:
        if y.abs().mean().item() * 2 > 0.9:
            break
        y = y + part(y)
    return y


def nested(m: nn.ModuleList, x: Tensor) -> Any:
    y = m[0](x)
    if x.shape[2] < 9:
        if y.mean().item() > 0.1:
            return y * 2
    elif y.amax() > 2:
        return y - 1
    return torch.relu(y)


def by_cond(m: nn.ModuleList, x: Tensor) -> Any:
    return torch.cond(x.mean() > 0, lambda x: x * 2, lambda x: x - 1, (x,))


def scalar_into_tensor(m: nn.ModuleList, x: Tensor) -> Any:
    score = x.abs().mean().item()
    if 0.3 < score <= 0.8:
        return x * score
    return x / (1 + score)


def listed(m: nn.ModuleList, x: Tensor) -> Any:
    red, green, _ = x.mean((0, 2, 3)).tolist()
    return x * 2 if red > green else x


NETS: dict[str, tuple[Body, int]] = {
    "gate": (Body(gate, conv(), conv()), 2),
    "expert": (Body(expert, conv(), conv(), conv()), 3),
    "early exit": (Body(early_exit, conv(), conv(8), conv(8)), 3),
    "nested": (Body(nested, conv()), 4),
    "cond": (Body(by_cond), 2),
    "listed": (Body(listed), 2),
    "scalar": (Body(scalar_into_tensor), 3),
}
PATCHES = [(1, 3, 8, 10), (1, 3, 11, 7)]


def takes(route: Route, x: Tensor) -> bool:
    predicates = route.graph.run(x)[len(route.graph.outputs) - len(route.decisions) :]
    return [int(predicate) for predicate in predicates] == [decision.outcome for decision in route.decisions]


def inputs(patch: tuple[int, ...], count: int) -> list[Tensor]:
    return [torch.randn(patch) * torch.rand(()) * 3 + torch.randn(1, 3, 1, 1) * 0.5 for _ in range(count)]


@pytest.mark.parametrize("name", NETS)
def test_all_routes_are_found_and_each_input_takes_exactly_one(name: str) -> None:
    model, count = NETS[name]
    program = dydca.capture(model, PATCHES)
    assert len(program.routes) == count
    for patch in PATCHES:
        for x in inputs(patch, 20):
            (route,) = [route for route in program.routes if (patch,) in route.patches and takes(route, x)]
            with torch.no_grad():
                expected = model.eval()(x)
            assert torch.allclose(route.graph.run(x)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NETS if name != "nested"])
def test_compiled_code_decides_as_the_source_does(name: str) -> None:
    model, _ = NETS[name]
    with dydca.compile(model, PATCHES, threads=1) as network, torch.no_grad():
        for patch in PATCHES:
            for x in inputs(patch, 40):
                expected = model.eval()(x)
                assert (network(x) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_numbers_that_leave_no_trace_are_refused_with_the_line() -> None:
    refused: list[Callable[[nn.ModuleList, Tensor], Any]] = [
        lambda m, x: x * 2 if float(x.mean()) > 0 else x,
        lambda m, x: x * int(x.sum()),
        lambda m, x: x * float(x.mean().item()),
    ]
    for forward in refused:
        with pytest.raises(dydca.DydcaError, match=r"DYD104(.|\n)*test_decisions\.py:\d+"):
            dydca.capture(Body(forward), PATCHES)


def test_a_route_explosion_names_the_lines() -> None:
    def forward(_: nn.ModuleList, x: Tensor) -> Any:
        for channel in range(3):
            if x[0, channel].mean() > 0:
                x = x + 1
        return x

    with pytest.raises(dydca.DydcaError, match=r"DYD105(.|\n)*test_decisions\.py:\d+"):
        dydca.capture(Body(forward), PATCHES, max_routes=7)
    assert len(dydca.capture(Body(forward), PATCHES, max_routes=8).routes) == 8


def test_an_endless_loop_is_refused() -> None:
    def forward(_: nn.ModuleList, x: Tensor) -> Any:
        while not x.mean() > 1:
            x = x + 1
        return x

    with pytest.raises(dydca.DydcaError, match="DYD105"):
        dydca.capture(Body(forward), PATCHES)


def test_arms_of_different_shape_are_captured_and_run() -> None:
    model = Body(lambda m, x: x if x.mean() > 0 else x[:, :, ::2])
    assert len(dydca.capture(model, PATCHES).routes) == 2
    with dydca.compile(model, PATCHES) as network:
        for x in (torch.full(PATCHES[0], 0.5), torch.full(PATCHES[0], -0.5)):
            torch.testing.assert_close(network(x), model(x), rtol=0, atol=0)


def test_arms_of_different_types_are_refused_by_the_compiler() -> None:
    model = Body(lambda m, x: x if x.mean() > 0 else x > 0)
    with pytest.raises(dydca.DydcaError, match="DYD403"):
        dydca.compile(model, PATCHES)


def test_sizes_that_depend_on_values_are_refused_by_the_compiler() -> None:
    model = Body(lambda m, x: torch.nonzero(x > 0).float())
    with pytest.raises(dydca.DydcaError, match=r"DYD405|DYD402"):
        dydca.compile(model, PATCHES)
