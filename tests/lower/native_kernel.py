"""Runs one convolution kernel without the rest of the pipeline, in buffers between pages that cannot be touched."""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dydca.lower.kernels.kernel import Kernel, Parameter
from dydca.lower.kernels.rows import ConvKernel
from dydca.lower.layout import Layout
from dydca.lower.linking.toolchain import find_compiler
from dydca.lower.targets import find_target
from dydca.lower.tvm_api import compile_object

Array = NDArray[np.float32]

HOST = find_target("host")
PAGE = mmap.PAGESIZE
UNTOUCHED = 0
"""PROT_NONE of mprotect(2)."""


class NativeConv:
    """A compiled convolution with buffers of its own; the parts of x, y and scratch that it must not use are NaN.

    Attributes:
        kernel: What runs.
        buffers: By parameter name, in the shapes of the parameters.
    """

    def __init__(self, kernel: ConvKernel, weight: Array, bias: Array, *, at_end: bool = True) -> None:
        self.kernel = kernel
        self._function = compile_kernels([kernel])[0]
        self.buffers = {name: guarded(parameter, at_end=at_end) for name, parameter in kernel.parameters().items()}
        self.buffers["w"][...] = kernel.pack_weights(weight)
        self.buffers["b"][...] = kernel.pack_channels(bias)
        self._pointers = pointers(self.buffers)

    def put(self, x: Array, operands: Sequence[Array]) -> None:
        """Lays out the picture and the epilogue's operands."""
        layer = self.kernel.layer
        lay(self.buffers["x"], x, layer.source, layer.padding)
        for number, (operand, values) in enumerate(zip(layer.operands, operands, strict=True)):
            lay(self.buffers[f"operand{number}"], values.reshape(operand.shape), operand.layout, (0, 0))

    def run(self, *cuts: int) -> Array:
        """Computes all of y, as [N, O, H, W], in calls of [0, cut), [cut, cut), ..., [cut, extent)."""
        self.buffers["y"].fill(np.nan)
        for begin, end in zip((0, *cuts), (*cuts, self.kernel.extent), strict=True):
            self(begin, end)
        return taken(self.buffers["y"], self.kernel.layer.stored_shape, self.kernel.layer.target)

    def __call__(self, begin: int, end: int) -> None:
        self._function(*self._pointers, begin, end)


def pointers(buffers: Mapping[str, Array]) -> list[ctypes.c_void_p]:
    """The buffers as arguments of a kernel."""
    return [ctypes.c_void_p(buffer.ctypes.data) for buffer in buffers.values()]


def compile_kernels(kernels: Sequence[Kernel]) -> list[ctypes._NamedFuncPointer]:
    """The functions of the kernels, in a library that stays loaded."""
    with tempfile.TemporaryDirectory(prefix="dydca-tests-") as name:
        folder = Path(name)
        functions = {f"kernel{number}": kernel.emit() for number, kernel in enumerate(kernels)}
        (folder / "kernels.o").write_bytes(compile_object(functions, HOST.llvm))
        subprocess.run([find_compiler(), "-shared", "-o", "kernels.so", "kernels.o", "-lm"], cwd=folder, check=True)
        library = ctypes.CDLL(str(folder / "kernels.so"))
    return [library[function] for function in functions]


def guarded(parameter: Parameter, *, at_end: bool = True) -> Array:
    """A buffer of NaN between two pages that cannot be touched, against the one behind it or the one before it."""
    shape, alignment = parameter
    size = parameter.floats * 4
    pages = -(-size // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for page in (start, start + (pages + 1) * PAGE):
        assert protect(ctypes.c_void_p(page), PAGE, UNTOUCHED) == 0
    offset = PAGE + (pages * PAGE - size) // alignment * alignment * at_end
    buffer = np.frombuffer(memory, np.float32, parameter.floats, offset).reshape(shape)
    buffer.fill(np.nan)
    return buffer


def lay(buffer: Array, picture: Array, layout: Layout, padding: tuple[int, int], *, filler: float = 0.0) -> None:
    """Writes [N, C, H, W] into a buffer, zeros into as much of the halo as the padding wants; NaN stays elsewhere."""
    n, c, h, w = picture.shape
    block, halo, *_ = layout
    whole = np.full((n, layout.blocks(c) * block, h, w), filler, np.float32)
    whole[:, :c] = picture
    view = buffer.reshape(n, -1, h + 2 * halo, w + 2 * halo, block)
    top, left = halo - padding[0], halo - padding[1]
    view[:, :, top : h + halo + padding[0], left : w + halo + padding[1]] = 0
    inside = whole.reshape(n, -1, block, h, w).transpose(0, 1, 3, 4, 2)
    view[:, :, halo : halo + h, halo : halo + w] = inside


def taken(buffer: Array, shape: tuple[int, ...], layout: Layout) -> Array:
    """The picture [N, C, H, W] in a buffer; its halo must still be NaN."""
    n, c, h, w = shape
    block, halo, *_ = layout
    view = buffer.reshape(n, -1, h + 2 * halo, w + 2 * halo, block).copy()
    inside = view[:, :, halo : halo + h, halo : halo + w]
    picture = inside.transpose(0, 1, 4, 2, 3).reshape(n, -1, h, w)[:, :c].copy()
    inside[...] = np.nan
    assert np.isnan(view).all(), "written outside the picture"
    return picture
