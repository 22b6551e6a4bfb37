"""The order in which passes run: the pipeline's own, with the passes of third parties sorted in."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from dydca.errors import PassError
from dydca.passes.base import Pass


def check_order(passes: Sequence[Pass]) -> None:
    """Checks that each pass comes after those it names, and before those it names.

    Raises:
        PassError: DYD301, listing every pair that is not met.
    """
    names = [pass_.name for pass_ in passes]
    unmet = [
        f"{pass_.name} {word} {wanted}" + ("" if wanted in names else " (absent)")
        for position, pass_ in enumerate(passes)
        for word, given, there in (
            ("after", pass_.after, names[:position]),
            ("before", pass_.before, names[position + 1 :]),
        )
        for wanted in given
        if wanted not in there
    ]
    if unmet:
        raise PassError("DYD301", "the order of the passes is not possible", got=names, want=list(dict.fromkeys(unmet)))


def sorted_in(pipeline: Sequence[Pass], others: Sequence[Pass]) -> list[Pass]:
    """The steps of `pipeline` in their order, and each of the others as late as its `after` and `before` allow.

    Of a pass that the pipeline runs more than once, the first run satisfies `after` and the last one `before`.

    Raises:
        PassError: DYD301 a pass is named that is not there, DYD304 the wishes contradict each other, or
            two passes have one name.
    """
    steps = [*pipeline, *others]
    runs: dict[str, list[Pass]] = {}
    for step in steps:
        runs.setdefault(step.name, []).append(step)
    waits: dict[Pass, set[Pass]] = {step: set() for step in steps}
    for earlier, later in pairwise(pipeline):
        waits[later].add(earlier)
    for other in others:
        if len(runs[other.name]) > 1:
            raise PassError("DYD304", "two passes have one name", got=other.name)
        if absent := [name for name in (*other.after, *other.before) if name not in runs]:
            raise PassError("DYD301", f"{other.name} names passes that are not there", got=absent, want=list(runs))
        waits[other].update(runs[name][0] for name in other.after)
        for name in other.before:
            waits[runs[name][-1]].add(other)
    return _sorted(steps, waits)


def _sorted(steps: list[Pass], waits: dict[Pass, set[Pass]]) -> list[Pass]:
    """Every step behind those it waits for; of several that could run, the first of `steps`."""
    sorter = TopologicalSorter(waits)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " before ".join(pass_.name for pass_ in error.args[1])
        raise PassError("DYD304", "the passes cannot be put in order", got=circle) from error
    ready: list[Pass] = []
    order: list[Pass] = []
    while sorter.is_active():
        ready += sorter.get_ready()
        step = min(ready, key=steps.index)
        ready.remove(step)
        order.append(step)
        sorter.done(step)
    return order
