"""The compiler from end to end: captured, passed, lowered, built for each target, and compared with the original."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.export import ExportedProgram

from dydca.capture.capture import capture
from dydca.capture.network import own_copy
from dydca.checking import Forward, check, check_emulated, find_emulator
from dydca.errors import BuildError, LoweringError
from dydca.inputs import call
from dydca.lower.budget import Budget
from dydca.lower.build import Parts, compile_kernels, link_library
from dydca.lower.calls import Calls, TensorType
from dydca.lower.export import export
from dydca.lower.lower import lower
from dydca.lower.plan import write_plan
from dydca.lower.select_kernels import Precision
from dydca.lower.targets import Target, find_target
from dydca.passes import Dump, Outcome, Variant, default_passes, run_passes
from dydca.program import Program
from dydca.report import Analysis, explain_program
from dydca.report.compiled import BuildReport, CompiledReport, describe_programs
from dydca.runtime import Network
from dydca.runtime.artifact import library_name
from dydca.runtime.package import REPORT_DATA, REPORT_TEXT
from dydca.shapes import Patch, patch_label

if TYPE_CHECKING:
    from dydca.compiled import Request


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
        reference: The user's own network as a function of its tensors, the judge of all results.
        threads: The default number of threads, None if the user chose none.
        verify: Whether networks for other machines are run in an emulator if there is one.
        precision: Of the convolutions.
        budget: The memory there is, None if there is enough.
    """

    program: Program
    analysis: Analysis
    outcome: Outcome
    reference: Forward
    threads: int | None
    verify: bool
    precision: Precision
    budget: Budget | None

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
        patches = {_name(patch, variants): variants for patch, variants in self.by_patch.items()}
        calls = lower(patches, target, self.precision, self.budget)
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
            check_emulated(built.parts, emulator, self.reference, self.program.inputs, built.calls)
            return f"run by {emulator[0]}"
        else:
            runs = self._link(built.calls, here)
            how = "the same plan was compiled for this machine and run here; it has not run on its own"
        with runs.network(threads=1) as network:
            check(network, self.reference, self.program.inputs, built.calls)
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
            "structure": program.structure,
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

    def export(self, builds: Sequence[Build], folder: Path, target: str | None, cpu: str | None, name: str) -> None:
        """As `CompiledNetwork.export`; what is not among the builds is built."""
        wanted = builds[0].target if target is None and cpu is None else find_target(target or "host", cpu)
        built = next((build for build in builds if build.target == wanted), None) or self.build(wanted)
        report = CompiledReport(self.analysis, self.outcome.reports, (built.describe(),))
        export(folder, name, built.parts, built.calls, built.manifest, str(report))


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


def compile_request(request: Request) -> tuple[Source, list[Build]]:
    """Does all that `dydca.compile` was asked for.

    Raises:
        CaptureError, ShapeError, PassError, LoweringError, BuildError: see `dydca.errors`.
    """
    targets = [find_target(name, request.cpu) for name in request.targets]
    model = request.model
    program = capture(model, request.patch_shapes, request.example_inputs, max_routes=request.max_routes)
    program.promise(request.input_range)
    if program.ranges:
        got = " and ".join(map(str, program.ranges))
        raise LoweringError("DYD107", "code is made for single sizes, not for ranges", got=got)
    budget = None if request.memory is None else Budget.of(request.memory, request.threads or 1)
    threads = request.threads if budget is None else budget.threads
    analysis = explain_program(program, type(model).__name__, dict(_parameters(model)))
    chosen = default_passes() if request.passes is None else request.passes
    observers = [] if request.dump is None else [Dump(Path(request.dump))]
    outcome = run_passes(program, chosen, verify=request.verify or "fast", observers=observers)
    reference = partial(call, own_copy(model), program.arguments)
    source = Source(program, analysis, outcome, reference, threads, request.verify, request.precision, budget)
    return source, [source.build(each) for each in targets]


def _parameters(model: nn.Module | ExportedProgram) -> Iterable[tuple[str, Tensor]]:
    return model.named_parameters() if isinstance(model, nn.Module) else model.state_dict.items()
