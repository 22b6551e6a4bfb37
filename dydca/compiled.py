"""What `dydca.compile` returns: a network that can be called here, if it was compiled for here, saved, and exported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from torch import nn

from dydca.checking import check, check_emulated, find_emulator
from dydca.errors import BuildError, RunError
from dydca.lower.build import Parts, compile_kernels, link_library
from dydca.lower.calls import Calls, TensorType
from dydca.lower.export import export
from dydca.lower.lower import lower
from dydca.lower.plan import write_plan
from dydca.lower.targets import Target, find_target
from dydca.passes import Outcome, Variant
from dydca.program import Program
from dydca.report import Analysis
from dydca.report.compiled import BuildReport, CompiledReport, describe_programs
from dydca.runtime import Network
from dydca.runtime.artifact import library_name
from dydca.runtime.package import REPORT_DATA, REPORT_TEXT, Package
from dydca.shapes import Patch, patch_label


@dataclass
class Build:
    """A network as it was built for one target.

    Attributes:
        target: Which.
        calls: What each patch runs.
        manifest: The description that the library has in itself.
        parts: What the library is linked from.
        library: The library.
        arenas: By program, what the plan made of its memory.
        checked: In what way its results were compared with the user's own network.
    """

    target: Target
    calls: list[Calls]
    manifest: dict[str, object]
    parts: Parts
    library: bytes
    checked: str = ""

    def describe(self) -> BuildReport:
        """Its part of the report."""
        plan = self.parts.plan
        programs = describe_programs(self.calls, plan.arenas)
        sizes = len(plan.kernels), len(self.library), len(plan.weights)
        return BuildReport(f"{self.target.name}, {self.target.cpu}", programs, *sizes, self.checked)

    def network(self, threads: int | None = None) -> Network:
        """Loads it into this process."""
        manifest = {**self.manifest, "targets": {self.target.triple: self.manifest["target"]}}
        del manifest["target"]
        return Network(manifest, {library_name(self.target.triple): self.library}, threads)


@dataclass
class Source:
    """A network behind the passes, from which it is built for any target.

    Attributes:
        program: What was captured.
        analysis: What was known before the passes.
        outcome: What the passes made of it.
        module: The user's own network, the judge of all results.
        threads: The default number of threads, None if the user chose none.
        verify: Whether networks for other machines are run in an emulator if there is one.
    """

    program: Program
    analysis: Analysis
    outcome: Outcome
    module: nn.Module
    threads: int | None
    verify: bool

    @cached_property
    def by_patch(self) -> dict[Patch, list[Variant]]:
        """The finished graphs of each patch, one for each route that values choose."""
        found: dict[Patch, list[Variant]] = {}
        for variant in self.outcome.variants:
            found.setdefault(variant.patch, []).append(variant)
        return found

    def build(self, target: Target) -> Build:
        """Builds it, and compares what it computes with the user's own network.

        Raises:
            LoweringError, BuildError: see `dydca.errors`.
        """
        calls = [lower(variants, _name(patch, variants), target) for patch, variants in self.by_patch.items()]
        built = self._link(calls, target)
        built.checked = self._check(built)
        return built

    def _link(self, calls: list[Calls], target: Target) -> Build:
        """Calls as code for a target, which need not be the one they were lowered for."""
        manifest = self._manifest(calls, target)
        parts = compile_kernels(write_plan(calls, manifest), target)
        return Build(target, calls, manifest, parts, link_library(parts))

    def _check(self, built: Build) -> str:
        here = find_target("host")
        if built.target.triple == here.triple and set(built.target.requires) <= set(here.requires):
            runs, how = built, "run on this machine"
        elif self.verify and (emulator := find_emulator(built.target)):
            check_emulated(built.parts, emulator, self.module, self.program.inputs, built.calls)
            return f"run by {emulator[0]}"
        else:
            runs = self._link(built.calls, here)
            how = "the same plan was compiled for this machine and run here; it has not run on its own"
        with runs.network(threads=1) as network:
            check(network, self.module, self.program.inputs, built.calls)
        return how

    def _manifest(self, calls: Sequence[Calls], target: Target) -> dict[str, object]:
        program, first = self.program, calls[0]
        inputs = zip((tensor.name for tensor in program.inputs), first.inputs, strict=True)
        outputs = zip(program.outputs, first.largest, strict=True)
        routes = [" or ".join(variant.route.name for variant in variants) for variants in self.by_patch.values()]
        return {
            "target": {
                "name": target.name,
                "triple": target.triple,
                "cpu": target.cpu,
                "features": list(target.requires),
            },
            "inputs": [{"name": name, "type": tensor.dtype} for name, tensor in inputs],
            "outputs": [{"name": name, "type": tensor.dtype} for name, tensor in outputs],
            "single": program.single,
            "scale": _scale(calls),
            "threads": self.threads,
            "routes": {route.name: route.predicate for route in program.routes},
            "patches": [{"route": route, **_shapes(each)} for route, each in zip(routes, calls, strict=True)],
        }

    def package(self, builds: Sequence[Build]) -> tuple[dict[str, object], dict[str, bytes]]:
        """Manifest and members of a file with the libraries of all builds.

        Raises:
            BuildError: DYD507, two are of one platform.
        """
        triples = [build.target.triple for build in builds]
        if len(set(triples)) < len(triples):
            raise BuildError("DYD507", "two targets of one platform", got=", ".join(b.target.name for b in builds))
        common = {key: value for key, value in builds[0].manifest.items() if key != "target"}
        manifest = {**common, "targets": {build.target.triple: build.manifest["target"] for build in builds}}
        report = CompiledReport(self.analysis, self.outcome.reports, tuple(build.describe() for build in builds))
        libraries = {library_name(build.target.triple): build.library for build in builds}
        data = json.dumps(report.to_dict()).encode()
        return manifest, {**libraries, REPORT_DATA: data, REPORT_TEXT: str(report).encode()}


def _name(patch: Patch, variants: Sequence[Variant]) -> str:
    route = "_".join(variant.route.name for variant in variants[:3])
    return f"{route}_{patch_label(patch).replace('+', '_')}"


def _scale(calls: Sequence[Calls]) -> int | None:
    """How many times as high and wide the first output is as the first input, where that is one whole number."""
    found: set[Fraction] = set()
    for each in calls:
        given = each.inputs[0].shape
        for result in each.results:
            made = result[0].shape
            if not len(given) == len(made) == 4:
                return None
            found |= {Fraction(made[axis], given[axis]) for axis in (2, 3)}
    scale = found.pop()
    return int(scale) if not found and scale.denominator == 1 else None


def _shapes(entry: Calls) -> dict[str, object]:
    """The shapes of a patch; each way's own only where values decide them."""

    def of(tensors: Sequence[TensorType]) -> list[list[int]]:
        return [list(tensor.shape) for tensor in tensors]

    found: dict[str, object] = {"inputs": of(entry.inputs), "outputs": of(entry.largest)}
    return found if len(entry.results) == 1 else found | {"results": list(map(of, entry.results))}


