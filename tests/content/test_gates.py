"""A learned gate: the switch is in the native code, and takes the route that eager takes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from dydca.content.movie.networks import NetworkPlan
from dydca.content.movie.weights import compile_weights, fill, save_weights
from dydca.errors import ContentError
from dydca.models.dydca_wdsr import GatedWDSR
from dydca.runtime.network import Network

PLAN = NetworkPlan("learned", 2, (20, 24))


def weights() -> bytes:
    """Of a gate whose border lies between dark and light patches."""
    torch.manual_seed(0)
    model = PLAN.build()
    assert isinstance(model, GatedWDSR)
    with torch.no_grad():
        dark, light = (model.score(torch.full((1, 3, *PLAN.patch), level)).item() for level in (0.2, 0.8))
        model.decide.bias.sub_((dark + light) / 2)
    return save_weights(model)


@pytest.fixture(scope="module")
def network() -> Network:
    return compile_weights(PLAN, weights(), "host", threads=1)


def test_each_patch_goes_the_way_eager_sends_it(network: Network) -> None:
    model = fill(PLAN.build(), weights(), "test")
    assert isinstance(model, GatedWDSR)
    patches = [np.full((1, 3, *PLAN.patch), level, np.float32) for level in (0.1, 0.2, 0.8, 0.9)]
    patches += [np.clip(patch + np.random.default_rng(0).normal(0, 0.05, patch.shape), 0, 1) for patch in patches]
    patches = [patch.astype(np.float32) for patch in patches]
    routes = set()
    for patch, ours in zip(patches, network.run_many(patches), strict=True):
        x = torch.from_numpy(patch)
        with torch.no_grad():
            routes.add(bool(model.score(x) > 0))
            wanted = model(x.clone()).numpy()
        assert isinstance(ours, np.ndarray)
        assert np.abs(ours - wanted).max() <= 1e-4 * np.abs(wanted).max()
    assert routes == {True, False}


def test_the_switch_is_a_route_of_the_library(network: Network) -> None:
    manifest = json.loads(json.dumps(network.manifest))
    assert len(manifest["routes"]) == 2
    assert [patch["route"] for patch in manifest["patches"]] == ["route0 or route1"]


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ContentError) as caught:
        fill(NetworkPlan("none", 2, (20, 24)).build(), weights(), "here")
    assert caught.value.code == "DYD810"
    with pytest.raises(ContentError) as caught:
        fill(PLAN.build(), b"no weights", "here")
    assert caught.value.code == "DYD810"
