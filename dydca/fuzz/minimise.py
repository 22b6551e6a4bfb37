"""Shrinks the recipe of a fault and writes it as a script that shows the fault by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from dydca.fuzz.compare import check
from dydca.fuzz.networks import RandomNetwork, Recipe
from dydca.fuzz.operators import Step

SCRIPT = '''"""Found by `dydca fuzz compile`, seed {seed}: {detail}."""

from dydca.fuzz.compare import check
from dydca.fuzz.networks import Recipe

RECIPE = {recipe}

if __name__ == "__main__":
    print(check(RECIPE, threads={threads}))
'''


def minimise(recipe: Recipe, threads: int = 1, attempts: int = 60) -> Recipe:
    """The smallest recipe found that shows the same fault; each attempt costs a compilation."""
    fault, left = check(recipe, threads).signature, attempts
    shrunk = True
    while shrunk and left > 0:
        shrunk = False
        for smaller in islice(filter(_runs, _smaller(recipe)), left):
            left -= 1
            if check(smaller, threads).signature == fault:
                recipe, shrunk = smaller, True
                break
    return recipe


def write_script(recipe: Recipe, path: Path, seed: int, threads: int, detail: str) -> None:
    """Writes a script that prints what becomes of the recipe."""
    first = detail.splitlines()[0] if detail else "equal"
    path.write_text(SCRIPT.format(seed=seed, recipe=recipe.text(), threads=threads, detail=first))


def _runs(recipe: Recipe) -> bool:
    """Whether PyTorch runs it."""
    try:
        RandomNetwork(recipe)
    except Exception:  # a recipe that lost a step may be refused by any operator, in any way
        return False
    return True


def _smaller(recipe: Recipe) -> Iterator[Recipe]:
    """Recipes with one thing less, what saves most first."""
    count = len(recipe.patches[0])
    read = _needed(recipe, count)
    if len(read) < len(recipe.steps):
        yield _without(recipe, next(n for n in range(len(recipe.steps)) if n not in read))
    for patch in range(len(recipe.patches)):
        if len(recipe.patches) > 1:
            yield replace(recipe, patches=recipe.patches[:patch] + recipe.patches[patch + 1 :])
    for output in range(len(recipe.outputs)):
        if len(recipe.outputs) > 1:
            yield replace(recipe, outputs=recipe.outputs[:output] + recipe.outputs[output + 1 :])
    for number in reversed(range(len(recipe.steps))):
        yield _without(recipe, number)
    for number, step in enumerate(recipe.steps):
        for simpler in _simpler(step):
            yield replace(recipe, steps=(*recipe.steps[:number], simpler, *recipe.steps[number + 1 :]))


def _needed(recipe: Recipe, count: int) -> set[int]:
    needed, stack = set[int](), [output - count for output in recipe.outputs]
    while stack:
        number = stack.pop()
        if number >= 0 and number not in needed:
            needed.add(number)
            stack += [read - count for read in recipe.steps[number]["reads"]]
    return needed


def _without(recipe: Recipe, number: int) -> Recipe:
    """The recipe without a step; whoever read it reads what it read first."""
    gone = len(recipe.patches[0]) + number
    instead = recipe.steps[number]["reads"][0]

    def renumbered(value: int) -> int:
        return instead if value == gone else value - (value > gone)

    steps = (*recipe.steps[:number], *recipe.steps[number + 1 :])
    moved = tuple(step | {"reads": list(map(renumbered, step["reads"]))} for step in steps)
    return replace(recipe, steps=moved, outputs=tuple(map(renumbered, recipe.outputs)))


def _simpler(step: Step) -> Iterator[Step]:
    """The step with fewer steps in its arms, or a plainer convolution."""
    for number, arm in enumerate(step.get("arms", ())):
        for position in range(len(arm)):
            shorter = [*arm[:position], *arm[position + 1 :]]
            yield step | {"arms": [*step["arms"][:number], shorter, *step["arms"][number + 1 :]]}
    plain = {"stride": 1, "dilation": 1, "groups": 1, "bias": False, "padding_mode": "zeros", "padding": 0, "kernel": 1}
    for name, value in plain.items():
        if name in step and step[name] != value:
            yield step | {name: value}