class CompiledNetwork(Network):
    """A network compiled for this machine, and perhaps for others."""

    def __init__(self, source: Source, builds: Sequence[Build], threads: int | None) -> None:
        self._source, self._builds = source, builds
        super().__init__(*source.package(builds), threads)

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
        wanted = self._builds[0].target if target is None and cpu is None else find_target(target or "host", cpu)
        built = next((build for build in self._builds if build.target == wanted), None) or self._source.build(wanted)
        report = CompiledReport(self._source.analysis, self._source.outcome.reports, (built.describe(),))
        export(Path(folder), name, built.parts, built.calls, built.manifest, str(report))


class CrossCompiledNetwork(CompiledNetwork):
    """A network compiled for other machines: it can be saved, exported and reported on, not called."""

    def __init__(self, source: Source, builds: Sequence[Build]) -> None:
        self._source, self._builds = source, builds
        Package.__init__(self, *source.package(builds))  # what a network does besides needs a library that runs

    def __call__(self, *_inputs: object) -> NoReturn:
        """Refuses.

        Raises:
            RunError: DYD607, always.
        """
        names = ", ".join(build.target.name for build in self._builds)
        raise RunError("DYD607", "the network was compiled for another machine", got=names)

    def run_many(self, patches: Sequence[object]) -> NoReturn:
        """Refuses, as a call does."""
        self(patches)

    def close(self) -> None:
        """Does nothing: there is nothing to release."""
