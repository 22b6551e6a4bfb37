"""Compiled code beside the user's own network: whatever went wrong, no wrong picture leaves the compiler."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from math import inf
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from dydca.errors import LoweringError
from dydca.inputs import Input
from dydca.lower.build import Parts, link_program
from dydca.lower.calls import Calls, TensorType
from dydca.lower.targets import Target

Forward: TypeAlias = Callable[..., Any]
"""From one tensor per input to what forward returns."""

MEAN_TOLERANCE = 1e-4
"""Largest mean difference to PyTorch that compiled code may show, as a part of the output's maximum."""


def check(network: Forward, reference: Forward, declared: Sequence[Input], entries: Iterable[Calls]) -> None:
    """Runs every patch once on noise, within the ranges that are declared for the inputs.

    The mean decides, not the maximum: a comparison on the way may fall differently by rounding on single pixels.

    Raises:
        LoweringError: DYD404, the results differ.
    """
    generator = torch.Generator().manual_seed(0)
    for entry in entries:
        inputs = [_random(*pair, generator) for pair in zip(declared, entry.inputs, strict=True)]
        result = network(*inputs)
        with torch.no_grad():
            expected = reference(*inputs)
        pairs = zip(_tensors(expected), _tensors(result), strict=True)
        worst = max(_mean_difference(want.double().nan_to_num(), have.double().nan_to_num()) for want, have in pairs)
        if not worst <= MEAN_TOLERANCE:
            got = f"a mean difference of {worst:.1e} of the maximum in {entry.name}"
            raise LoweringError("DYD404", "the native code computes something else", got=got, want=MEAN_TOLERANCE)


def _random(declared: Input, tensor: TensorType, generator: torch.Generator) -> Tensor:
    """Values of the declared range, else those a picture may have; whole numbers are 0 or 1, which an index bears."""
    if declared.promised:
        return declared.example(tensor.shape, generator)
    if tensor.dtype == "float32":
        return torch.rand(tensor.shape, generator=generator)
    limit = 256 if tensor.dtype == "uint8" else 2
    return torch.randint(limit, tensor.shape, generator=generator, dtype=getattr(torch, tensor.dtype))


def _tensors(results: Any) -> list[Tensor]:
    return [leaf.detach() for leaf in tree_leaves(results) if isinstance(leaf, Tensor)]


def _mean_difference(want: Tensor, have: Tensor) -> float:
    """As a part of the largest value wanted; infinite for another shape, 0 for tensors without elements."""
    if want.shape != have.shape:
        return inf
    return float((want - have).abs().mean() / want.abs().max().clamp_min(1e-20)) if want.numel() else 0.0


def find_emulator(target: Target) -> tuple[str, ...] | None:
    """The command that runs programs of a target on this machine, None if there is none."""
    qemu = f"qemu-{target.triple.partition('-')[0]}"
    found = shutil.which(qemu) or shutil.which(f"{qemu}-static")
    return (Path(found).name, "-cpu", "max") if found else None


def check_emulated(
    parts: Parts,
    emulator: Sequence[str],
    reference: Forward,
    declared: Sequence[Input],
    entries: Iterable[Calls],
) -> None:
    """The same in an emulator.

    Raises:
        LoweringError: DYD404, the results differ, or the program fails.
        BuildError: DYD501 or DYD504, no program can be linked.
    """
    with tempfile.TemporaryDirectory(prefix="dydca-") as folder:
        program = Path(folder) / "dydca-run"
        program.write_bytes(link_program(parts))
        program.chmod(0o755)
        check(Emulated([*emulator, str(program)], Path(folder)), reference, declared, entries)


class Emulated:
    """``dydca-run`` as a callable from tensors to tensors.

    Args:
        command: The program, behind the emulator that runs it.
        folder: For the files of a call.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.command, self.folder = list(command), folder

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Runs one patch.

        Raises:
            LoweringError: DYD404, the program fails.
        """
        command = list(self.command)
        for number, tensor in enumerate(inputs):
            file = self.folder / f"{number}.{str(tensor.dtype).removeprefix('torch.')}"
            tensor.numpy().tofile(file)
            command += ["-s", "x".join(map(str, tensor.shape)), str(file)]
        outputs = [self.folder / f"{number}.out" for number in range(16)]
        for output in outputs:
            output.unlink(missing_ok=True)
        done = self._run([*command, *(word for output in outputs[: self._outputs()] for word in ("-o", str(output)))])
        lines = [line.split()[1:] for line in done.splitlines() if line.startswith("output")]
        made = tuple(_read(output, line) for output, line in zip(outputs, lines, strict=False))
        return made[0] if len(made) == 1 else made

    def _outputs(self) -> int:
        """How many outputs the program says it has."""
        return self._run(self.command).splitlines()[0].partition("->")[2].count(" ") // 2

    def _run(self, command: Sequence[str]) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            got = done.stderr.strip() or f"exit code {done.returncode}"
            raise LoweringError("DYD404", "the native program fails", where=command[0], got=got)
        return done.stdout


def _read(path: Path, described: Sequence[str]) -> Tensor:
    dtype, shape = described[0], described[1] if len(described) > 1 else ""
    sizes = [int(size) for size in shape.split("x") if size]
    return torch.from_numpy(np.fromfile(path, np.dtype(dtype)).reshape(sizes))
