"""Whatever linear operators lie between two tensors, and wherever borders fall, merging keeps the values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx

from dydca.passes import run_passes
from dydca.program import Guard, Program
from dydca.testing import Builder, program_of
from tests.passes.blocks import merging

aten = torch.ops.aten
_KINDS = (
    *("conv", "conv", "conv", "sum", "sum", "scale", "shift", "norm"),
    *("cat", "part", "crop", "pad", "frame", "pool", "repeat", "relu"),
)


@dataclass
class Region:
    """A graph of random linear operators on small pictures that grows node by node."""

    draw: st.DrawFn
    b: Builder = field(default_factory=Builder)
    sizes: dict[fx.Node, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.draw(st.integers(0, 999)))

    def number(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    def tensor(self, *shape: int) -> fx.Node:
        whole = torch.randint(-8, 9, shape, generator=self.generator) / 8  # exact: cancels where it should
        return self.b.const(whole)

    def add(self, operator: Callable[..., Tensor], *args: object) -> fx.Node:
        node = self.b.call(operator, *args)
        given: Any = args
        values = fx.map_arg(given, self._zeros)
        self.sizes[node] = tuple(operator(*values).shape)
        return node

    def _zeros(self, node: fx.Node) -> Tensor:
        return self.b.constants[str(node.target)] if node.op == "get_attr" else torch.zeros(self.sizes[node])

    def step(self) -> fx.Node:
        """One more operator on what there is."""
        nodes = list(self.sizes)
        x = nodes[-1] if self.number(0, 2) else self.draw(st.sampled_from(nodes))
        kind = self.draw(st.sampled_from(_KINDS))
        made: fx.Node = getattr(self, f"_{kind}")(x, *self.sizes[x][1:])
        return made

    def _conv(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        groups = c if self.number(0, 3) == 0 else 1
        kernel = [self.number(1, min(3, side)) for side in (h, w)]
        outputs = groups if groups > 1 else self.number(1, 4)
        bias = self.tensor(outputs) if self.number(0, 1) else None
        dilation = self.number(1, 2) if min(h, w) > 4 else 1
        padding = [self.number(0, side - 1) for side in kernel]
        return self.add(
            aten.conv2d.default,
            x,
            self.tensor(outputs, c // groups, *kernel),
            bias,
            [1, 1],
            padding,
            [dilation] * 2,
            groups,
        )

    def _sum(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        fitting = [y for y, size in self.sizes.items() if size[2:] == (h, w) and size[1] in (c, 1)]
        operator = self.draw(st.sampled_from((aten.add.Tensor, aten.sub.Tensor)))
        return self.add(operator, x, self.draw(st.sampled_from(fitting)))

    def _scale(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        return self.add(aten.mul.Tensor, x, self.draw(st.sampled_from((0.5, -1, self.tensor(c, 1, 1)))))

    def _shift(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        return self.add(aten.add.Tensor, self.tensor(1, c, 1, 1), x)

    def _norm(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        variance = self.b.const(torch.rand(c, generator=self.generator) + 0.5)
        return self.add(
            aten.batch_norm.default, x, self.tensor(c), self.tensor(c), self.tensor(c), variance, False, 0.1, 1e-5, True
        )

    def _cat(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        fitting = [y for y, size in self.sizes.items() if size[2:] == (h, w)]
        return self.add(aten.cat.default, [x, self.draw(st.sampled_from(fitting))], 1) if c < 5 else x

    def _part(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        return self.add(aten.slice.Tensor, x, 1, self.number(0, c - 1), 2**63 - 1)

    def _crop(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        return self.add(aten.slice.Tensor, x, self.number(2, 3), self.number(0, 1), -1) if min(h, w) > 4 else x

    def _pad(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        return self.add(
            aten.constant_pad_nd.default,
            x,
            [self.number(0, 2) for _ in range(4)],
            self.draw(st.sampled_from((0.0, 0.5))),
        )

    def _frame(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        """A 1x1 convolution with bias, padded, the frame overwritten by the bias or something else."""
        bias = self.tensor(c)
        y = self.add(aten.conv2d.default, x, self.tensor(c, c, 1, 1), bias)
        y = self.add(aten.constant_pad_nd.default, y, [1, 1, 1, 1], 0.0)
        value = self.b.constants[str(bias.target)].reshape(1, c, 1, 1) + self.draw(
            st.sampled_from((0.0, 0.0, 0.0, 0.5))
        )
        for axis, side in ((2, w + 2), (3, h + 2)):
            shape = (1, c, 1, side) if axis == 2 else (1, c, side, 1)
            frame = self.b.const(value.expand(shape).contiguous())
            y = self.add(aten.slice_scatter.default, y, frame, axis, 0, 1)
            y = self.add(aten.slice_scatter.default, y, frame, axis, -1, 2**63 - 1)
        return y

    def _pool(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        return self.add(aten.avg_pool2d.default, x, [2, 3], [1, 1], [0, 1]) if min(h, w) > 2 else x

    def _repeat(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        return self.add(aten.repeat_interleave.self_int, x, 2, 1) if c < 3 else x

    def _relu(self, x: fx.Node, c: int, h: int, w: int) -> fx.Node:
        return self.add(aten.relu.default, x)


@st.composite
def regions(draw: st.DrawFn) -> Program:
    region = Region(draw)
    region.sizes[region.b.input()] = (1, 2, 6, 7)
    for _ in range(draw(st.integers(2, 9))):
        region.step()
    nodes = list(region.sizes)
    outputs = [nodes[-1], *draw(st.lists(st.sampled_from(nodes), max_size=1))]
    program = program_of(region.b.output(*outputs), ((1, 2, 6, 7),))
    sizes = zip(program.inputs[0].dims, (1, 2, 6, 7), strict=True)
    program.routes[0].regions = (tuple(Guard(sympy.Eq(dim, size)) for dim, size in sizes),)
    return program


@settings(max_examples=60, deadline=None)
@given(regions())
def test_values_stay(program: Program) -> None:
    outcome = run_passes(program, merging(), verify=True)
    assert sum(outcome.reports[-1].ops_after.values()) <= sum(outcome.reports[-1].ops_before.values())
