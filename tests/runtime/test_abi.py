"""The C interface: right results, and a code and a sentence for each wrong call."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from dydca.runtime.library import Library, Spec, Tensor, Tensors
from tests.runtime.native import BYTES, NATIVE, SHAPES, Array, library, patch

ARGUMENT, UNKNOWN_PATCH, ROOM, OVERLAP, MEMORY, THREAD, TYPE, PLAN = range(1, 9)
EXPORTS = {
    *("dydca_abi_version", "dydca_manifest", "dydca_input_count", "dydca_output_count", "dydca_create"),
    *("dydca_destroy", "dydca_output_shapes", "dydca_run", "dydca_run_many", "dydca_last_error"),
}


class Net:
    """One net of the fixture, called as C would."""

    def __init__(self, threads: int, *flags: str) -> None:
        self.library = Library(library(*flags))
        self.handle = self.library.create(threads)

    def run(self, inputs: object, outputs: object) -> int:
        return int(self.library.run(self.handle, inputs, outputs))

    def sentence(self) -> str:
        return self.library.last_error(self.handle)

    def close(self) -> None:
        self.library.destroy(self.handle)
        self.library.close()


@pytest.fixture(params=[1, 2, 4])
def native(request: pytest.FixtureRequest) -> Iterator[Net]:
    made = Net(request.param)
    yield made
    made.close()


def at(address: int, shape: tuple[int, ...], type_: str = "float32") -> Tensors:
    tensors = (Tensor * 1)()
    tensors[0].data = address
    tensors[0].describe(Spec(type_, shape))
    return tensors


def over(array: Array) -> Tensors:
    return at(array.ctypes.data, array.shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_results(native: Net, shape: tuple[int, ...]) -> None:
    x = patch(shape)
    y = np.zeros_like(x)
    for _ in range(50):
        y[:] = 0
        assert native.run(over(x), over(y)) == 0
        assert np.array_equal(y, 2 * x + 1)


def test_data_aligned_to_four_bytes_is_enough(native: Net) -> None:
    x, y = patch((97,)), np.zeros(97, np.float32)
    inner = SHAPES[0]
    assert native.run(at(x.ctypes.data + 4, inner), at(y.ctypes.data + 4, inner)) == 0
    assert np.array_equal(y[1:], 2 * x[1:] + 1)
    assert y[0] == 0


def test_output_shapes(native: Net) -> None:
    for shape in SHAPES:
        assert native.library.outputs_for([Spec("float32", shape)]) == (Spec("float32", shape),)


def test_output_shapes_leaves_the_address_alone(native: Net) -> None:
    outputs = (Tensor * 1)()
    outputs[0].data = 4096
    assert native.library._library.dydca_output_shapes(over(patch(SHAPES[0])), outputs) == 0
    assert (outputs[0].data, outputs[0].bytes) == (4096, 1 * 3 * 4 * 8 * 4)


def test_where_values_decide_the_shape(native: Net) -> None:
    del native
    net = Net(2, "-DFIXTURE_VARIES")
    for shape in SHAPES:
        x, y = np.abs(patch(shape)), np.zeros(shape, np.float32)
        outputs = over(y)
        for sign in (-1, 1, -1):
            assert net.run(over(sign * x), outputs) == 0
            made = outputs[0].get_shape()
            assert made == (shape if sign == 1 else shape[-1:])
            assert np.array_equal(y.reshape(-1)[: np.prod(made)], (2 * sign * x + 1).reshape(-1)[: np.prod(made)])
        assert net.library.outputs_for([Spec("float32", shape)]) == (Spec("float32", shape),)
    net.close()


def test_a_plan_that_contradicts_its_table() -> None:
    net = Net(2, "-DFIXTURE_BROKEN")
    good = np.abs(patch(SHAPES[0])) + 1
    bad, y, z = -good, np.zeros_like(good), np.zeros_like(good)
    assert net.run(over(bad), over(y)) == PLAN
    assert "please report" in net.sentence()
    assert net.library.run_many(net.handle, [(over(good), over(y)), (over(bad), over(z))]) == PLAN
    assert net.run(over(good), over(y)) == 0
    net.close()


def test_bytes() -> None:
    net = Net(2, *BYTES)
    x = np.arange(3 * 5 * 7 + 1, dtype=np.uint8)
    y = np.zeros_like(x)
    shape = SHAPES[2]
    assert net.run(at(x.ctypes.data + 1, shape, "uint8"), at(y.ctypes.data + 1, shape, "uint8")) == 0
    assert np.array_equal(y[1:], 2 * x[1:] + 1)
    assert net.run(at(x.ctypes.data, shape), at(y.ctypes.data, shape, "uint8")) == TYPE
    assert net.sentence() == "input 0 has float32, wanted uint8"
    net.close()


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ("null inputs", ARGUMENT, "inputs is a null pointer"),
        ("null outputs", ARGUMENT, "outputs is a null pointer"),
        ("null input data", ARGUMENT, "input 0 has null data, wanted it aligned to 4 bytes"),
        ("null output data", ARGUMENT, "output 0 has null data, wanted it aligned to 4 bytes"),
        ("input rank -1", ARGUMENT, "input 0 has rank -1, wanted 0..6"),
        ("input rank 7", ARGUMENT, "input 0 has rank 7, wanted 0..6"),
        ("input off by 2", ARGUMENT, "input 0 has data that is not aligned to 4 bytes"),
        ("output off by 2", ARGUMENT, "output 0 has data that is not aligned to 4 bytes"),
        ("input rank 3", UNKNOWN_PATCH, "no plan for inputs (1, 3, 4); declared: (1, 3, 4, 8), (1, 3, 32, 64), "),
        ("input shape", UNKNOWN_PATCH, "no plan for inputs (1, 3, 4, -9); declared: (1, 3, 4, 8), (1, 3, 32, 64), "),
        ("input type", TYPE, "input 0 has uint8, wanted float32"),
        ("output type", TYPE, "output 0 has no type, wanted float32"),
        ("input bytes", ROOM, "input 0 has 383 bytes, wanted 384 for (1, 3, 4, 8)"),
        ("output bytes", ROOM, "output 0 has -1 bytes, wanted 384 for (1, 3, 4, 8)"),
        (
            "more than all bytes",
            ROOM,
            "output 0 has 9223372036854775807 bytes, more than follow its address; wanted 384",
        ),
        ("output on input", OVERLAP, "output 0 overlaps an input or another output"),
    ],
)
def test_wrong_calls(native: Net, change: str, code: int, words: str) -> None:
    x, y = patch(SHAPES[0]), np.zeros(SHAPES[0], np.float32)
    inputs: Tensors | None = over(x)
    outputs: Tensors | None = over(y)
    assert inputs is not None
    assert outputs is not None
    before = x.copy()
    match change:
        case "null inputs":
            inputs = None
        case "null outputs":
            outputs = None
        case "null input data":
            inputs[0].data = None
        case "null output data":
            outputs[0].data = None
        case "input rank -1":
            inputs[0].rank = -1
        case "input rank 7":
            inputs[0].rank = 7
        case "input off by 2":
            inputs[0].data += 2
        case "output off by 2":
            outputs[0].data += 2
        case "input rank 3":
            inputs[0].rank = 3
        case "input shape":
            inputs[0].shape[3] = -9
        case "input type":
            inputs[0].type = 2
        case "output type":
            outputs[0].type = -1
        case "input bytes":
            inputs[0].bytes -= 1
        case "output bytes":
            outputs[0].bytes = -1
        case "more than all bytes":
            outputs[0].data, outputs[0].bytes = -4 & (1 << 64) - 1, (1 << 63) - 1
        case "output on input":
            outputs[0].data = x.ctypes.data + x.nbytes - 4
    assert native.run(inputs, outputs) == code
    assert words in native.sentence()
    assert np.array_equal(x, before)
    assert not y.any()
    assert native.run(over(x), over(y)) == 0


def test_calls_without_a_net(native: Net) -> None:
    x, y = over(patch(SHAPES[0])), over(patch(SHAPES[0]))
    assert native.library.run(None, x, y) == ARGUMENT
    assert "null pointer" in native.library.last_error(None)
    c = native.library._library
    assert c.dydca_run_many(None, None, 0) == ARGUMENT
    assert c.dydca_create(1, None) == ARGUMENT
    assert c.dydca_output_shapes(x, None) == ARGUMENT
    assert c.dydca_output_shapes(None, y) == ARGUMENT
    c.dydca_destroy(None)
    for threads in (-1, 0, 65):
        handle = ctypes.c_void_p(1)
        assert c.dydca_create(threads, ctypes.byref(handle)) == ARGUMENT
        assert handle.value is None


def test_wrong_jobs(native: Net) -> None:
    x, y, z = patch(SHAPES[0]), np.zeros(SHAPES[0], np.float32), np.zeros(SHAPES[0], np.float32)
    many = native.library._library.dydca_run_many
    assert many(native.handle, None, 0) == 0
    assert many(native.handle, None, 1) == ARGUMENT
    assert many(native.handle, None, -1) == ARGUMENT
    run = native.library.run_many
    assert run(native.handle, [(over(x), over(y)), (over(x), at(0, SHAPES[0]))]) == ARGUMENT
    assert native.sentence() == "output 0 has null data, wanted it aligned to 4 bytes; job 1"
    assert run(native.handle, [(over(x), over(y)), (over(x), over(y))]) == OVERLAP
    assert run(native.handle, [(over(x), over(y)), (over(y), over(z))]) == OVERLAP
    assert native.sentence() == "output 0 overlaps an input or another output; job 0"
    assert not y.any()
    assert run(native.handle, [(over(x), over(y)), (over(x), over(z))]) == 0
    assert np.array_equal(y, z)


@pytest.mark.parametrize("bytes_", ["1ul << 62", "~0ul", "~0ul - 63", "1ul << 58"])
def test_an_arena_that_is_not_to_be_had(bytes_: str) -> None:
    loaded = Library(library(f"-DFIXTURE_ARENA(floats)=(0*(floats)+({bytes_}))"))
    for threads in (1, 64):
        handle = ctypes.c_void_p(1)
        assert loaded._library.dydca_create(threads, ctypes.byref(handle)) == MEMORY
        assert handle.value is None
        assert "memory" in loaded.last_error(None)
    loaded.close()


def test_exports_are_the_interface() -> None:
    listing = subprocess.run(["nm", "-D", "--defined-only", library()], capture_output=True, text=True, check=True)
    assert {line.split()[-1] for line in listing.stdout.splitlines()} == EXPORTS


def test_no_system_header() -> None:
    for source in [*NATIVE.glob("*.c"), *NATIVE.glob("*.h")]:
        assert "#include <" not in source.read_text("utf-8")


def test_the_header_is_cpp_too() -> None:
    command = ["gcc", "-xc++", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", str(NATIVE / "dydca.h")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cc1plus" in result.stderr:
        pytest.skip("no C++ compiler")
    assert result.returncode == 0 or "pragma once in main file" in result.stderr, result.stderr
