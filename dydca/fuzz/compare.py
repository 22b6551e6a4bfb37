"""One recipe, compiled and compared with PyTorch."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

import torch
from torch import Tensor

from dydca.api import compile as compile_network
from dydca.errors import DydcaError
from dydca.fuzz.networks import RandomNetwork, Recipe, example

TOLERANCE = 1e-4
"""Largest difference to PyTorch, as a part of the output's largest value."""

CLOSE = 1e-3
"""Inputs are left out when a value was this near to deciding otherwise: rounding may choose the other route."""

INPUTS = 3
"""Inputs per patch."""

REFUSALS = ("no kernel template for this product", "uneven padding of a convolution", "TVM does not know this operator")
"""What DYD401 may say: operators that are known to be lacking."""


@dataclass(frozen=True)
class Outcome:
    """What became of a recipe.

    Attributes:
        kind: ``equal``, ``refused`` (for a reason that is legitimate), or ``bug``.
        detail: The refusal, or what is wrong.
        compared: Inputs compared.
        skipped: Inputs left out because a route was a near tie.
    """

    kind: str
    detail: str = ""
    compared: int = 0
    skipped: int = 0

    @property
    def signature(self) -> str:
        """The first words of the detail, equal for equal faults."""
        return f"{self.kind} {self.detail.splitlines()[0].split('=')[0]}" if self.detail else self.kind


def check(recipe: Recipe, threads: int = 1) -> Outcome:
    """Compiles the recipe, runs every patch on several inputs, and compares; raises nothing."""
    try:
        return _check(recipe, threads)
    except DydcaError as error:
        legitimate = error.code == "DYD403" or (error.code == "DYD401" and error.what in REFUSALS)
        ties = error.code == "DYD404" and _ties(recipe)
        return Outcome("refused" if legitimate or ties else "bug", "near tie" if ties else str(error))
    except Exception:  # whatever it is, it is a fault of dydca
        lines = traceback.format_exc().strip().splitlines()
        return Outcome("bug", "\n".join([lines[-1], *lines[-12:]]))


def _check(recipe: Recipe, threads: int) -> Outcome:
    network = RandomNetwork(recipe)
    compared = skipped = 0
    with compile_network(network, recipe.declared, threads=threads, cache=False) as native, torch.no_grad():
        network.watching = True
        for seed in range(INPUTS):  # patches alternate, so that what one leaves in the arena is there for the next
            for patch in range(len(recipe.patches)):
                inputs = _laid_out(example(recipe, patch, seed), seed)
                network.margins.clear()
                expected = network(*inputs)
                if min(network.margins, default=1.0) < CLOSE:
                    skipped += 1
                    continue
                compared += 1
                if wrong := _difference(expected, native(*inputs)):
                    return Outcome("bug", f"wrong values = patch {recipe.patches[patch]}, input {seed}: {wrong}")
    return Outcome("equal", "", compared, skipped)


def _laid_out(inputs: list[Tensor], seed: int) -> list[Tensor]:
    """The same values, every other time with strides that are not PyTorch's own."""
    return [x.transpose(-1, -2).contiguous().transpose(-1, -2) if seed % 2 else x for x in inputs]


def _difference(expected: object, got: object) -> str:
    """What differs, empty if nothing does."""
    if isinstance(expected, tuple) != isinstance(got, tuple):
        return f"{type(got).__name__} in place of {type(expected).__name__}"
    pairs = zip(_tuple(expected), _tuple(got), strict=True)
    for number, (want, have) in enumerate(pairs):
        if want.shape != have.shape:
            return f"output {number} has shape {tuple(have.shape)} in place of {tuple(want.shape)}"
        worst = float((have - want).abs().max() / want.abs().max().clamp_min(1e-3))
        if not worst <= TOLERANCE:
            return f"output {number} differs by {worst:.1e} of its maximum"
    return ""


def _tuple(result: object) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def _ties(recipe: Recipe) -> bool:
    """Whether one of the inputs that the compiler checks itself by is a near tie."""
    network = RandomNetwork(recipe)
    network.watching, generator = True, torch.Generator().manual_seed(0)
    with torch.no_grad():
        for patch in recipe.patches:
            network(*(torch.rand(shape, generator=generator) for shape in patch))
    return min(network.margins, default=1.0) < CLOSE
