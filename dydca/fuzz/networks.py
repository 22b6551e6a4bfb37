"""A random dynamic network from a seed: a recipe of plain data, and the module that runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from dydca.fuzz.operators import OPERATORS, Step, channels

NAMES = ("x", "y", "z")
LARGEST = 60_000
"""Elements of a tensor; larger ones cost time and show nothing new."""


@dataclass(frozen=True)
class Recipe:
    """A network as plain data.

    Attributes:
        patches: Each a shape for every input.
        steps: Values are numbered, the inputs first, then the result of every step.
        outputs: Numbers of the values that forward returns.
        bare: Whether a single output is returned without a tuple.
    """

    patches: tuple[tuple[tuple[int, ...], ...], ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    bare: bool = True

    @property
    def declared(self) -> list[Mapping[str, tuple[int, ...]]]:
        """The patches as `dydca.compile` takes them."""
        return [dict(zip(NAMES, patch, strict=False)) for patch in self.patches]

    def text(self) -> str:
        """The recipe as Python source."""
        steps = "".join(f"        {step!r},\n" for step in self.steps)
        fields = f"    outputs={self.outputs!r},\n    bare={self.bare!r},\n"
        return f"Recipe(\n    patches={self.patches!r},\n    steps=(\n{steps}    ),\n{fields})"


class RandomNetwork(nn.Module):
    """Runs a recipe.

    Attributes:
        margins: While `watching`, how far each value was from deciding otherwise, as a part of its scale.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe, self.parts = recipe, nn.ModuleDict()
        self.watching, self.building = False, True
        self.margins: list[float] = []
        with torch.no_grad():
            for number in range(len(recipe.patches)):  # gives every step its module, those of arms not taken included
                self.forward(*example(recipe, number))
        self.building = False
        self.eval()

    def forward(self, x: Tensor, y: Tensor | None = None, z: Tensor | None = None) -> Any:
        """Returns the values that the recipe names."""
        values = [value for value in (x, y, z) if value is not None]
        for step in self.recipe.steps:
            values.append(self.take(step, [values[number] for number in step["reads"]]))
        results = tuple(values[number] for number in self.recipe.outputs)
        return results[0] if self.recipe.bare and len(results) == 1 else results

    def take(self, step: Step, operands: Sequence[Tensor]) -> Tensor:
        """The value of one step."""
        if step["op"] in ROUTES:
            return self._route(step, operands[0])
        operator, key = OPERATORS[step["op"]], str(step["key"])
        if key not in self.parts and (made := operator.make(step, operands[0].shape)) is not None:
            self.parts[key] = _drawn(made, step["key"])
        return operator.run(step, dict(self.parts.items()).get(key), *operands)

    def _arm(self, steps: Sequence[Step], value: Tensor) -> Tensor:
        for step in steps:
            value = self.take(step, [value] * len(step["reads"]))
        return value

    def _route(self, step: Step, x: Tensor) -> Tensor:
        if self.building:
            results = [self._arm(arm, x) for arm in step["arms"]]
            if any(result.shape != results[0].shape for result in results):
                raise ValueError("arms of different shape")
            if step["op"] != "early exit":
                return results[-1]
        if step["op"] == "if shape":
            below = bool(x.shape[step["axis"]] < step["bound"])
            return self._arm(step["arms"][1 if below else 0], x)
        if step["op"] == "early exit":
            return self._early_exit(step, x)
        score = _score(step, x)
        self._watch(score, x, step["bound"], step["op"])
        if step["op"] == "expert":
            return self._arm(step["arms"][int(score.argmax())], x)
        return self._arm(step["arms"][1] if score > step["bound"] else step["arms"][0], x)

    def _early_exit(self, step: Step, x: Tensor) -> Tensor:
        for arm in step["arms"]:
            x = self._arm(arm, x)
            score = _score(step, x)
            self._watch(score, x, step["bound"], "item")
            if not self.building and score.item() * 2 > step["bound"]:
                break
        return x

    def _watch(self, score: Tensor, x: Tensor, bound: float, kind: str) -> None:
        if not self.watching:
            return
        if kind == "expert":
            first, second = score.reshape(-1).topk(2).values.tolist()
            margin = first - second
        else:
            margin = abs(float(score) * (2 if kind == "item" else 1) - bound)
        self.margins.append(margin / max(float(x.abs().max()), 1e-6))


ROUTES = ("if shape", "if value", "early exit", "expert")


def _score(step: Step, x: Tensor) -> Tensor:
    if step["op"] == "expert":
        return x.abs().mean((-1, -2)).flatten()[: len(step["arms"])]
    if step["measure"] == "max":
        return x.amax()
    return x.mean() if step["measure"] == "mean" else x.abs().mean()


def _drawn(module: nn.Module, key: int) -> nn.Module:
    """The module with weights that depend on its key alone."""
    generator = torch.Generator().manual_seed(key)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            reach = (3 / max(tensor[0].numel(), 1)) ** 0.5 if tensor.dim() > 1 else 0.5
            positive = tensor.dim() == 1 and isinstance(module, nn.BatchNorm2d)
            with torch.no_grad():
                tensor.uniform_(0.3 if positive else -reach, 1.2 if positive else reach, generator=generator)
    return module


