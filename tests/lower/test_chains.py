"""Networks run depth-first give the same pictures: rings, residuals, skips, strides, shuffles, batches, any threads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import dydca
from dydca.lower import chains
from dydca.lower.calls import Chain, Finish, Step, calls_of
from dydca.lower.lower import lower
from dydca.lower.targets import find_target
from dydca.models import create
from dydca.passes import default_passes, run_passes

TOLERANCE = 2e-5
"""Of the reference's largest value: up to seven layers of F(6)."""


@pytest.fixture
def eager_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever can be a chain becomes one."""
    monkeypatch.setattr(chains, "chain_cycles", lambda _schedule, _target: 0.0)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)


class Residual(nn.Module):
    """Adds from two, and from all, layers ago."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.body, self.tail = conv(3, 20), nn.ModuleList(conv(20, 20) for _ in range(4)), conv(20, 12, 5)

    def forward(self, x: Tensor) -> Tensor:
        first = y = self.head(x)
        for one, two in zip(self.body[::2], self.body[1::2], strict=True):
            y = y + two(F.relu(one(y)))
        return F.pixel_shuffle(self.tail(y + first), 2)


class Mixed(nn.Module):
    """Down by a stride, up by a shuffle, depthwise, pointwise and elementwise between; two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.wide, self.up = conv(3, 24, stride=2), conv(24, 24, 5, groups=24), conv(24, 64, 1)
        self.last = conv(16, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        half = F.relu(self.down(x))
        y = F.pixel_shuffle(F.leaky_relu(self.up(self.wide(half) * half), 0.1), 2)
        return self.last(y * 0.5), half


class Dense(nn.Module):
    """Layers that read all before them, in blocks and not, and the sum of two halves."""

    def __init__(self, growth: int) -> None:
        super().__init__()
        self.head, self.tail = conv(3, 32), conv(32 + 3 * growth, 12)
        self.body = nn.ModuleList(conv(32 + growth * number, growth) for number in range(3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        for layer in self.body:
            y = torch.cat([y, F.relu(layer(y))], 1)
        one, two = self.tail(y).chunk(2, 1)
        product: Tensor = one * two
        return product


def plain(channels: int, layers: int) -> nn.Module:
    body = [part for _ in range(layers) for part in (conv(channels, channels), nn.ReLU())]
    return nn.Sequential(conv(3, channels), nn.ReLU(), *body, conv(channels, 12), nn.PixelShuffle(2))


NETWORKS = {
    "plain": (plain(16, 5), [(1, 3, 37, 29), (1, 3, 6, 8), (1, 3, 3, 40)]),
    "residual": (Residual(), [(1, 3, 41, 30)]),
    "mixed": (Mixed(), [(2, 3, 34, 26)]),
    "batch": (plain(28, 2), [(3, 3, 19, 23)]),
    "dense": (Dense(16), [(1, 3, 41, 30), (2, 3, 18, 9)]),
    "dense, odd": (Dense(11), [(1, 3, 26, 17)]),
    "Dy-DCA": (create("wdsr_b2w2", 2), [(1, 3, 29, 31)]),
}


def tensors(result: object) -> list[Tensor]:
    return list(result) if isinstance(result, tuple) else [result]  # type: ignore[list-item]


@pytest.mark.usefixtures("eager_chains")
@pytest.mark.parametrize("name", NETWORKS)
def test_chains_compute_what_eager_computes_on_any_threads(name: str, tmp_path: Path) -> None:
    model, patches = NETWORKS[name]
    xs = [torch.rand(patch, generator=torch.Generator().manual_seed(1)) for patch in patches]
    with torch.no_grad():
        expected = [tensors(model.eval().double()(x.double())) for x in xs]
    with dydca.compile(model.float(), patches, threads=1) as network:
        network.save(tmp_path / "net.dydca")
        alone = [tensors(network(x)) for x in xs]
    for want, got in zip(expected, alone, strict=True):
        for w, g in zip(want, got, strict=True):
            assert (g - w).abs().max() <= TOLERANCE * w.abs().max()
    for threads in (2, 3):
        with dydca.load(tmp_path / "net.dydca", threads) as network:
            for x, first in zip(xs, alone, strict=True):
                assert all(map(torch.equal, tensors(network(x)), first))


def steps_of(model: nn.Module, patch: tuple[int, ...]) -> list[Step]:
    outcome = run_passes(dydca.capture(model.eval(), [patch]), default_passes())
    (calls,) = lower({"p": outcome.variants}, find_target("host"))
    return calls.steps


@pytest.mark.usefixtures("eager_chains")
@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks_can_be_one_chain(name: str) -> None:
    model, patches = NETWORKS[name]
    for patch in patches:
        chain, end = steps_of(model, patch)
        assert isinstance(chain, Chain)
        assert isinstance(end, Finish)


def test_large_frames_are_chained_and_small_patches_are_not() -> None:
    network = plain(32, 6)
    large, small = steps_of(network, (1, 3, 360, 640)), steps_of(network, (1, 3, 54, 48))
    assert [type(step) for step in large] == [Chain, Finish]
    assert not any(isinstance(step, Chain) for step in small)
    held = [call.writes[0].layout.rows for call in calls_of(large[0])]
    assert held[-1] == 0, "the caller's own tensor"
    assert 8 <= min(held[1:-1]) <= max(held[1:-1]) <= 14
