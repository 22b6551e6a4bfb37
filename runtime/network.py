"""A compiled network as a Python callable: tensors in, tensors of the same library out."""

from __future__ import annotations

import ctypes
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from dydca.errors import FileError, RunError
from dydca.runtime import artifact
from dydca.runtime.call import Call, Patch
from dydca.runtime.declared import read_declaration
from dydca.runtime.library import MAX_THREADS, Library, Shape, Spec, load_library
from dydca.runtime.machine import runnable_triple
from dydca.runtime.package import Package
from dydca.runtime.structure import leaves, rebuild
from dydca.runtime.tensors import Kind, kind_of

T = TypeVar("T")


class Network(Package):
    """A native network with its threads and memory. Several Python threads may call it at once.

    Args:
        manifest: As of `Package`, and the same as the libraries' own.
        members: As of `Package`.
        threads: 1..64, the caller's own among them; by default what the manifest says, else one per processor this
            process may use.

    Raises:
        FileError: DYD702, the library or the manifest is damaged; DYD704, it is for another interface version or
            machine; DYD705, the temporary folder is not writable.
        RunError: DYD605, memory or threads are not to be had.
    """

    def __init__(
        self, manifest: Mapping[str, object], members: Mapping[str, bytes], threads: int | None = None
    ) -> None:
        super().__init__(manifest, members)
        self._declared = read_declaration(self._manifest)
        triple = runnable_triple(self._manifest)
        name = artifact.library_name(triple)
        if name not in self._members:
            raise FileError("DYD702", "the network lacks a library", got=sorted(self._members), want=name)
        self._threads = self._default_threads() if threads is None else threads
        self._library = load_library(self._members[name])
        try:
            if self._library.manifest != self._described_for(triple):
                raise FileError("DYD702", "manifest and library disagree")  # noqa: TRY301
            self._declared.check(self._library)
            net = self._library.create(self._threads)
        except BaseException:
            self._library.close()
            raise
        self._start(net)
        _alive.add(self)

    def _default_threads(self) -> int:
        chosen = self._manifest.get("threads")
        return chosen if isinstance(chosen, int) else min(len(os.sched_getaffinity(0)), MAX_THREADS)

    def _start(self, net: ctypes.c_void_p | None) -> None:
        """Take `net` into use, None for one made at the next call; no call is under way."""
        self._lock = threading.Lock()
        self._net = net
        self._run = self._library.run
        self._patches: dict[tuple[Shape, ...], Patch] = {}
        self._calls: weakref.WeakSet[Call] = weakref.WeakSet()
        self._release = weakref.finalize(self, _release, self._library, net)
        self._release.atexit = False  # a daemon thread may still be in a call then; the process frees all anyway

    @property
    def threads(self) -> int:
        """How many threads share a patch or the patches of `run_many`."""
        return self._threads

    def __call__(self, *inputs: T) -> Any:
        """Run one patch.

        Args:
            inputs: One torch tensor or numpy array per input, nested or not, of the network's element type and a
                declared shape. One that is not contiguous or not aligned is copied. None is changed, none keeps a
                gradient. Values are taken as finite.

        Returns:
            What forward returns, with tensors of the same library as the first input.

        Raises:
            RunError: DYD602 another element type, DYD603 another rank, DYD604 no array or wrong number, DYD606 closed.
            UnknownPatchError: DYD601, the shape is not declared; the message lists those that are.
        """
        if len(inputs) != len(self._declared.inputs):
            inputs = tuple(leaves(inputs))
        call, kinds = self._lease(inputs)
        try:
            outputs: list[T] = call.fill(kinds, inputs)
            if self._run(*call.arguments):
                raise RunError("DYD605", "the run failed", got=self._library.last_error(self._net))
            return self._result(call.cut(outputs))
        finally:
            call.release()

    def _result(self, outputs: Sequence[object]) -> Any:
        """What the network's own forward would return."""
        return rebuild(self._declared.structure, outputs)

    def run_many(self, patches: Sequence[T | tuple[T, ...]]) -> list[Any]:
        """Run many patches, one to a thread, the longest first.

        Args:
            patches: For each what a call takes: a tensor, or a tuple of them if the network has several inputs.

        Returns:
            The outputs in the order of `patches`.

        Raises:
            RunError, UnknownPatchError: as a call; nothing has run then.
        """
        calls: list[Call] = []
        outputs: list[list[T]] = []
        try:
            for patch in patches:
                inputs = tuple(leaves(patch))
                call, kinds = self._lease(inputs)
                calls.append(call)
                outputs.append(call.fill(kinds, inputs))
            if calls and self._library.run_many(calls[0].arguments[0], [(call.inputs, call.outputs) for call in calls]):
                raise RunError("DYD605", "the run failed", got=self._library.last_error(self._net))
            return [self._result(call.cut(made)) for call, made in zip(calls, outputs, strict=True)]
        finally:
            for call in calls:
                call.release()

    def _lease(self, inputs: tuple[object, ...]) -> tuple[Call, list[Kind]]:
        """The native arguments for inputs of these shapes, no other call's until released."""
        kinds = [kind_of(tensor) for tensor in inputs]
        key = tuple([tensor.shape for tensor in inputs])  # type: ignore[attr-defined]
        patch = self._patches.get(key)
        if patch is None:
            patch = self._new_patch(tuple(tuple(shape) for shape in key))
        try:
            return patch.idle.pop(), kinds
        except IndexError:
            return self._new_call(patch), kinds

    def _new_patch(self, key: tuple[Shape, ...]) -> Patch:
        with self._lock:
            self._require_open()
            found = self._declared.find(key)
            inputs, outputs = map(Spec, self._declared.inputs, key), map(Spec, self._declared.outputs, found.outputs)
            return self._patches.setdefault(key, Patch(list(inputs), list(outputs), found.varies))

    def _new_call(self, patch: Patch) -> Call:
        with self._lock:
            call = Call(self._require_open(), patch)
            self._calls.add(call)
            return call

    def _require_open(self) -> ctypes.c_void_p:
        if not self._release.alive:
            raise RunError("DYD606", "the network is closed")
        if self._net is None:
            self._release.detach()
            net = self._library.create(self._threads)
            self._net, self._release = net, weakref.finalize(self, _release, self._library, net)
            self._release.atexit = False
        return self._net

    def close(self) -> None:
        """Wait for the calls under way, then release threads, memory and library. A second close does nothing."""
        with self._lock:
            release = self._release.detach()
            patches, self._patches = self._patches, {}
        if release is None:
            return
        idle: list[Call] = []
        while True:
            for patch in patches.values():
                idle += patch.take_idle()
            if len(self._calls) <= len(idle):
                break
            time.sleep(0.0005)
        self._net = None
        _release(self._library, release[2][1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _forget_threads(self) -> None:
        if self._release.detach() is not None:  # the parent's locks may be held for ever in this copy: leak it
            self._start(None)


def load(path: str | Path, threads: int | None = None) -> Network:
    """Read a ``.dydca`` file.

    Args:
        path: The file.
        threads: As of `Network`.

    Raises:
        FileError: DYD701 not readable, DYD702 damaged, DYD704 for another version or machine.
        RunError: DYD605, memory or threads are not to be had.
    """
    manifest, members = artifact.read(path)
    try:
        return Network(manifest, members, threads)
    except FileError as error:
        raise FileError(error.code, error.what, where=str(path), got=error.got, want=error.want) from error


def _release(library: Library, net: ctypes.c_void_p | None) -> None:
    if net is not None:
        library.destroy(net)
    library.close()


def _after_fork() -> None:
    for network in list(_alive):
        network._forget_threads()


_alive: weakref.WeakSet[Network] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork)
