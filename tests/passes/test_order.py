"""The order of passes: what a list must keep to, and where the passes of packages find their place."""

from __future__ import annotations

from pathlib import Path

import pytest

import dydca.passes
from dydca.errors import PassError
from dydca.passes import PIPELINE, DropIdentity, FoldConstants, Pass, default_passes
from dydca.passes.running.order import check_order, sorted_in


def named(word: str, *, after: tuple[str, ...] = (), before: tuple[str, ...] = ()) -> Pass:
    made: Pass = type(word, (Pass,), {"name": word, "after": after, "before": before})()
    return made


def names(passes: list[Pass]) -> str:
    return " ".join(pass_.name for pass_ in passes)


def test_one_file_one_pass() -> None:
    files = {path.stem for path in (Path(__file__).parents[2] / "passes").glob("*.py")}
    exported = [getattr(dydca.passes, name) for name in dydca.passes.__all__]
    own = [thing for thing in exported if isinstance(thing, type) and issubclass(thing, Pass) and thing is not Pass]
    assert {pass_.name for pass_ in own} == files - {"__init__", "base", "pipeline"}
    assert all(pass_.__doc__ for pass_ in own)


def test_the_default_order_is_possible() -> None:
    check_order(default_passes())
    assert [type(pass_) for pass_ in default_passes()] == list(PIPELINE)


def test_every_unmet_pair_is_listed() -> None:
    late = named("late", after=("fold_constants", "specialize_shapes", "never"), before=("drop_identity", "late"))
    with pytest.raises(PassError) as caught:
        check_order([late, FoldConstants(), DropIdentity()])
    assert caught.value.code == "DYD301"
    assert caught.value.want == [
        "late after fold_constants",
        "late after specialize_shapes (absent)",
        "late after never (absent)",
        "late before late",
        "drop_identity after merge_reshape (absent)",
    ]


PIPE = "a b c a d"


@pytest.mark.parametrize(
    ("others", "order"),
    [
        ([named("x")], "a b c a d x"),
        ([named("x", before=("a",))], "a b c x a d"),
        ([named("x", after=("a",), before=("b",))], "a x b c a d"),
        ([named("x", before=("y",)), named("y", after=("c",), before=("d",))], "a b c a x y d"),
        ([named("x", after=("y",)), named("y", before=("b",))], "a y b c a d x"),
        ([named("y", before=("b",)), named("x", before=("b",))], "a y x b c a d"),
    ],
)
def test_a_pass_comes_as_late_as_it_may(others: list[Pass], order: str) -> None:
    found = sorted_in([named(word) for word in PIPE.split()], others)
    assert names(found) == order
    check_order(found)


@pytest.mark.parametrize(
    ("others", "code", "got"),
    [
        ([named("x", after=("d",), before=("b",))], "DYD304", {"x", "b", "c", "a", "d"}),
        ([named("x", after=("y",)), named("y", after=("x",))], "DYD304", {"x", "y"}),
        ([named("x"), named("x")], "DYD304", {"x"}),
        ([named("b")], "DYD304", {"b"}),
        ([named("x", after=("b", "z"), before=("w",))], "DYD301", {"z", "w"}),
    ],
)
def test_contradictions_are_refused(others: list[Pass], code: str, got: set[str]) -> None:
    with pytest.raises(PassError) as caught:
        sorted_in([named(word) for word in PIPE.split()], others)
    assert caught.value.code == code
    told = caught.value.got
    assert set(told.split(" before ") if isinstance(told, str) else told) == got  # type: ignore[call-overload]
