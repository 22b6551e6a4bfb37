"""Networks whose way depends on the picture, its size, or the frame before: every route is taken and does its work."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import dydca.models
from dydca.models.padding import UNet, WindowSR, from_windows, to_windows
from dydca.models.routers import ClassRouted, EarlyExit, EarlyExitBatch, WidthSwitching
from dydca.models.swrn import SWRN, upscale_sequence

pytestmark = pytest.mark.usefixtures("_no_gradients")


@pytest.fixture
def _no_gradients() -> object:
    with torch.no_grad():
        yield


@pytest.mark.parametrize("square", [False, True])
def test_each_patch_runs_the_branch_of_its_class(square: bool) -> None:
    model = ClassRouted(2, square=square).eval()
    x = torch.rand(4, 3, 16, 16) * torch.tensor([0.1, 1.0, 3.0, 9.0])[:, None, None, None]
    classes = model.classify(x).argmax(1).tolist()
    expected = torch.cat([model.branches[choice](x[i : i + 1]) for i, choice in enumerate(classes)])
    torch.testing.assert_close(model(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize("choice", [0, 1, 2])
def test_every_class_can_be_chosen(choice: int) -> None:
    model = ClassRouted(2).eval()
    model.decide.weight.zero_()
    model.decide.bias.copy_(functional.one_hot(torch.tensor(choice), 3).float())
    x = torch.rand(1, 3, 9, 12)
    torch.testing.assert_close(model(x), model.branches[choice](x), rtol=0, atol=0)


def test_training_sums_all_classes() -> None:
    model = ClassRouted(2).train()
    x = torch.rand(2, 3, 8, 8)
    shares = model.classify(x).softmax(1)
    expected = torch.stack(
        [share[:, None, None, None] * branch(x) for share, branch in zip(shares.T, model.branches, strict=True)]
    ).sum(0)
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize(("threshold", "stages"), [(-1.0, 1), (2.0, 4)])
def test_the_score_ends_the_way_early(threshold: float, stages: int) -> None:
    model = EarlyExit(2, threshold=threshold).eval()
    x = torch.rand(2, 3, 8, 9)
    y = model.head(x)
    for stage in list(model.stages)[:stages]:
        y = stage(y)
    torch.testing.assert_close(model(x), model.tail(y), rtol=0, atol=0)


def test_a_batch_that_leaves_one_by_one_is_what_single_patches_are() -> None:
    together, single = EarlyExitBatch(2).eval(), EarlyExit(2).eval()
    single.load_state_dict(together.state_dict())
    x = torch.rand(6, 3, 8, 9) * torch.linspace(0, 4, 6)[:, None, None, None]
    scores = together.score(together.stages[0](together.head(x))).flatten()
    together.threshold = single.threshold = float(scores.median()) + 1e-6
    assert 0 < int((scores < single.threshold).sum()) < 6
    expected = torch.cat([single(patch[None]) for patch in x])
    torch.testing.assert_close(together(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("strength", "choice"), [(0.01, 0), (0.1, 1), (0.15, 2), (0.3, 3)])
def test_edges_choose_the_width(strength: float, choice: int) -> None:
    model = WidthSwitching(2).eval()
    board = (torch.arange(12)[:, None] + torch.arange(10)) % 2 * 1.0  # every inner edge is four times the contrast
    x = (board * strength / 4).expand(1, 3, 12, 10)
    assert int(model.choose(x)) == choice
    large = functional.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
    width = model.widths[choice]
    if not width:
        torch.testing.assert_close(model(x), large, rtol=0, atol=0)
        return
    narrow = WidthSwitching(2, widths=(0, width)).eval()
    state = model.state_dict()
    for name, value in narrow.named_parameters():
        full = state[name]
        value.copy_(full[tuple(slice(size) for size in value.shape)])
    y = x
    for layer in narrow.layers:
        y = layer(y).relu()
    torch.testing.assert_close(model(x), functional.pixel_shuffle(narrow.last(y), 2) + large, rtol=1e-5, atol=1e-6)


def test_windows_are_cut_and_put_together() -> None:
    x = torch.rand(2, 8, 12, 5)
    windows = to_windows(x, 4)
    assert windows.shape == (12, 16, 5)
    torch.testing.assert_close(windows[4], x[0, 4:8, 4:8].reshape(16, 5), rtol=0, atol=0)
    torch.testing.assert_close(from_windows(windows, 4, 8, 12), x, rtol=0, atol=0)


@pytest.mark.parametrize("size", [(16, 16), (13, 16), (5, 9)])
def test_padding_leaves_no_trace_in_the_size(size: tuple[int, int]) -> None:
    x = torch.rand(1, 3, *size)
    assert WindowSR(3).eval()(x).shape == (1, 3, 3 * size[0], 3 * size[1])
    assert UNet().eval()(x).shape == x.shape


def test_a_reflected_picture_is_its_own_padding() -> None:
    model = WindowSR(2).eval()
    x = torch.rand(1, 3, 13, 16)
    padded = functional.pad(x, (0, 0, 0, 3), mode="reflect")
    torch.testing.assert_close(model(x), model(padded)[:, :, :26], rtol=0, atol=0)


def test_shifted_windows_do_not_mix_what_the_roll_brought_together() -> None:
    model = WindowSR(2, blocks=2).eval()
    far = model.body[1]
    x = torch.rand(1, 16, 16, 24)
    changed = x.clone()
    changed[:, :4] += 1  # the rows that the roll carries below the last ones
    torch.testing.assert_close(far(x)[:, 12:], far(changed)[:, 12:], rtol=0, atol=1e-6)


def test_a_clip_is_upscaled_frame_by_frame_with_its_state() -> None:
    model = SWRN().eval()
    frames = torch.rand(1, 3, 3, 6, 7) * 255
    clip = upscale_sequence(model, frames)
    assert clip.shape == (1, 3, 3, 24, 28)
    a, b, c = frames.unbind(1)
    first, state = model(torch.cat((a, a, b), 1), torch.zeros(1, 32, 6, 7))
    second, state = model(torch.cat((a, b, c), 1), state)
    third, _ = model(torch.cat((b, c, c), 1), state)
    torch.testing.assert_close(clip, torch.stack((first, second, third), 1), rtol=0, atol=0)
    assert not torch.equal(second, model(torch.cat((a, b, c), 1), torch.zeros_like(state))[0])


def test_frames_are_clipped_in_use_alone() -> None:
    model = dydca.models.create("swrn")
    frames, hidden = torch.full((1, 9, 5, 5), 400.0), torch.zeros(1, 32, 5, 5)
    assert float(model.eval()(frames, hidden)[0].max()) == 255
    assert float(model.train()(frames, hidden)[0].max()) > 255
