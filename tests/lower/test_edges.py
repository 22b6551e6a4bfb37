"""The network's edge: element types in and out, outputs whose shape values decide, tensors at any address."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import dydca
from dydca.models.routers import EarlyExit

TOLERANCE = 1e-4  # of the reference's largest value


def agree(network: dydca.Network, model: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Runs both, compares shapes, types and values, and returns what eager gave."""
    with torch.no_grad():
        want = model(*inputs)
    have = network(*inputs)
    wanted, given = (list(each) if isinstance(each, tuple) else [each] for each in (want, have))
    assert [(each.shape, each.dtype) for each in given] == [(each.shape, each.dtype) for each in wanted]
    for one, other in zip(given, wanted, strict=True):
        difference = float((one.double() - other.double()).abs().max())
        limit = TOLERANCE * float(other.double().abs().max()) if other.dtype == torch.float32 else 0
        assert difference <= limit
    return wanted


class Upscale(nn.Module):
    """Twice the size where it is bright."""

    scales = (1, 2)

    def __init__(self) -> None:
        super().__init__()
        self.up, self.same = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.up(x), 2) if x.mean() > 0 else functional.relu(self.same(x))


class ScaledExits(nn.Module):
    """Leaves after 1, 2 or 3 stages, each at a scale of its own, with a score and an early picture beside."""

    scales = (1, 2, 3)

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Conv2d(8 if stage else 3, 8, 3, padding=1) for stage in range(3))
        self.tails = nn.ModuleList(nn.Conv2d(8, 3 * scale**2, 3, padding=1) for scale in self.scales)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        early = y = self.stages[0](x).relu()
        for number, threshold in enumerate((0.25, -0.5)):
            score = x.mean((1, 2, 3)) - threshold
            if score[0] > 0:
                return functional.pixel_shuffle(self.tails[number](y), number + 1), score, early
            y = self.stages[number + 1](y).relu()
        return functional.pixel_shuffle(self.tails[2](y), 3), score, early


@pytest.mark.parametrize("model", [Upscale(), ScaledExits()], ids=["gate", "exits"])
def test_routes_by_value_with_results_of_different_shape(model: Upscale | ScaledExits) -> None:
    patches = [(1, 3, 12, 10), (1, 3, 7, 9)]
    with dydca.compile(model.eval(), patches, threads=2) as network:
        inputs = [torch.randn(patch) + mean for patch in patches for mean in (-1, 0.1, 1, -1)]
        alone = [agree(network, model, [x])[0] for x in inputs]
        assert {y.shape[2] // x.shape[2] for x, y in zip(inputs, alone, strict=True)} == set(model.scales)
        for x, y, together in zip(inputs, alone, network.run_many(inputs), strict=True):
            picture = together[0] if isinstance(together, tuple) else together
            assert picture.shape == y.shape
            again = network(x)
            assert torch.equal(picture, again[0] if isinstance(again, tuple) else again)


def test_one_shape_on_all_routes_needs_no_choice_of_it() -> None:
    with dydca.compile(EarlyExit(2), [(1, 3, 8, 9)], threads=1) as network:
        patches = network.manifest["patches"]
        assert isinstance(patches, list)
        assert "results" not in patches[0]


class FromBytes(nn.Module):
    """Camera to screen."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.pixel_shuffle(self.up(x.float() / 255), 2)
        return (y * 255).round().clamp(0, 255).to(torch.uint8)


def test_bytes_in_and_out() -> None:
    model, shape = FromBytes().eval(), (1, 3, 11, 13)
    with dydca.compile(model, [shape], example_inputs=[torch.zeros(shape, dtype=torch.uint8)], threads=1) as network:
        for _ in range(5):
            agree(network, model, [torch.randint(0, 256, shape, dtype=torch.uint8)])
        with pytest.raises(dydca.DydcaError, match="DYD602: an input is not uint8"):
            network(torch.zeros(shape))


class Answers(nn.Module):
    """One of each type, computed, constant and handed through."""

    def forward(self, x: Tensor, index: Tensor) -> tuple[Tensor, ...]:
        constants = torch.tensor([1, -2, 3]), torch.tensor([True, False]), torch.tensor(2.5)
        return functional.gelu(x), x.argmax(1), x > 0, x.argmax(1).int(), index + 1, index, x, *constants


def test_every_type() -> None:
    model = Answers()
    examples = [torch.zeros(1, 3, 5, 7), torch.zeros(3, dtype=torch.int64)]
    patch = {"x": (1, 3, 5, 7), "index": (3,)}
    with dydca.compile(model, [patch], example_inputs=examples, threads=1) as network:
        agree(network, model, [torch.randn(1, 3, 5, 7), torch.tensor([1 << 40, -7, 0])])


def test_types_that_no_caller_has() -> None:
    with pytest.raises(dydca.DydcaError, match=r"DYD402.*\n.*\n  got  float64"):
        dydca.compile(nn.Identity(), [(2, 3)], example_inputs=[torch.zeros(2, 3, dtype=torch.float64)])


def test_tensors_at_any_address() -> None:
    shape, count = (1, 3, 4, 16), 3 * 4 * 16
    model = nn.GELU()
    with dydca.compile(model, [shape], threads=1) as network:
        for offset in range(17):
            agree(network, model, [torch.randn(count + offset)[offset:].view(shape)])
    frames, raw = FromBytes().eval(), torch.randint(0, 256, (count + 17,), dtype=torch.uint8)
    with dydca.compile(frames, [shape], example_inputs=[raw[:count].view(shape)], threads=1) as network:
        for offset in range(17):
            agree(network, frames, [raw[offset : offset + count].view(shape)])
