"""What `dydca.compile` returns: a network that can be called here, if it was compiled for here, saved, and exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from torch import nn

from dydca.errors import RunError
from dydca.runtime import Network
from dydca.runtime.package import Package

if TYPE_CHECKING:  # what compiles imports TVM, which takes longer than to find a network that is compiled already
    from torch.export import ExportedProgram

    from dydca.building import Build, Source
    from dydca.capture.signature import Examples, PatchShapes
    from dydca.inputs import Range
    from dydca.lower.select_kernels import Precision
    from dydca.passes import Pass


@dataclass(frozen=True)
class Request:
    """What is to be compiled, and how, as `dydca.compile` was asked; it is done when it is first needed."""

    model: nn.Module | ExportedProgram
    patch_shapes: PatchShapes
    example_inputs: Examples | None
    targets: tuple[str, ...]
    cpu: str | None
    threads: int | None
    input_range: Range | Mapping[str, Range] | None
    precision: Precision
    max_routes: int
    memory: str | int | None
    passes: Sequence[Pass] | None
    verify: bool
    dump: str | Path | None

    @cached_property
    def compiled(self) -> tuple[Source, list[Build]]:
        """The network behind the passes, and as built for every target."""
        from dydca.building import compile_request

        return compile_request(self)

    @property
    def package(self) -> tuple[dict[str, object], dict[str, bytes]]:
        """Manifest and members of a file with all that was built."""
        source, builds = self.compiled
        return source.package(builds)


class CompiledNetwork(Network):
    """A network compiled for this machine, and perhaps for others."""

    def __init__(self, request: Request, manifest: Mapping[str, object], members: Mapping[str, bytes]) -> None:
        self._request = request
        super().__init__(manifest, members, request.threads)

    def export(
        self, folder: str | Path, *, target: str | None = None, cpu: str | None = None, name: str = "net"
    ) -> None:
        """Writes ``libNAME.so``, ``NAME.h``, the program ``dydca-run``, and the sources to link them anew.

        Args:
            folder: New, empty, or an earlier export, which is replaced whole.
            target: As of `dydca.compile`; by default the first the network was compiled for.
            cpu: As of `dydca.compile`.
            name: An identifier of C.

        Raises:
            BuildError: DYD503 the target is unknown; DYD501, DYD504, DYD506 the tool chain.
            FileError: DYD608, the folder holds something else; DYD705, it cannot be written.
            RunError: DYD609, the name is none.
            LoweringError: as of `dydca.compile`, for a target it was not compiled for yet.
        """
        source, builds = self._request.compiled
        source.export(builds, Path(folder), target, cpu, name)


class CrossCompiledNetwork(CompiledNetwork):
    """A network compiled for other machines: it can be saved, exported and reported on, not called."""

    def __init__(self, request: Request, manifest: Mapping[str, object], members: Mapping[str, bytes]) -> None:
        self._request = request
        Package.__init__(self, manifest, members)  # what a network does besides needs a library that runs

    def __call__(self, *_inputs: object) -> NoReturn:
        """Refuses.

        Raises:
            RunError: DYD607, always.
        """
        names = ", ".join(target["name"] for target in self._manifest["targets"].values())
        raise RunError("DYD607", "the network was compiled for another machine", got=names)

    def run_many(self, patches: Sequence[object]) -> NoReturn:
        """Refuses, as a call does."""
        self(patches)

    def close(self) -> None:
        """Does nothing: there is nothing to release."""
