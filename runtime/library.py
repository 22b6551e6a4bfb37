"""The C interface of a compiled network (``native/dydca.h``) by ctypes."""

from __future__ import annotations

import _ctypes
import ctypes
import json
import os
import tempfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

from dydca.errors import FileError, RunError, UnknownPatchError

ABI_VERSION = 2
MAX_RANK = 6
MAX_THREADS = 64
TYPES = {1: "float32", 2: "uint8", 3: "int32", 4: "int64", 5: "bool"}
"""numpy's and torch's names of the element types, by their numbers in C."""

UNKNOWN_PATCH = 2

_NUMBERS = {name: number for number, name in TYPES.items()}
_BYTES = {"float32": 4, "uint8": 1, "int32": 4, "int64": 8, "bool": 1}

Shape = tuple[int, ...]


class Spec(NamedTuple):
    """What a tensor is: its element type, a value of `TYPES`, and its shape, of at most `MAX_RANK` sizes."""

    type: str
    shape: Shape


class Tensor(ctypes.Structure):
    """``dydca_tensor``: memory and what stands in it, contiguous."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_longlong),
        ("type", ctypes.c_int),
        ("rank", ctypes.c_int),
        ("shape", ctypes.c_longlong * MAX_RANK),
    )

    def describe(self, spec: Spec) -> None:
        """Write all but the address."""
        self.type, self.rank, self.bytes = _NUMBERS[spec.type], len(spec.shape), prod(spec.shape) * _BYTES[spec.type]
        self.shape[: len(spec.shape)] = spec.shape

    def get_shape(self) -> Shape:
        """The shape as a tuple."""
        return tuple(self.shape[: self.rank])


Tensors = ctypes.Array[Tensor]


def describe(specs: Sequence[Spec]) -> Tensors:
    """An array of tensors without addresses."""
    tensors = (Tensor * len(specs))()
    for tensor, spec in zip(tensors, specs, strict=True):
        tensor.describe(spec)
    return tensors


class Job(ctypes.Structure):
    """``dydca_job``: the inputs and outputs of one patch."""

    _fields_ = (("inputs", ctypes.c_void_p), ("outputs", ctypes.c_void_p))


_PROTOTYPES = {
    "dydca_abi_version": (ctypes.c_int, ()),
    "dydca_manifest": (ctypes.c_char_p, ()),
    "dydca_input_count": (ctypes.c_int, ()),
    "dydca_output_count": (ctypes.c_int, ()),
    "dydca_create": (ctypes.c_int, (ctypes.c_int, ctypes.POINTER(ctypes.c_void_p))),
    "dydca_destroy": (None, (ctypes.c_void_p,)),
    "dydca_output_shapes": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p)),
    "dydca_run": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)),
    "dydca_run_many": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)),
    "dydca_last_error": (ctypes.c_char_p, (ctypes.c_void_p,)),
}


class Library:
    """One loaded network library; one handle of the dynamic loader, released by `close`.

    Attributes:
        inputs: How many inputs the network has.
        outputs: How many outputs it has.
        run: ``dydca_run(net, inputs, outputs)``, called by address for the least overhead.

    Raises:
        FileError: DYD702, `path` is no library of dydca; DYD704, its interface has another version.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._library = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            raise FileError("DYD702", "the network's library cannot be loaded", where=str(path), got=error) from error
        try:
            self._bind(path)
        except BaseException:
            self.close()
            raise

    def _bind(self, path: Path) -> None:
        for name, (result, arguments) in _PROTOTYPES.items():
            try:
                function = getattr(self._library, name)
            except AttributeError as error:
                raise FileError("DYD702", "not a library of dydca", where=str(path), got=f"no symbol {name}") from error
            function.restype, function.argtypes = result, arguments
            if name == "dydca_abi_version" and (version := function()) != ABI_VERSION:
                what = "the library's interface has another version"
                raise FileError("DYD704", what, where=str(path), got=version, want=ABI_VERSION)
        self.run = self._library.dydca_run
        self.inputs: int = self._library.dydca_input_count()
        self.outputs: int = self._library.dydca_output_count()

    @property
    def manifest(self) -> object:
        """What the compiler put into the library.

        Raises:
            FileError: DYD702, it is no JSON.
        """
        try:
            return json.loads(self._library.dydca_manifest())
        except ValueError as error:
            raise FileError("DYD702", "the library's manifest is no JSON", got=error) from error

    def create(self, threads: int) -> ctypes.c_void_p:
        """A net with its threads and memory.

        Raises:
            RunError: DYD605, the memory or the threads are not to be had.
        """
        net = ctypes.c_void_p()
        if self._library.dydca_create(threads, ctypes.byref(net)):
            raise RunError("DYD605", f"no net with {threads} threads", got=self.last_error(None))
        return net

    def destroy(self, net: ctypes.c_void_p) -> None:
        """Release a net; no call on it may be under way."""
        self._library.dydca_destroy(net)

    def outputs_for(self, inputs: Sequence[Spec]) -> tuple[Spec, ...]:
        """The outputs for such inputs, where values decide a shape the largest that can come.

        Raises:
            UnknownPatchError: DYD601, no plan for them.
            RunError: DYD605, another refusal.
        """
        outputs = (Tensor * self.outputs)()
        code = self._library.dydca_output_shapes(describe(inputs), outputs)
        if code:
            kind = (UnknownPatchError, "DYD601") if code == UNKNOWN_PATCH else (RunError, "DYD605")
            raise kind[0](kind[1], self.last_error(None), got=inputs)
        return tuple(Spec(TYPES[output.type], output.get_shape()) for output in outputs)

    def run_many(self, net: ctypes.c_void_p, jobs: Sequence[tuple[Tensors, Tensors]]) -> int:
        """Run jobs, each a pair of `Tensor` arrays; returns the code of ``dydca_run_many``."""
        pairs = [Job(ctypes.addressof(inputs), ctypes.addressof(outputs)) for inputs, outputs in jobs]
        return int(self._library.dydca_run_many(net, (Job * len(jobs))(*pairs), len(jobs)))

    def last_error(self, net: ctypes.c_void_p | None) -> str:
        """The sentence for this thread's last failing call."""
        return (self._library.dydca_last_error(net) or b"").decode(errors="replace")

    def close(self) -> None:
        """Give the handle back to the dynamic loader; nothing of the library may be used afterwards."""
        _ctypes.dlclose(self._library._handle)


def load_library(code: bytes) -> Library:
    """Load a library from its bytes, through a private temporary file that is gone on return.

    Raises:
        FileError: DYD705, the temporary folder cannot be written; else as `Library`.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix="dydca-", suffix=".so")
    except OSError as error:
        where = tempfile.gettempdir()
        raise FileError("DYD705", "no temporary file for the library", where=where, got=error) from error
    try:
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(code)
        except OSError as error:
            raise FileError("DYD705", "the library cannot be written", where=name, got=error) from error
        return Library(Path(name))
    finally:
        Path(name).unlink(missing_ok=True)
