"""One network of each family compiled in the form it is created in; bench/zoo does so for every entry."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import dydca
import dydca.models
from bench.zoo.check import wanted_sizes
from dydca.models.registry import Entry

TOLERANCE = 1e-4  # of the largest value of an output
SAMPLE = [
    ("etds_m5c16", 2),
    ("ecbsr_y_m4c8", 4),
    ("abpn_m4c28_et", 3),
    ("espcn", 2),
    ("elsr", 4),
    ("rt4ksr", 2),
    ("swrn", 4),
    ("mvsr_c2", 4),
    ("wdsr_b2w2", 2),
    ("early_exit", 2),
    ("window_sr", 2),
    ("block_cca", 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scale"), SAMPLE, ids=[f"{name}-x{scale}" for name, scale in SAMPLE])
def test_a_family_compiles_in_its_training_form(name: str, scale: int) -> None:
    torch.manual_seed(0)
    model, facts = dydca.models.create(name, scale).eval(), dydca.models.facts(name, scale)
    shapes = facts.shapes(14, 18)
    inputs = [facts.input_range[1] * torch.rand(shape) for shape in shapes.values()]
    with torch.no_grad():
        want = _outputs(model(*(x.clone() for x in inputs)))
    with dydca.compile(model, [shapes], threads=1) as network:
        got = _outputs(network(*inputs))
    for one, other in zip(want, got, strict=True):
        assert (one - other).abs().max() <= TOLERANCE * one.abs().max()


def _outputs(result: object) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("entry", dydca.models.every(), ids=lambda entry: f"{entry.facts.name}-x{entry.facts.scale}")
def test_the_bench_takes_three_sizes_that_a_network_accepts(entry: Entry) -> None:
    chosen = wanted_sizes(entry.facts)
    assert len(set(chosen)) == 3
    assert all(entry.facts.accepts(*size) for size in chosen)
    assert chosen[1][0] >= 70  # the rows from which Dy-DCA's network takes its other route
    assert entry.facts.multiple_of > 1 or all(side % 2 for side in chosen[0])
