"""Which kernel a convolution gets, and that the reason given for it is the one that was followed."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

import dydca
from dydca.lower.cost import kernel_cycles
from dydca.lower.kernels.direct import DirectConv
from dydca.lower.kernels.layer import Conv
from dydca.lower.kernels.winograd import WinogradConv
from dydca.lower.layout import PLAIN, Layout
from dydca.lower.lower import lower
from dydca.lower.select_kernels import MOST_POINTS, Choice, Precision, algorithm, select_kernel
from dydca.lower.targets import Target
from dydca.passes import default_passes, run_passes

WIDE = Target("x86-64-v4", "x86_64-linux-gnu", "x86-64-v4", (), 16, 32)
NARROW = Target("x86-64-v3", "x86_64-linux-gnu", "x86-64-v3", (), 8, 16)
ARM = Target("arm", "aarch64-linux-gnu", "cortex-a78", (), 4, 32)
TARGETS = [WIDE, NARROW, ARM]


def select(
    target: Target = WIDE,
    size: tuple[int, int] = (54, 48),
    channels: tuple[int, int] = (32, 32),
    precision: Precision = "fast",
    **changed: Any,
) -> Choice:
    """The choice for a 3x3 convolution of padding 1 between blocked layouts."""
    given = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "source": Layout(target.lanes, 1)} | changed
    window = given.get("window", (3, 3))
    h, w = size[0] // given["stride"][0], size[1] // given["stride"][1]
    stored = given.get("stored", Layout(target.lanes, 1))
    between = given["source"], (1, channels[0], *size), stored, (1, channels[1], h, w)
    how = window, given["stride"], given["padding"], given["dilation"]
    return select_kernel(target, Conv(*between, given.get("shuffle", 1), (), (), *how), precision)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("size", [(108, 96), (54, 48)])
@pytest.mark.parametrize("channels", [(32, 64), (64, 32), (32, 32)])
def test_patches_of_the_main_job_get_f6(channels: tuple[int, int], size: tuple[int, int], target: Target) -> None:
    kernel = select(target, size, channels).kernel
    assert isinstance(kernel, WinogradConv)
    assert kernel.m == 6


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_exact_excludes_f6(target: Target) -> None:
    kernel = select(target, precision="exact").kernel
    assert isinstance(kernel, WinogradConv)
    assert kernel.m == 4


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_a_whole_network_keeps_to_it(precision: Precision) -> None:
    network = nn.Sequential(*(nn.Conv2d(32, 32, 3, padding=1) for _ in range(2)))
    outcome = run_passes(dydca.capture(network, [(1, 32, 24, 24)]), default_passes())
    (calls,) = lower({"p": outcome.variants}, WIDE, precision)
    kernels = [call.kernel for call in calls.calls]
    assert [kernel.points for kernel in kernels if isinstance(kernel, WinogradConv)] == [MOST_POINTS[precision]] * 2


@pytest.mark.parametrize(
    "changed",
    [
        {"stride": (2, 2)},
        {"dilation": (2, 2), "padding": (2, 2)},
        {"window": (7, 7), "padding": (3, 3)},
        {"window": (1, 1), "padding": (0, 0)},
        {"source": Layout(1, 1), "channels": (3, 32)},
    ],
    ids=["stride", "dilation", "seven by seven", "one by one", "plain source"],
)
def test_other_convolutions_are_direct(changed: dict[str, Any]) -> None:
    choice = select(**changed)
    assert isinstance(choice.kernel, DirectConv)
    assert len(choice.ranking) == 1


def test_tiles_that_stick_out_are_counted() -> None:
    whole, cut = select(size=(48, 48)), select(size=(50, 50))
    assert isinstance(whole.kernel, WinogradConv)
    assert isinstance(cut.kernel, WinogradConv)
    assert (whole.kernel.m, cut.kernel.m) == (6, 6)
    assert cut.ranking[0].cycles / whole.ranking[0].cycles > 1.1 * (50 * 50) / (48 * 48)
    tiny = select(size=(9, 7)).kernel
    assert isinstance(tiny, WinogradConv)
    assert tiny.m == 4


def test_one_pixel_is_direct() -> None:
    assert isinstance(select(size=(1, 1)).kernel, DirectConv)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("channels", [(16, 16), (48, 48), (28, 28), (64, 64), (5, 80), (128, 128)])
def test_one_copy_of_the_weights_serves_all_patches(channels: tuple[int, int], target: Target) -> None:
    kernels = [select(target, size, channels).kernel for size in ((108, 96), (54, 48), (33, 17), (7, 9))]
    layouts = {(k.m, k.parameters()["w"][0]) for k in kernels if isinstance(k, WinogradConv)}
    assert len(layouts) == len({m for m, _ in layouts})


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("channels", [(16, 16), (48, 48), (28, 28), (32, 80), (64, 256)])
def test_register_tiles_fit_the_register_file(channels: tuple[int, int], target: Target) -> None:
    kernel = select(target, channels=channels).kernel
    assert isinstance(kernel, WinogradConv)
    held = kernel.batch * kernel.vectors + kernel.vectors + (kernel.batch if kernel.by_lane else 1)
    assert held <= target.registers
    assert kernel.by_lane == (target is ARM)


@pytest.mark.parametrize("shuffle", [1, 2])
def test_planes_are_stored_by_winograd_too(shuffle: int) -> None:
    kernel = select(channels=(32, 12), shuffle=shuffle, stored=PLAIN).kernel
    assert isinstance(kernel, WinogradConv)


def test_the_reason() -> None:
    choice = select()
    assert choice.kernel is choice.ranking[0].kernel
    assert [algorithm(kernel) for kernel, _ in choice.ranking] == [
        "Winograd F(6x6, 3x3)",
        "Winograd F(4x4, 3x3)",
        "Winograd F(2x2, 3x3)",
        "direct",
    ]
    assert [cycles for _, cycles in choice.ranking] == sorted(kernel_cycles(kernel) for kernel, _ in choice.ranking)
    assert str(choice) == "Winograd F(6x6, 3x3), 281 kcycles predicted; Winograd F(4x4, 3x3) 1.22 times as many"
    assert str(select(stride=(2, 2))).startswith("direct, ")
