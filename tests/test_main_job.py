"""The main job: a dynamic network, declared patches, native code with the same pixels."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import dydca
from dydca.models import DynamicWDSR
from dydca.runtime import Network

PATCHES = [(1, 3, 108, 96), (1, 3, 54, 48)]
TOLERANCE = 1e-4  # of the reference's largest value, the bound the project promises


@pytest.fixture(scope="module")
def model() -> DynamicWDSR:
    torch.manual_seed(0)
    return DynamicWDSR(scale=2)


@pytest.fixture(scope="module")
def network(model: DynamicWDSR) -> Network:
    return dydca.compile(model, PATCHES, threads=1)


def reference(model: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        result = model.eval()(x.clone())  # the network edits its input in place
    assert isinstance(result, Tensor)
    return result


def run(network: Network, x: Tensor) -> Tensor:
    result = network(x)
    assert isinstance(result, Tensor)
    return result


@pytest.mark.parametrize("patch", PATCHES)
def test_both_routes_compute_what_eager_computes(model: DynamicWDSR, network: Network, patch: tuple[int, ...]) -> None:
    x = torch.rand(patch)
    kept = x.clone()
    expected = reference(model, x)
    got = run(network, x)
    assert torch.equal(x, kept)
    assert (got - expected).abs().max() <= TOLERANCE * expected.abs().max()


def test_numpy_in_numpy_out_and_any_number_of_threads_give_the_same_bits(model: DynamicWDSR, network: Network) -> None:
    x = np.random.default_rng(0).random(PATCHES[0], np.float32)
    alone = network(x)
    assert isinstance(alone, np.ndarray)
    with dydca.compile(model, PATCHES[:1], threads=3) as shared:
        together = shared(x)
        assert isinstance(together, np.ndarray)
        assert np.array_equal(together, alone)


@pytest.mark.slow
def test_twenty_random_sizes_odd_ones_included(model: DynamicWDSR) -> None:
    generator = np.random.default_rng(7)
    sizes = {(int(h), int(w)) for h, w in generator.integers(3, 130, (20, 2))} | {(69, 71), (70, 33)}
    patches = [(1, 3, h, w) for h, w in sorted(sizes)]
    assert any(h % 2 and w % 2 for _, _, h, w in patches)
    with dydca.compile(model, patches, threads=2) as many:
        for patch in patches:
            x = torch.rand(patch)
            expected = reference(model, x)
            got = run(many, x)
            assert got.shape == expected.shape
            assert (got - expected).abs().max() <= TOLERANCE * expected.abs().max(), patch


def test_the_model_is_left_alone(model: DynamicWDSR) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    dydca.capture(model, PATCHES)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_compiles_in_twenty_seconds(model: DynamicWDSR) -> None:
    started = time.process_time()
    dydca.compile(model, PATCHES, threads=1).close()
    assert time.process_time() - started < 20


def test_saved_and_loaded_without_torch_and_tvm(network: Network, tmp_path: Path) -> None:
    network.save(tmp_path / "net.dydca")
    x = np.random.default_rng(1).random(PATCHES[1], np.float32)
    np.save(tmp_path / "x.npy", x)
    script = """
import json, sys, time
import numpy as np
import dydca
x = np.load("x.npy")
dydca.load  # the import is not the load
started = time.process_time()  # the machine may be busy
network = dydca.load("net.dydca", threads=1)
y = network(x)
elapsed = time.process_time() - started
np.save("y.npy", y)
print(json.dumps([elapsed, sorted({"torch", "tvm"} & set(sys.modules))]))
"""
    runs = []
    for _ in range(4):  # fresh processes; the machine may be busy with other tests
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout))
    assert all(heavy == [] for _, heavy in runs)
    assert min(elapsed for elapsed, _ in runs) < 0.05
    assert np.array_equal(np.load(tmp_path / "y.npy"), run(network, torch.from_numpy(x)).numpy())


def test_undeclared_patch_names_the_declared_ones(network: Network) -> None:
    with pytest.raises(dydca.DydcaError, match="DYD601") as refusal:
        network(torch.rand(1, 3, 64, 64))
    assert "108" in str(refusal.value)
    assert "54" in str(refusal.value)


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        (torch.rand(1, 3, 54, 48, dtype=torch.float64), "DYD602"),
        (torch.rand(3, 54, 48), "DYD603"),
        ("no tensor", "DYD604"),
    ],
)
def test_wrong_arguments_are_refused(network: Network, argument: object, code: str) -> None:
    with pytest.raises(dydca.DydcaError, match=code):
        network(argument)


def test_non_contiguous_and_misaligned_inputs_are_copied(network: Network) -> None:
    x = torch.rand(1, 3, 54, 48)
    turned = x.transpose(2, 3).contiguous().transpose(2, 3)
    shifted = torch.rand(x.numel() + 1)[1:].view(x.shape).copy_(x)
    assert not turned.is_contiguous()
    assert torch.equal(run(network, turned), run(network, x))
    assert torch.equal(run(network, shifted), run(network, x))


def test_bad_declarations_are_refused(model: DynamicWDSR) -> None:
    for patches in ([], [(1, 3, -4, 8)], [(1, 3, 8)], ["108x96"]):
        with pytest.raises(dydca.DydcaError, match=r"DYD201|DYD101|DYD202"):
            dydca.capture(model, patches)


def test_short_patches_take_the_channels_from_the_model(model: DynamicWDSR) -> None:
    program = dydca.capture(model, [(108, 96), (54, 48)])
    assert [route.patches for route in program.routes] == [[(PATCHES[0],)], [(PATCHES[1],)]]