def example(recipe: Recipe, patch: int, seed: int = 0) -> list[Tensor]:
    """Inputs of a patch: pictures of another brightness and contrast for every seed."""
    generator = torch.Generator().manual_seed(seed * 1000 + patch)
    scale, shift = torch.rand(2, generator=generator).tolist()
    shapes = recipe.patches[patch]
    return [torch.randn(shape, generator=generator) * (scale + 0.2) * 1.5 + shift - 0.4 for shape in shapes]


def random_recipe(seed: int) -> Recipe:
    """A recipe that eager PyTorch runs on all of its patches, with finite and well-conditioned values."""
    random = Random(seed)
    patches = _random_patches(random)
    recipe = Recipe(patches, (), (0,))
    values = _values(recipe)
    count, wanted = len(patches[0]), random.randint(1, 12)
    for _ in range(60):
        if len(recipe.steps) == wanted:
            break
        step = _random_step(random, [value.shape for value in values or ()], recipe)
        grown = replace(recipe, steps=(*recipe.steps, step))
        if (found := _values(grown)) is not None:
            recipe, values = grown, found
    last = count + len(recipe.steps) - 1
    outputs = [last] + [random.randint(0, last) for _ in range(random.choice([0, 0, 0, 0, 1, 2]))]
    return replace(recipe, outputs=tuple(outputs))


def _random_patches(random: Random) -> tuple[tuple[tuple[int, ...], ...], ...]:
    rank, inputs = random.choice([4] * 7 + [3]), random.choice([1, 1, 1, 1, 2, 3])
    depths = [random.choice([1, 3, 3, 3, 4, 8, 12, 16, 17]) for _ in range(inputs)]
    if random.random() < 0.5:
        depths = depths[:1] * inputs
    patches = []
    for _ in range(random.choice([1, 1, 2, 3])):
        batch = random.choice([1, 1, 1, 2, 3])
        height, width = (random.choice([2, 5, 6, 7, 8, 9, 12, 13, 16, 18, 24]) for _ in range(2))
        shapes = [(depth, height, width) if rank == 3 else (batch, depth, height, width) for depth in depths]
        patches.append(tuple(shapes))
    return tuple(dict.fromkeys(patches))


def _random_step(random: Random, shapes: Sequence[Sequence[int]], recipe: Recipe) -> Step:
    last = len(shapes) - 1
    read = last if random.random() < 0.8 else random.randint(0, last)
    if random.random() < 0.12:
        return _random_route(random, shapes[read], read)
    if random.random() < 0.06 and (shared := [step for step in recipe.steps if step["op"] == "conv"]):
        return dict(random.choice(shared)) | {"reads": [read]}
    names = list(OPERATORS)
    name = random.choices(names, [OPERATORS[name].weight for name in names])[0]
    reads = [read, *(random.randint(0, last) for _ in range(OPERATORS[name].reads - 1))]
    if len(reads) == 2 and random.random() < 0.3:
        reads.reverse()
    return _step(random, name, shapes[reads[0]], reads)


def _step(random: Random, name: str, shape: Sequence[int], reads: Sequence[int]) -> Step:
    options = OPERATORS[name].draw(random, shape) if len(shape) >= 3 else {}
    return {"op": name, "reads": list(reads), "key": random.randrange(10**6)} | options


def _random_route(random: Random, shape: Sequence[int], read: int) -> Step:
    op = random.choice(ROUTES)
    count = 2 if op in ("if shape", "if value") else random.randint(2, min(3, max(channels(shape), 2)))
    kept = ("residual", "activation", "scale", "prelu", "attention", "frame write")
    arms = [
        [_step(random, random.choice(kept), shape, [0]) for _ in range(random.randint(0 if op[0] == "i" else 1, 2))]
        for _ in range(count)
    ]
    bound = random.choice([5, 8, 13]) if op == "if shape" else random.choice([0.0, 0.1, 0.5, 1.0])
    measure = {"measure": random.choice(["mean", "size", "max"]), "axis": random.choice([-2, -1])}
    return {"op": op, "reads": [read], "key": 0, "arms": arms, "bound": bound} | measure


def _values(recipe: Recipe) -> list[Tensor] | None:
    """All values on the first patch; None if PyTorch refuses a patch, or float32 is not enough for the network."""
    count = len(recipe.patches[0]) + len(recipe.steps)
    probe = replace(recipe, outputs=tuple(range(count)), bare=False)
    try:
        network = RandomNetwork(probe)
        runs = [network(*example(probe, patch)) for patch in range(len(probe.patches))]
        exact = network.double()
        finer = [exact(*(x.double() for x in example(probe, patch))) for patch in range(len(probe.patches))]
    except (RuntimeError, ValueError, IndexError, TypeError, KeyError):
        return None
    pairs = [
        (a.detach(), b.detach()) for run, fine in zip(runs, finer, strict=True) for a, b in zip(run, fine, strict=True)
    ]
    return list(runs[0]) if all(_is_sound(a, b) for a, b in pairs) else None


def _is_sound(value: Tensor, exact: Tensor) -> bool:
    if not 0 < value.numel() <= LARGEST or value.dim() > 4 or value.dtype != torch.float32:
        return False
    largest = float(exact.abs().max())
    return largest < 1e4 and float((value - exact).abs().max()) <= 1e-5 * max(largest, 1e-3)
