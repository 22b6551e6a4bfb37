"""A limit on memory: kept, at a cost that is told, or refused with the figure it would need."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import dydca
from dydca.lower.budget import Budget
from dydca.lower.calls import Calls, Chain
from dydca.lower.lower import lower
from dydca.lower.memory import place
from dydca.lower.targets import find_target
from dydca.passes import default_passes, run_passes

PATCH = 1, 3, 96, 64
TOLERANCE = 1e-5
"""Of the reference's largest value: up to six layers of F(6)."""


def network() -> nn.Module:
    """Wide and deep enough that its pictures outweigh its scratch."""
    torch.manual_seed(0)
    layers = [part for _ in range(5) for part in (nn.Conv2d(32, 32, 3, padding=1), nn.ReLU())]
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), *layers, nn.Conv2d(32, 12, 3, padding=1), nn.PixelShuffle(2)
    ).eval()


def lowered(budget: Budget | None, *patches: tuple[int, ...]) -> list[Calls]:
    variants = run_passes(dydca.capture(network(), list(patches or [PATCH])), default_passes()).variants
    named = {f"p{number}": [variant] for number, variant in enumerate(variants)}
    return lower(named, find_target("x86-64-v4"), budget=budget)


def needed(*programs: Calls) -> int:
    """By one thread."""
    return max(place(calls).bytes for calls in programs) + max(calls.scratch for calls in programs)


def least_of(*patches: tuple[int, ...]) -> int:
    """The bytes that one thread needs at least, as the refusal tells."""
    with pytest.raises(dydca.DydcaError, match="DYD420") as refusal:
        lowered(Budget(1, 1), *patches)
    return int(str(refusal.value.want).split()[0].replace(",", ""))


@pytest.fixture(scope="module")
def least() -> int:
    """The same of `PATCH` alone."""
    return least_of(PATCH)


def test_the_figure_of_the_refusal_is_enough_and_a_byte_less_is_not(least: int) -> None:
    assert needed(*lowered(Budget(least, 1))) == least
    with pytest.raises(dydca.DydcaError, match=f"{least:,} bytes or more"):
        lowered(Budget(least - 1, 1))


def test_less_memory_means_longer_chains_of_fewer_rows(least: int) -> None:
    (free,) = lowered(None)
    (tight,) = lowered(Budget(least, 1))
    assert needed(tight) < 0.6 * needed(free)
    assert sum(isinstance(step, Chain) for step in tight.steps)
    assert tight.given_up > 0
    assert (free.given_up, lowered(Budget(needed(free), 1))[0].given_up) == (0, 0)


def test_a_patch_that_fits_gives_up_nothing() -> None:
    patches = PATCH, (1, 3, 12, 12)
    least = least_of(*patches)
    large, small = lowered(Budget(least, 1), *patches)
    assert needed(large, small) == least
    assert large.given_up > 0
    assert small.given_up == 0


def test_every_thread_has_an_arena(least: int) -> None:
    with pytest.raises(dydca.DydcaError, match="DYD420") as refusal:
        lowered(Budget(least, 2))
    assert f"one thread, which needs {least:,} bytes" in str(refusal.value)


def test_a_tight_network_computes_what_eager_computes(least: int) -> None:
    model, x = network(), torch.rand(PATCH)
    with dydca.compile(model, [PATCH], memory=least, threads=1) as tight, torch.no_grad():
        want = model(x)
        assert (tight(x) - want).abs().max() <= TOLERANCE * want.abs().max()
        assert "given up to keep within the memory" in tight.report()


@pytest.mark.parametrize(
    ("text", "count"),
    [("8MB", 8_000_000), ("7.5 MiB", 7_864_320), ("512kib", 524_288), (4096, 4096), ("1 GB", 10**9), ("0.5GiB", 2**29)],
)
def test_amounts_of_memory(text: str | int, count: int) -> None:
    assert Budget.of(text, 1).bytes == count


@pytest.mark.parametrize("text", ["", "MB", "8 mbit", "-1", "0", "1e6", "8MB4", "eight"])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(dydca.DydcaError, match="DYD421"):
        Budget.of(text, 1)
