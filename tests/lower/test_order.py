"""The order of steps: the best there is on small graphs, never worse than what was given, always one that can run."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from dydca.lower.calls import Branch, Call, Calls, Finish, Step, Value
from dydca.lower.kernels.layer import Layer
from dydca.lower.kernels.move import Move
from dydca.lower.layout import PLAIN
from dydca.lower.memory import place
from dydca.lower.order import order_steps

KERNEL = Move(Layer(PLAIN, (1, 1, 1, 1), PLAIN, (1, 1, 1, 1)), 4)

SIZES = 16, 1600, 800, 16, 16

Described = list[tuple[int, list[int]]]
"""By call, the floats it writes, and how many calls ago what it reads was written."""

graphs = st.lists(st.tuples(st.integers(1, 200), st.lists(st.integers(1, 4), max_size=2)), min_size=1, max_size=7)


def calls_of(described: Described) -> list[Call]:
    values = [Value(f"v{number}", (16 * floats,)) for number, (floats, _) in enumerate(described)]
    reads = [
        [values[number - back] for back in dict.fromkeys(backs) if back <= number]
        for number, (_, backs) in enumerate(described)
    ]
    return [Call(KERNEL, list(read), [value]) for read, value in zip(reads, values, strict=True)]


def program(steps: list[Step]) -> Calls:
    return Calls("p", (), (), steps)


def peak(steps: list[Step]) -> int:
    return place(program(steps)).lower_bound


def can_run(order: tuple[Call, ...] | list[Step]) -> bool:
    written: set[Value] = set()
    for call in order:
        assert isinstance(call, Call)
        if any(value not in written for value in call.reads):
            return False
        written |= set(call.writes)
    return True


@settings(deadline=None, max_examples=60)
@given(graphs)
def test_no_order_needs_less(described: Described) -> None:
    calls = calls_of(described)
    least = min(peak([*order, Finish(0)]) for order in permutations(calls) if can_run(order))
    ordered = program([*calls, Finish(0)])
    order_steps(ordered)
    assert peak(ordered.steps) == least
    assert can_run(ordered.steps[:-1])
    assert set(ordered.steps[:-1]) == set(calls)


def test_a_wide_value_is_written_after_another_one_has_gone() -> None:
    source, wide, passing, rest, end = (Value(name, (size,)) for name, size in zip("swpre", SIZES, strict=True))
    first, widen = Call(KERNEL, [], [source]), Call(KERNEL, [source], [wide])
    begin, reduce = Call(KERNEL, [source], [passing]), Call(KERNEL, [passing], [rest])
    ordered = program([first, widen, begin, reduce, Call(KERNEL, [wide, rest], [end]), Finish(0)])
    order_steps(ordered)
    assert ordered.steps[1:4] == [begin, reduce, widen]
    assert ordered.steps[-1] == Finish(0)


def test_an_overwriter_stays_behind_all_readers_though_less_would_be_needed_before_them() -> None:
    kept, large, read = Value("kept", (160,)), Value("large", (1600,)), Value("read", (160,))
    look, overwrite = Call(KERNEL, [kept], [read]), Call(KERNEL, [kept, large], [kept])
    last = Call(KERNEL, [kept, read], [])
    ordered = program([Call(KERNEL, [], [kept]), Call(KERNEL, [], [large]), look, overwrite, last, Finish(0)])
    order_steps(ordered)
    assert ordered.steps.index(look) < ordered.steps.index(overwrite) < ordered.steps.index(last)


def test_arms_overlap_and_know_what_is_alive_around_them() -> None:
    sizes = 16, 160, 1600, 1600
    predicate, shared, large, other = (Value(name, (size,)) for name, size in zip("psab", sizes, strict=True))
    before: list[Step] = [Call(KERNEL, [], [predicate]), Call(KERNEL, [], [shared])]
    one: list[Step] = [Call(KERNEL, [], [large]), Call(KERNEL, [large], []), Finish(0)]
    two: list[Step] = [Call(KERNEL, [shared], [other]), Call(KERNEL, [other], []), Finish(0)]
    arena = place(program([*before, Branch(predicate, [one, two])]))
    assert arena.bytes == arena.lower_bound
    assert arena.bytes < large.bytes + other.bytes
    assert arena.bytes == max(large.bytes, shared.bytes + other.bytes)
