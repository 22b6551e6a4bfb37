"""Costs are those of the analysis, and budgets are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import dydca
from dydca.content.movie.networks import Gate, NetworkPlan
from dydca.content.training.budget import Costs, frame_gmacs, hard_share, threshold_for, widest
from dydca.content.training.chunk import decide
from dydca.content.training.settings import Settings
from dydca.errors import ContentError

PATCH = (120, 92)


def test_costs_are_those_of_the_analysis() -> None:
    plan = NetworkPlan("shape", 2, (20, 24))
    analysis = dydca.explain(plan.build(), plan.patch_shapes)
    costs = {patch.label: patch.macs or 0 for route in analysis.routes for patch in route.patches}
    assert Costs.of(plan) == Costs(easy=costs["20x24"], hard=4 * costs["10x12"])


def test_the_paper_s_patches() -> None:
    costs = Costs.of(NetworkPlan("shape", 2, (108, 96)))
    assert costs.easy == pytest.approx(0.8185e9, rel=1e-4)
    assert costs.hard == pytest.approx(4 * 0.3957e9, rel=1e-4)


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 30)), elements=st.floats(20, 50, width=32)),
    st.floats(0, 1),
)
def test_a_budget_is_kept_and_used(scores: np.ndarray[tuple[int, int], np.dtype[np.float32]], part: float) -> None:
    plan = NetworkPlan("shape", 2, (20, 24))
    costs, coarse = Costs.of(plan), scores.shape[1]
    budget = costs.of_frames(coarse, part * coarse)
    decision = decide(plan, Settings(budget=budget), scores)
    assert frame_gmacs(decision.plan, decision.hard) <= budget * (1 + 1e-9)
    # One more patch would be too many, unless several have the same score.
    at_the_border = int((scores == decision.threshold).sum())
    more = decision.hard.sum() + max(1, at_the_border)
    assert costs.of_frames(coarse, more / len(scores)) > budget * (1 - 1e-9) or decision.hard.all()


def test_the_hardest_patches_are_taken() -> None:
    scores = np.array([[30, 42, 35, 38]], np.float32)
    assert threshold_for(scores, 0.5) == 38
    assert threshold_for(scores, 0.0) == 30
    assert threshold_for(scores, 1.0) == np.inf
    plan = NetworkPlan("shape", 2, (20, 24))
    assert decide(plan, Settings(psnr_threshold=36), scores).hard.tolist() == [[True, False, True, False]]


@pytest.mark.parametrize("budget", [0.001, 1000.0])
def test_budgets_out_of_reach_are_refused(budget: float) -> None:
    with pytest.raises(ContentError) as caught:
        hard_share(Costs.of(NetworkPlan("shape", 2, PATCH)), 21, budget)
    assert caught.value.code == "DYD808"


def test_one_route_gets_the_width_that_costs_the_same() -> None:
    scores = np.linspace(30, 45, 2 * 21, dtype=np.float32).reshape(2, 21)
    given_budget = decide(NetworkPlan("none", 2, PATCH), Settings(budget=25.0), scores)
    by_threshold = decide(NetworkPlan("none", 2, PATCH), Settings(psnr_threshold=37.5), scores)
    wanted = frame_gmacs(NetworkPlan("shape", 2, PATCH), scores < 37.5)
    for decision, budget in ((given_budget, 25.0), (by_threshold, wanted)):
        cost = frame_gmacs(decision.plan, decision.hard)
        wider = NetworkPlan("none", 2, PATCH, decision.plan.channels + 2)
        assert cost <= budget < frame_gmacs(wider, decision.hard)
    with pytest.raises(ContentError) as caught:
        widest(2, PATCH, 21, 0.01)
    assert caught.value.code == "DYD808"


@pytest.mark.parametrize("gate", ["shape", "learned"])
def test_the_gate_itself_costs_something(gate: Gate) -> None:
    costs = Costs.of(NetworkPlan(gate, 2, PATCH))
    assert costs.easy < costs.hard < 3 * costs.easy
    assert (costs.easy > Costs.of(NetworkPlan("shape", 2, PATCH)).easy) == (gate == "learned")
