"""What the tests of routes share: a module around a function, and what it means to take a route."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from dydca.program import Program, Route


class Body(nn.Module):
    """Runs `forward` on its parts and the input."""

    def __init__(self, forward: Callable[..., Any], *parts: nn.Module) -> None:
        super().__init__()
        self.join, self.parts = forward, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Any:
        return self.join(self.parts, x)


def conv(inputs: int = 3, outputs: int = 8) -> nn.Conv2d:
    torch.manual_seed(5)
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def takes(route: Route, inputs: Sequence[Tensor]) -> bool:
    """Whether the inputs decide as the route says."""
    predicates = route.graph.run(*inputs)[len(route.graph.outputs) - len(route.decisions) :]
    return [int(predicate) for predicate in predicates] == [decision.outcome for decision in route.decisions]


def pictures(patch: tuple[int, ...], count: int) -> list[Tensor]:
    """Of different brightness, contrast and tint."""
    tint = (1, patch[1], 1, 1) if len(patch) == 4 else (1,)
    return [torch.randn(patch) * torch.rand(()) * 3 + torch.randn(tint) * 0.5 for _ in range(count)]


def agree(program: Program, model: nn.Module, *inputs: Tensor) -> Route:
    """Requires that the program computes what the model computes; returns the route that was taken."""
    with torch.no_grad():
        expected = [leaf for leaf in tree_leaves(model.eval()(*(x.clone() for x in inputs))) if leaf is not None]
    results = program.run(*inputs)
    assert [result.shape for result in results] == [want.shape for want in expected]
    for result, want in zip(results, expected, strict=True):
        assert result.dtype == want.dtype
        assert (result - want).abs().max() <= 1e-5 * want.abs().max() if want.numel() else True
    return program.route(*inputs)
