"""Random networks against PyTorch, and every fault that they have shown."""

from pathlib import Path

import pytest

from dydca.fuzz.compare import check
from dydca.fuzz.minimise import minimise, write_script
from dydca.fuzz.networks import RandomNetwork, Recipe, example, random_recipe
from dydca.fuzz.operators import Step
from dydca.fuzz.session import fuzz_compile


def one(step: Step, *shapes: tuple[int, ...]) -> Recipe:
    """A network of one step on its first input."""
    return Recipe((shapes,), (step | {"reads": list(range(len(shapes))), "key": 1},), (len(shapes),))


FOUND = {
    "alpha of a reversed difference": one({"op": "scale", "kind": "rsub", "by": 0.1}, (3, 4, 13, 9)),
    "alpha of a sum": one({"op": "join", "kind": "add alpha"}, (1, 4, 5, 7), (1, 4, 5, 7)),
}


@pytest.mark.parametrize("fault", FOUND)
def test_what_was_found_stays_mended(fault: str) -> None:
    outcome = check(FOUND[fault])
    assert outcome.kind == "equal", outcome.detail


def test_a_resize_to_no_whole_size_is_never_computed_wrongly() -> None:
    outcome = check(one({"op": "space", "kind": "down"}, (1, 3, 5, 9)))
    assert outcome.kind in ("equal", "refused"), outcome.detail


@pytest.mark.slow
def test_random_networks_compute_what_pytorch_computes(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz_compile(8, 1000, seconds=45) == 0, capsys.readouterr().err


def test_a_seed_gives_the_same_network_and_its_text_gives_it_back() -> None:
    for seed in range(20):
        recipe = random_recipe(seed)
        assert random_recipe(seed) == recipe == eval(recipe.text(), {"Recipe": Recipe})
        RandomNetwork(recipe)(*example(recipe, 0))


def test_a_fault_is_shrunk_to_what_shows_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def faulty(recipe: Recipe, _threads: int) -> object:
        kinds = [step.get("kind") for step in recipe.steps]
        return type("Faulty", (), {"signature": "bug" if "tanh" in kinds else "equal"})

    monkeypatch.setattr("dydca.fuzz.minimise.check", faulty)
    steps = [
        {"op": "activation", "reads": [n], "key": n, "kind": kind} for n, kind in enumerate(["relu", "tanh", "silu"])
    ]
    small = minimise(Recipe((((1, 3, 8, 8),), ((1, 3, 9, 9),)), tuple(steps), (3, 1)))
    assert [step["kind"] for step in small.steps] == ["tanh"]
    assert len(small.patches) == len(small.outputs) == 1
    write_script(small, tmp_path / "fault.py", 0, 1, "wrong values")
    compile((tmp_path / "fault.py").read_text(), "fault.py", "exec")
