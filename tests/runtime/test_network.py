"""The network as a Python callable."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dydca.errors import DydcaError, FileError, RunError, UnknownPatchError
from dydca.runtime import Network
from dydca.runtime.tensors import NumpyKind
from tests.runtime.native import BYTES, SHAPES, Array, manifest, members, network, patch

SMALL = SHAPES[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_numpy_in_numpy_out(net: Network, shape: tuple[int, ...]) -> None:
    x = patch(shape)
    y = net(x)
    assert type(y) is np.ndarray
    assert np.array_equal(y, 2 * x + 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_torch_in_torch_out(net: Network, shape: tuple[int, ...]) -> None:
    x = torch.from_numpy(patch(shape))
    y = net(x)
    assert type(y) is torch.Tensor
    assert torch.equal(y, 2 * x + 1)


def misaligned_numpy() -> np.ndarray:
    raw = np.zeros(patch(SMALL).nbytes + 2, np.uint8)
    view = raw[2:].view(np.float32).reshape(SMALL)
    view[:] = patch(SMALL)
    assert not view.flags.aligned
    return view


def misaligned_torch() -> torch.Tensor:
    values = torch.from_numpy(patch(SMALL))
    raw = bytearray(2) + bytearray(values.numpy().tobytes())
    return torch.frombuffer(raw, dtype=torch.float32, offset=2).reshape(SMALL)


@pytest.mark.parametrize(
    "make",
    [
        lambda: patch((1, 3, 8, 4)).swapaxes(2, 3),
        lambda: patch((1, 3, 4, 16))[..., ::2],
        lambda: patch(SMALL)[:, ::-1],
        lambda: np.broadcast_to(np.float32(3), SMALL),
        lambda: np.asfortranarray(patch(SMALL)),
        misaligned_numpy,
        lambda: torch.from_numpy(patch(SMALL)).to(memory_format=torch.channels_last),
        lambda: torch.from_numpy(patch((1, 3, 4, 9)))[..., 1:],
        lambda: torch.from_numpy(patch(SMALL)).requires_grad_(),
        lambda: torch.nn.Parameter(torch.from_numpy(patch(SMALL))),
        lambda: torch.complex(torch.zeros(SMALL), torch.from_numpy(patch(SMALL))).conj().imag,
        lambda: torch._neg_view(torch.from_numpy(patch(SMALL))),
        misaligned_torch,
    ],
)
def test_awkward_inputs_are_read_right_and_left_alone(net: Network, make: Callable[[], np.ndarray]) -> None:
    x = make()
    before = np.array(x.detach().resolve_neg().numpy() if isinstance(x, torch.Tensor) else x)
    y = net(x)
    assert isinstance(y, torch.Tensor) == isinstance(x, torch.Tensor)
    assert np.array_equal(np.asarray(y), 2 * before + 1)
    assert not getattr(y, "requires_grad", False)
    assert np.array_equal(np.array(x.detach().resolve_neg().numpy() if isinstance(x, torch.Tensor) else x), before)


def test_an_output_is_new_memory_each_time(net: Network) -> None:
    first = net(patch(SMALL))
    kept = np.array(first)
    net(patch(SMALL, seed=1))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((np.zeros((1, 3, 50, 50), np.float32),), "DYD601"),
        ((torch.zeros(1, 3, 50, 50),), "DYD601"),
        ((np.zeros((1, 3, 0, 8), np.float32),), "DYD601"),
        ((np.zeros(SMALL),), "DYD602"),
        ((np.zeros(SMALL, ">f4"),), "DYD602"),
        ((torch.zeros(SMALL, dtype=torch.float64),), "DYD602"),
        ((torch.zeros(SMALL, dtype=torch.float16),), "DYD602"),
        ((np.zeros(SMALL[1:], np.float32),), "DYD603"),
        ((torch.zeros(1, 1, *SMALL),), "DYD603"),
        ((torch.zeros((1,) * 9),), "DYD603"),
        ((np.float32(3),), "DYD604"),
        ((None,), "DYD604"),
        (([[1.0]],), "DYD604"),
        ((), "DYD604"),
        ((np.zeros(SMALL, np.float32),) * 2, "DYD604"),
        ((torch.zeros(SMALL, device="meta"),), "DYD604"),
        ((torch.zeros(SMALL).to_sparse(),), "DYD604"),
    ],
)
def test_wrong_inputs(net: Network, arguments: tuple[object, ...], code: str) -> None:
    net(patch(SMALL))  # so that the shape is known already where it is right
    with pytest.raises(RunError) as caught:
        net(*arguments)
    assert caught.value.code == code
    assert np.array_equal(np.asarray(net(patch(SMALL))), 2 * patch(SMALL) + 1)


def test_an_undeclared_patch_lists_the_declared(net: Network) -> None:
    with pytest.raises(UnknownPatchError) as caught:
        net(np.zeros((1, 3, 50, 50), np.float32))
    for shape in (*SHAPES, (1, 3, 50, 50)):
        assert str(shape) in str(caught.value)


def test_several_inputs_and_outputs() -> None:
    a, b = patch(SMALL), patch(SMALL, seed=1)
    with network("-DFIXTURE_TWO") as net:
        both = net(a, b)
        assert isinstance(both, tuple)
        assert np.array_equal(both[0], 2 * a + 1)
        assert np.array_equal(both[1], a - b)
        mixed = net(torch.from_numpy(a), b)
        assert isinstance(mixed, tuple)
        assert isinstance(mixed[1], torch.Tensor)
        inputs: list[Array | tuple[Array, ...]] = [(a, b), (b, a)]
        many = net.run_many(inputs)
        assert np.array_equal(many[1][1], b - a)
        with pytest.raises(RunError, match="DYD604"):
            net(a)


@pytest.mark.parametrize("array", [np.asarray, torch.from_numpy])
def test_where_values_decide_the_shape(array: Callable[[Array], Array]) -> None:
    x = np.abs(patch(SHAPES[1])) + 1
    with network("-DFIXTURE_VARIES") as net:
        for _ in range(3):
            full, row = np.asarray(net(array(x))), np.asarray(net(array(-x)))
            assert np.array_equal(full, 2 * x + 1)
            assert np.array_equal(row, 1 - 2 * x[0, 0, 0])
        row, full = map(np.asarray, net.run_many([array(-x), array(x)]))
        assert np.array_equal(row, 1 - 2 * x[0, 0, 0])
        assert np.array_equal(full, 2 * x + 1)


@pytest.mark.parametrize("array", [np.asarray, torch.from_numpy])
def test_bytes_pass_without_a_copy(array: Callable[..., Array]) -> None:
    shape = SHAPES[2]
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with network(*BYTES) as net:
        y = np.asarray(net(array(x)))
        assert y.dtype == np.uint8
        assert np.array_equal(y, 2 * x + 1)
        assert NumpyKind().admit(x, "uint8")[0] is x
        with pytest.raises(RunError, match=r"DYD602: an input is not uint8\n  got  float32\n  want uint8"):
            net(array(x.astype(np.float32)))


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_run_many_keeps_the_order(threads: int) -> None:
    patches = [patch(SHAPES[i % 3], seed=i) for i in range(40)]
    with network(threads=threads) as net:
        assert net.threads == threads
        for _ in range(3):
            results = net.run_many(patches)
            assert len(results) == len(patches)
            assert all(np.array_equal(y, 2 * x + 1) for x, y in zip(patches, results, strict=True))
        assert net.run_many([]) == []
        (y,) = net.run_many([torch.ones(SMALL)])
        assert isinstance(y, torch.Tensor)
        assert torch.equal(y, torch.full(SMALL, 3.0))


def test_run_many_takes_the_longest_first() -> None:
    small, large, odd = SHAPES
    shapes = [odd, small, large, small, odd, large]
    with network("-DFIXTURE_TRACE", threads=1) as net:
        order = [np.asarray(y).flat[0] for y in net.run_many([patch(shape) for shape in shapes])]
    assert order == [2, 4, 0, 5, 3, 1]


def test_run_many_runs_nothing_if_one_is_wrong(net: Network) -> None:
    with pytest.raises(UnknownPatchError):
        net.run_many([patch(SMALL), patch((1, 3, 9, 9))])
    assert net.run_many([patch(SMALL)] * 2)


def test_many_python_threads_and_several_nets() -> None:
    wrong: list[object] = []

    def call(nets: list[tuple[Network, int]], seed: int) -> None:
        for i in range(300):
            net, factor = nets[i % 2]
            x = patch(SHAPES[(seed + i) % 3], seed=seed)
            y = np.asarray(net(x) if i % 5 else net.run_many([x, x])[1])
            if not np.array_equal(y, factor * x + 1):
                wrong.append((seed, i))

    with network(threads=3) as double, network("-DFIXTURE_FACTOR=5.0f", threads=1) as fivefold:
        nets = [(double, 2), (fivefold, 5)]
        threads = [threading.Thread(target=call, args=(nets, seed)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_after_close(net: Network) -> None:
    net(patch(SMALL))
    net.close()
    net.close()
    for call in (lambda: net(patch(SMALL)), lambda: net.run_many([patch(SMALL)])):
        with pytest.raises(RunError, match="DYD606"):
            call()
    assert net.report() == "the report"


def test_close_waits_for_calls() -> None:
    errors: list[str] = []

    def call(net: Network) -> None:
        x = patch(SHAPES[1])
        try:
            while True:
                assert np.array_equal(np.asarray(net(x)), 2 * x + 1)
        except DydcaError as error:
            errors.append(error.code)

    for _ in range(10):
        net = network("-DFIXTURE_WORK=50")
        threads = [threading.Thread(target=call, args=(net,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        net(patch(SMALL))
        net.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
    assert errors == ["DYD606"] * 40


def mapped() -> int:
    return sum("dydca-" in line and ".so" in line for line in Path("/proc/self/maps").read_text().splitlines())


def running() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_nothing_is_left_of_a_network() -> None:
    before = mapped(), running()
    for closing in (True, False):
        net = network(threads=4)
        net(patch(SMALL))
        assert mapped() > before[0]
        if closing:
            net.close()
        del net
        assert (mapped(), running()) == before
    for threads in (0, 65):
        with pytest.raises(RunError, match="DYD605"):
            network(threads=threads)
    with pytest.raises(FileError, match="DYD702"):
        Network(manifest(), dict.fromkeys(members(), b"no library"))
    with pytest.raises(FileError, match="DYD702: the network lacks a library"):
        Network(manifest(), {})
    with pytest.raises(FileError, match="manifest and library disagree"):
        Network(manifest() | {"threads": 3}, members())
    assert (mapped(), running()) == before


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_gets_threads_of_its_own(net: Network) -> None:
    x = patch(SHAPES[1])
    net(x)
    child = os.fork()
    if child == 0:
        is_right = np.array_equal(np.asarray(net(x)), 2 * x + 1)
        os._exit(0 if is_right and running() == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(np.asarray(net(x)), 2 * x + 1)


def test_no_reference_to_the_tensors_is_kept(net: Network) -> None:
    x = patch(SMALL)
    before = sys.getrefcount(x)
    y = net(x)
    assert sys.getrefcount(x) == before
    assert sys.getrefcount(y) == 2
