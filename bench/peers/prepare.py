"""Writes what the engines convert and compare with: the exported network, inputs, and eager's answer in float64."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from bench.peers.cases import CASES, SEED, Case
from bench.peers.place import EXPORTED, INPUTS, REFERENCE, TRACED


def prepare(case: Case, folder: Path) -> None:
    """Fill `folder`.

    The exported program has symbolic height and width if the case is a stream. Both it and the TorchScript trace
    hold the weights of `Case.build`.
    """
    model = case.build()
    inputs = [_inputs(case, index) for index in range(len(case.sizes))]
    example = tuple(inputs[-1])
    dims = {2: Dim("height", min=8, max=256), 3: Dim("width", min=8, max=256)}
    shapes = [dims] * len(example) if case.stream else None
    torch.export.save(torch.export.export(case.build_exported(), example, dynamic_shapes=shapes), folder / EXPORTED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and what ncnn's converter reads
        torch.jit.trace(case.build_traced(), example).save(str(folder / TRACED))  # type: ignore[no-untyped-call]
    _save(folder / INPUTS, inputs)
    exact = model.double()
    _save(folder / REFERENCE, [_run(exact, [x.double() for x in of_size]) for of_size in inputs])


def _inputs(case: Case, index: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(SEED + index)
    size = case.sizes[index]
    return [case.top * torch.rand((1, channels, *size), generator=generator) for channels in case.channels]


def _run(model: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    with torch.inference_mode():
        output = model(*inputs)
    return [output] if isinstance(output, Tensor) else list(output)


def _save(path: Path, tensors: Sequence[Sequence[Tensor]]) -> None:
    named = {f"{size}.{position}": t.numpy() for size, each in enumerate(tensors) for position, t in enumerate(each)}
    np.savez(path, **named)  # type: ignore[arg-type]  # its flag comes after the arrays in the stub


if __name__ == "__main__":
    prepare(CASES[sys.argv[1]], Path(sys.argv[2]))
