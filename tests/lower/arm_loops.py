"""The hot loop of a kernel in ARM assembly: where it multiplies and adds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dydca.lower.kernels.epilogue import Step
from dydca.lower.kernels.layer import Conv
from dydca.lower.kernels.rows import ConvKernel
from dydca.lower.layout import Layout
from dydca.lower.select_kernels import candidates
from dydca.lower.targets import Target
from dydca.lower.tvm_api import assembly

_LABEL = re.compile(r"(\.LBB\w+):")
_BRANCH = re.compile(r"(?:b\.\w+|cbn?z|tbn?z)\b.*?(\.L\w+)$")
_BY_ELEMENT = re.compile(r"fmla\s.*\bv\d+\.s\[\d\]")


def layer(channels: int, outputs: int, lanes: int) -> Conv:
    """A layer of the main job: 3x3 with ReLU, between blocked pictures."""
    lies, size = Layout(lanes, 1), (54, 48)
    return Conv(lies, (1, channels, *size), lies, (1, outputs, *size), 1, (Step("relu"),), padding=(1, 1))


def kernels(target: Target) -> list[ConvKernel]:
    """All that may compute a layer of the main job."""
    return list(candidates(target, layer(32, 64, target.lanes), "fast"))


def hot_loop(kernel: ConvKernel, target: Target) -> list[str]:
    """The instructions of the innermost loop that is densest in multiply-adds."""
    text = assembly({"kernel": kernel.emit()}, target.llvm)
    lines = [line.partition("//")[0].strip() for line in text.splitlines()]
    return max(_innermost(lines), key=lambda body: len(multiplications(body)) / len(body))


def _innermost(lines: Sequence[str]) -> Iterator[list[str]]:
    """The loops that have no other label in them."""
    label, begin = "", 0
    for number, line in enumerate(lines):
        if found := _LABEL.match(line):
            label, begin = found[1], number
        elif (branch := _BRANCH.match(line)) and branch[1] == label:
            yield [line for line in lines[begin + 1 : number + 1] if line and not line.startswith(".")]


def multiplications(body: Sequence[str]) -> list[str]:
    """The multiply-adds."""
    return [line for line in body if line.startswith("fmla")]


def by_element(body: Sequence[str]) -> list[str]:
    """Those that take one of their factors out of a lane."""
    return [line for line in body if _BY_ELEMENT.match(line)]


def stack_accesses(body: Sequence[str]) -> list[str]:
    """What was spilt."""
    return [line for line in body if re.search(r"\[sp\b", line)]
