"""Every operator that is lowered computes what PyTorch computes, whatever stands before and after it."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import dydca

TOLERANCE = 2e-5
"""Of the reference's largest value: F(6) errs by 6e-6 of the largest sum, which a clamp may make small."""


class Body(nn.Module):
    """Modules, and a function that says how they are joined."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], *modules: nn.Module) -> None:
        super().__init__()
        self.parts, self.join = nn.ModuleList(modules), forward
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.3, 0.3)

    def forward(self, x: Tensor) -> Any:
        return self.join(self.parts, x)


def frame_write(m: Sequence[nn.Module], x: Tensor) -> Tensor:
    y = m[0](x).clone()
    y[:, :, 0:1] = 0.5
    y[:, :, :, -1:] = 0.25
    return cast(Tensor, y)


def conv(inputs: int, outputs: int, kernel: Any = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **{"padding": 1} | options)


def resized(mode: str, *ways: dict[str, Any]) -> tuple[Callable[[Any, Tensor], Any], list[nn.Module], tuple[int, ...]]:
    """Planes and blocks, each with an epilogue that reads another picture."""

    def forward(m: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, ...]:
        few = [F.interpolate(x, mode=mode, **way) for way in ways]
        many = [F.interpolate(m[0](x), mode=mode, **way) for way in ways]
        return *((y + y.mean() * 0.5).clamp(0, 1) for y in few), *(
            F.relu(y) * torch.sigmoid(y[:, :, :, :1]) for y in many
        )

    return forward, [conv(3, 20)], (2, 3, 11, 21)


CASES: dict[str, tuple[Callable[[Any, Tensor], Any], list[nn.Module], tuple[int, ...]]] = {
    "resize to nearest": resized("nearest", {"scale_factor": 3}, {"size": (13, 40)}),
    "resize bilinear": resized("bilinear", {"scale_factor": 4}, {"scale_factor": (1.7, 0.4)}),
    "resize bilinear, corners": resized("bilinear", {"scale_factor": 2, "align_corners": True}, {"size": (5, 7)}),
    "resize bicubic": resized("bicubic", {"scale_factor": 2}, {"size": (30, 30), "align_corners": True}),
    "stride": (lambda m, x: m[0](x), [conv(3, 20, stride=2)], (1, 3, 17, 21)),
    "dilation": (lambda m, x: m[1](m[0](x)), [conv(3, 16), conv(16, 16, 5, dilation=3, padding=6)], (1, 3, 19, 23)),
    "pointwise": (lambda m, x: m[1](m[0](x)), [conv(3, 40, 1, padding=0), conv(40, 24, 1, padding=0)], (2, 3, 9, 11)),
    "deep sum": (lambda m, x: m[1](m[0](x)), [conv(3, 256, 1, padding=0), conv(256, 20)], (1, 3, 9, 11)),
    "depthwise": (lambda m, x: m[1](F.relu(m[0](x))), [conv(3, 24), conv(24, 24, groups=24)], (1, 3, 10, 12)),
    "depthwise of few": (lambda m, x: m[0](x), [conv(3, 3, 5, groups=3, padding=2)], (1, 3, 10, 12)),
    "depthwise wide": (
        lambda m, x: F.gelu(m[1](m[0](x))) + F.leaky_relu(m[2](m[0](x)) * 0.5 + m[0](x), 0.1),
        [
            conv(3, 40, 1, padding=0),
            conv(40, 40, 5, groups=40, dilation=3, padding=6),
            conv(40, 40, (1, 9), groups=40, padding=(0, 4)),
        ],
        (2, 3, 19, 23),
    ),
    "depthwise stride": (
        lambda m, x: m[1](m[0](x)),
        [conv(3, 20, 1, padding=0), conv(20, 20, groups=20, stride=2)],
        (1, 3, 17, 21),
    ),
    "depthwise of the input": (lambda m, x: F.relu(m[0](x)), [conv(20, 20, groups=20, bias=False)], (1, 20, 9, 10)),
    "depthwise shuffled": (
        lambda m, x: F.pixel_shuffle(F.relu(m[1](m[0](x))), 2),
        [conv(3, 12, 1), conv(12, 12, groups=12)],
        (1, 3, 9, 10),
    ),
    "multiplier": (lambda m, x: m[1](m[0](x)), [conv(3, 8), conv(8, 16, groups=8)], (1, 3, 10, 12)),
    "grouped": (lambda m, x: m[1](F.relu(m[0](x))), [conv(3, 24), conv(24, 36, groups=2)], (1, 3, 10, 12)),
    "no bias": (lambda m, x: m[0](x), [conv(3, 8, bias=False)], (1, 3, 10, 12)),
    "padding same": (lambda m, x: m[0](x), [conv(3, 8, 5, padding="same")], (1, 3, 10, 12)),
    "oblong": (
        lambda m, x: m[1](m[0](x)),
        [conv(3, 32, (3, 5), padding=(1, 2)), conv(32, 48, (5, 1), padding=(2, 0))],
        (1, 3, 13, 12),
    ),
    "one pixel": (lambda m, x: m[0](x), [conv(3, 16)], (1, 3, 1, 1)),
    "without batch": (lambda m, x: F.pixel_shuffle(F.relu(m[0](x)), 2), [conv(3, 12)], (3, 10, 12)),
    "prelu": (lambda m, x: m[2](m[1](m[0](x))), [conv(3, 20), nn.PReLU(20), nn.PReLU(1)], (1, 3, 10, 12)),
    "hardtanh": (lambda m, x: F.hardtanh(F.leaky_relu(m[0](x), 0.2), 0, 1) * 2 - 0.5, [conv(3, 20)], (1, 3, 10, 12)),
    "residual": (lambda m, x: m[1](m[0](x)) + m[0](x) * 0.5, [conv(3, 20), conv(20, 20)], (1, 3, 10, 12)),
    "number minus": (lambda m, x: 1 - F.relu(1 - m[0](x)), [conv(3, 20)], (1, 3, 10, 12)),
    "difference": (lambda m, x: m[0](x) - m[1](x), [conv(3, 20), conv(3, 20, 1, padding=0)], (1, 3, 10, 12)),
    "gate": (lambda m, x: m[0](x) * torch.sigmoid(m[1](x)), [conv(3, 20), conv(3, 20)], (1, 3, 10, 12)),
    "mean shift": (
        lambda m, x: m[0]((x - torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)) * 2),
        [conv(3, 16)],
        (1, 3, 10, 12),
    ),
    "shuffle 2": (lambda m, x: F.pixel_shuffle(m[0](x), 2), [conv(3, 12)], (1, 3, 10, 13)),
    "shuffle 3": (lambda m, x: F.pixel_shuffle(m[0](x), 3).clamp(0, 1), [conv(3, 27)], (1, 3, 10, 13)),
    "shuffle 4": (lambda m, x: F.pixel_shuffle(m[0](x), 4), [conv(3, 48)], (2, 3, 10, 13)),
    "shuffle of many": (lambda m, x: F.pixel_shuffle(m[0](x), 2), [conv(3, 256)], (1, 3, 10, 13)),
    "shuffle within": (lambda m, x: m[1](F.pixel_shuffle(m[0](x), 2)), [conv(3, 64), conv(16, 3)], (1, 3, 10, 13)),
    "bare shuffle": (lambda m, x: F.pixel_shuffle(x, 2) + 1, [], (1, 12, 5, 6)),
    "unshuffle": (lambda m, x: m[0](F.pixel_unshuffle(x, 2)), [conv(12, 24)], (1, 3, 10, 14)),
    "anchor": (
        lambda m, x: F.pixel_shuffle(m[0](x) + torch.repeat_interleave(x, 4, 1), 2),
        [conv(3, 12)],
        (1, 3, 10, 13),
    ),
    "bilinear skip": (
        lambda m, x: F.pixel_shuffle(m[0](x), 2) + F.interpolate(x, scale_factor=2, mode="bilinear"),
        [conv(3, 12)],
        (1, 3, 10, 13),
    ),
    "nearest": (lambda m, x: F.interpolate(x, scale_factor=2), [], (1, 3, 7, 9)),
    "gelu": (lambda m, x: F.gelu(m[0](x)), [conv(3, 20)], (1, 3, 10, 12)),
    "silu": (lambda m, x: F.silu(m[0](x)), [conv(3, 20)], (1, 3, 10, 12)),
    "tanh": (lambda m, x: torch.tanh(m[0](x)), [conv(3, 20)], (1, 3, 10, 12)),
    "activations": (
        lambda m, x: (
            F.gelu(F.hardswish(m[0](x)), approximate="tanh"),
            F.softplus(F.elu(m[0](x), 0.7)),
            F.mish(m[0](x).abs().sqrt()) - F.selu(F.celu(m[0](x))),
            F.logsigmoid(m[0](x)) * F.hardsigmoid(m[0](x) * 5) ** 2,
            torch.exp(-m[0](x)) / (torch.erf(m[0](x)) + 2),
        ),
        [conv(3, 20)],
        (1, 3, 10, 12),
    ),
    "handwritten gelu": (
        lambda m, x: (lambda y: 0.5 * y * (1 + torch.erf(y * 0.5**0.5)))(m[0](x)),
        [conv(3, 20)],
        (1, 3, 10, 12),
    ),
    "handwritten swish": (
        lambda m, x: (lambda y: y * torch.sigmoid(m[1](y)) * F.relu6(y + 3))(m[0](x)),
        [conv(3, 20), conv(20, 20)],
        (1, 3, 10, 12),
    ),
    "extrema": (
        lambda m, x: torch.maximum(m[0](x), x) - torch.minimum(m[0](x), torch.tensor(0.3)) + (m[0](x) ** 2 + 1) ** -0.5,
        [conv(3, 3)],
        (1, 3, 10, 12),
    ),
    "powers": (
        lambda m, x: (lambda y: y**3 / (y**4 + 1) + 1 / (y * y + 2).sqrt() + torch.rsqrt(y + 3))(m[0](x).abs()),
        [conv(3, 20)],
        (1, 3, 10, 12),
    ),
    "broadcast": (
        lambda m, x: (
            (lambda y: y * y.mean((2, 3), keepdim=True) + y[:, :1] - y.mean(1, keepdim=True))(m[0](x))
            / (torch.arange(10.0).view(10, 1) + 1),
            x * x[:, :1].sigmoid() + x.mean(3, keepdim=True) - x.mean((0, 2), keepdim=True),
            torch.linspace(0, 1, 12) - m[0](x) * torch.linspace(-1, 1, 200).view(20, 10, 1),
        ),
        [conv(3, 20)],
        (2, 3, 10, 12),
    ),
    "rows": (lambda m, x: torch.tanh(m[0](x.mean((2, 3)))) * 2, [nn.Linear(3, 20)], (5, 3, 6, 8)),
    "cat": (lambda m, x: m[1](torch.cat([m[0](x), x], 1)), [conv(3, 16), conv(19, 8)], (1, 3, 10, 12)),
    "cat of whole blocks": (
        lambda m, x: (lambda y, z: m[2](torch.cat([F.relu(y), z], 1)) + F.relu(y))(m[0](x), m[1](x)),
        [conv(3, 32), conv(3, 20), conv(52, 32)],
        (2, 3, 10, 12),
    ),
    "cat as output": (
        lambda m, x: torch.cat([m[0](x), m[1](x), x[:, 1:], m[0](x) * 2], 1),
        [conv(3, 5), conv(3, 48)],
        (2, 3, 10, 12),
    ),
    "cat of slices": (
        lambda m, x: (lambda y: m[1](torch.cat([y[:, :3], y[:, 13:30], x, y[:, 5:9], y[:, -2:]], 1)))(F.relu(m[0](x))),
        [conv(3, 40), conv(29, 20)],
        (2, 3, 10, 12),
    ),
    "distillation": (
        lambda m, x: (
            lambda a: (lambda b: m[2](torch.cat([a[:, :3], b[:, :3], m[3](b[:, 3:])], 1)) + m[0](x))(
                F.leaky_relu(m[1](a[:, 3:]), 0.05)
            )
        )(F.leaky_relu(m[0](x), 0.05)),
        [conv(3, 12), conv(9, 12), conv(9, 12, 1, padding=0), conv(9, 3)],
        (1, 3, 10, 12),
    ),
    "halves": (
        lambda m, x: (lambda y: m[1](y.chunk(2, 1)[0] * y.chunk(2, 1)[1]) - torch.sigmoid(y[:, 7:27]))(m[0](x)),
        [conv(3, 64), conv(32, 20)],
        (2, 3, 10, 12),
    ),
    "depthwise of a slice": (
        lambda m, x: m[1](m[0](x)[:, 5:25]),
        [conv(3, 40), conv(20, 20, groups=20)],
        (2, 3, 10, 12),
    ),
    "slice of a slice": (
        lambda m, x: (m[0](x)[:, 4:38][:, 3:24][:, 16:], m[1](x[:, 1:3]), x[:, 2:]),
        [conv(3, 40), conv(2, 20)],
        (2, 3, 10, 12),
    ),
    "other shapes": (
        lambda m, x: F.relu(m[1](m[0](x).reshape(2, 4, 20, 30)).flatten(2).unsqueeze(1)) + 1,
        [conv(3, 20), conv(4, 20)],
        (2, 3, 10, 12),
    ),
    "chunk": (lambda m, x: torch.chunk(m[0](x), 2, 1), [conv(3, 16)], (1, 3, 10, 12)),
    "channel attention": (
        lambda m, x: m[0](x) * torch.sigmoid(m[1](F.adaptive_avg_pool2d(m[0](x), 1))),
        [conv(3, 16), conv(16, 16, 1, padding=0)],
        (1, 3, 10, 12),
    ),
    "contrast attention": (
        lambda m, x: (lambda y: y * torch.sigmoid(m[1](y.std((2, 3), True, keepdim=True) + y.mean((2, 3), True))))(
            m[0](x)
        ),
        [conv(3, 20), conv(20, 20, 1, padding=0)],
        (2, 3, 10, 13),
    ),
    "sums along one axis": (
        lambda m, x: (lambda y: F.relu(y.sum(3, True).sum(2, True) / 130) * 2 + y.sum(3, True))(m[0](x)),
        [conv(3, 20)],
        (2, 3, 10, 13),
    ),
    "planes of all widths": (
        lambda m, x: tuple(
            z.var((3, 2), correction=0, keepdim=True) - z.mean((-1, -2), True) * m[0].weight
            for z in (x[:, :, :1, :1], x[:, 3:, 1:, 2:5], x[:, :, :, :8], x)
        ),
        [nn.PReLU(1)],
        (2, 20, 7, 17),
    ),
    "layer norm": (
        lambda m, x: m[1](m[0](x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
        [conv(3, 16), nn.LayerNorm(16)],
        (1, 3, 10, 12),
    ),
    "pooling": (lambda m, x: F.avg_pool2d(m[0](x), 2) + F.max_pool2d(m[0](x), 2), [conv(3, 16)], (1, 3, 10, 12)),
    "reflect": (
        lambda m, x: m[0](F.pad(x, (1, 1, 1, 1), mode="reflect")),
        [conv(3, 16, padding=0)],
        (1, 3, 10, 12),
    ),
    "zero pad": (lambda m, x: m[0](F.pad(x, (1, 2, 0, 1))), [conv(3, 16, padding=0)], (1, 3, 10, 12)),
    "batch norm": (lambda m, x: m[1](m[0](x)), [conv(3, 16), nn.BatchNorm2d(16)], (1, 3, 10, 12)),
    "dropped channel": (lambda m, x: m[0](x)[:, :27], [conv(3, 28)], (1, 3, 10, 12)),
    "frame write": (frame_write, [conv(3, 16, 1, padding=0)], (1, 3, 10, 12)),
    "several outputs": (lambda m, x: (m[0](x), m[0](x) + 1, x), [conv(3, 16)], (1, 3, 10, 12)),
    "one output twice": (lambda m, x: (lambda y: (y, y))(m[0](x)), [conv(3, 16)], (1, 3, 10, 12)),
    "tuple of one": (lambda m, x: (m[0](x),), [conv(3, 16)], (1, 3, 10, 12)),
    "input as output": (lambda m, x: x, [], (1, 3, 10, 12)),
    "constant as output": (lambda m, x: (x + 1, m[0].weight), [conv(3, 4)], (1, 3, 6, 7)),
    "sums": (lambda m, x: (x.mean((2, 3)), x.var((2, 3), unbiased=False), x.sum()), [], (2, 3, 10, 12)),
    "transposed 2": (
        lambda m, x: m[1](F.relu(m[0](x))),
        [conv(3, 20), nn.ConvTranspose2d(20, 3, 9, 2, 4, 1)],
        (1, 3, 7, 9),
    ),
    "transposed 3": (
        lambda m, x: m[1](F.relu(m[0](x))).clamp(0, 1),
        [conv(3, 20), nn.ConvTranspose2d(20, 3, 9, 3, 4, 2)],
        (1, 3, 7, 9),
    ),
    "transposed 4": (lambda m, x: m[0](x), [nn.ConvTranspose2d(3, 24, 4, 4, bias=False)], (2, 3, 7, 9)),
    "transposed 1": (lambda m, x: m[0](x), [nn.ConvTranspose2d(3, 24, 3, 1, 1)], (1, 3, 7, 9)),
    "linear": (
        lambda m, x: m[1](F.relu(m[0](F.adaptive_avg_pool2d(x, 1).flatten(1)))),
        [nn.Linear(3, 20), nn.Linear(20, 5, bias=False)],
        (1, 3, 6, 8),
    ),
    "linear of rows": (lambda m, x: m[0](x.mean((2, 3))), [nn.Linear(3, 20)], (5, 3, 6, 8)),
    "linear of pixels": (
        lambda m, x: m[0](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
        [nn.Linear(3, 20)],
        (2, 3, 6, 8),
    ),
    "linear along a row": (lambda m, x: F.relu(m[0](x)), [nn.Linear(8, 70)], (2, 3, 6, 8)),
    "matrix on the left": (lambda m, x: m[0].weight @ x[0, 0], [nn.Linear(6, 9)], (1, 3, 6, 8)),
    "matrix on the right": (lambda m, x: x @ m[0].weight, [nn.Linear(9, 8)], (1, 3, 6, 8)),
    "addmm": (
        lambda m, x: torch.addmm(m[0].bias, x[0, 0], m[0].weight, beta=0.5, alpha=2),
        [nn.Linear(8, 8)],
        (1, 3, 6, 8),
    ),
    "quotient": (lambda m, x: (x.abs() + 1) ** 2 / (x.abs() + 2), [], (1, 3, 6, 7)),
}


@pytest.mark.parametrize("case", CASES)
def test_computes_what_eager_computes(case: str) -> None:
    forward, modules, shape = CASES[case]
    model = Body(forward, *modules).eval()
    x = torch.randn(shape)
    with torch.no_grad():
        expected = model(x.clone())
    with dydca.compile(model, [shape], threads=1) as network:
        result = network(x)
    assert isinstance(result, tuple) == isinstance(expected, tuple)
    got = result if isinstance(result, tuple) else (result,)
    pairs = zip(expected if isinstance(expected, tuple) else (expected,), got, strict=True)
    for want, have in pairs:
        assert have.shape == want.shape
        assert (have - want).abs().max() <= TOLERANCE * want.abs().max()


REFUSED = {
    "conv3d": Body(lambda m, x: m[0](x[None])[0], nn.Conv3d(1, 2, 3, padding=1)),
    "conv_transpose2d": nn.ConvTranspose2d(3, 3, 3, groups=3),
}


@pytest.mark.parametrize("operator", REFUSED)
def test_products_without_a_template_are_refused_not_run_slowly(operator: str) -> None:
    with pytest.raises(dydca.DydcaError, match="DYD401: no kernel template") as refusal:
        dydca.compile(REFUSED[operator].eval(), [(1, 3, 6, 8)])
    assert refusal.value.where is not None
    assert operator in refusal.value.where


def test_a_callers_tensor_may_begin_at_any_float() -> None:
    model = Body(lambda m, x: F.pixel_shuffle(F.gelu(m[0](x)) + x, 2) - x.mean(), conv(1, 4)).eval()
    shape = (1, 1, 16, 64)
    memory = torch.rand(16 + 16 * 64)
    with dydca.compile(model, [shape], threads=1) as network:
        for offset in range(16):
            x = memory[offset : offset + 16 * 64].view(shape)
            torch.testing.assert_close(network(x), model(x), rtol=0, atol=TOLERANCE)
