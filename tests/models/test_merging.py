"""What each training form equals: one convolution per block, computed here by the papers' equations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import dydca.models
from dydca.models.blocks import ECA, BSConvS, NAFBlock, NearestConv, PConv, PixelNorm, repeat_colours
from dydca.models.ecb import ECB, Edge, ExpandSqueeze
from dydca.models.ecbsr import ECBSR, ECBSRMerged
from dydca.models.rt4ksr import RT4KSR, Options, ResBlock

Merged = tuple[Tensor, Tensor]


def bias_of(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def identity(channels: int) -> Tensor:
    kernel = torch.zeros(channels, channels, 3, 3)
    kernel[range(channels), range(channels), 1, 1] = 1
    return kernel


def merged_pair(point: nn.Conv2d, window: Tensor, bias: Tensor) -> Merged:
    """A 1x1 convolution, then a 3x3 one on its result framed by the 1x1's bias."""
    kernel = torch.einsum("odyx,di->oiyx", window, point.weight[:, :, 0, 0])
    return kernel, bias + torch.einsum("odyx,d->o", window, bias_of(point))


def merged_edge(edge: Edge) -> Merged:
    window = torch.diag_embed((edge.scale * edge.mask)[:, 0].permute(1, 2, 0)).permute(2, 3, 0, 1)
    return merged_pair(edge.point, window, edge.bias)


def merged_wide(branch: ExpandSqueeze) -> Merged:
    return merged_pair(branch.point, branch.window.weight, bias_of(branch.window))


def merged_ecb(block: ECB) -> Merged:
    edges = [merged_edge(edge) for edge in (block.sobel_x, block.sobel_y, block.laplacian)]
    parts = [(block.plain.weight, bias_of(block.plain)), merged_wide(block.wide), *edges]
    kernel = torch.stack([part[0] for part in parts]).sum(0)
    if block.identity:
        kernel = kernel + identity(len(kernel))
    return kernel, torch.stack([part[1] for part in parts]).sum(0)


def merged_resblock(block: ResBlock) -> Merged:
    window = block.window.weight + identity(block.window.out_channels)
    kernel, bias = merged_pair(block.expand, window, bias_of(block.window))
    reduce = block.reduce.weight[:, :, 0, 0]
    kernel = torch.einsum("om,miyx->oiyx", reduce, kernel) + identity(len(reduce))
    return kernel, reduce @ bias + bias_of(block.reduce)


def lively(block: nn.Module) -> nn.Module:
    """Edge factors start at a thousandth, too little to show a mistake."""
    for parameter in block.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    return block.eval()


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 16), (16, 16), (16, 12), (1, 4)])
@pytest.mark.parametrize("with_identity", [False, True])
@torch.no_grad()
def test_ecb_is_one_convolution_up_to_the_border(inputs: int, outputs: int, with_identity: bool) -> None:
    block = lively(ECB(inputs, outputs, "linear", identity=with_identity))
    assert isinstance(block, ECB)
    x = torch.rand(2, inputs, 9, 7)
    expected = functional.conv2d(x, *merged_ecb(block), padding=1)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)
    block.merge_in_eval = True
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)
    block.train()
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("act", ["prelu", "relu", "rrelu", "softplus", "linear"])
@torch.no_grad()
def test_ecb_activations(act: str) -> None:
    block = ECB(4, 4, act).eval()
    assert block(torch.rand(1, 4, 5, 5)).shape == (1, 4, 5, 5)


@pytest.mark.parametrize("colours", [3, 1])
@torch.no_grad()
def test_ecbsr_is_its_merged_form(colours: int) -> None:
    training, merged = ECBSR(2, 2, 8, colours, identity=colours == 1).eval(), ECBSRMerged(2, 2, 8, colours).eval()
    for ours, theirs in zip(training.body, merged.body, strict=True):
        assert isinstance(ours, ECB)
        assert isinstance(theirs, nn.Sequential)
        assert isinstance(theirs[0], nn.Conv2d)
        kernel, bias = merged_ecb(ours)
        theirs[0].weight.copy_(kernel)
        bias_of(theirs[0]).copy_(bias)
    x = torch.rand(1, colours, 11, 8) * 255
    error = (training(x) - merged(x)).abs().max()
    assert float(error) <= 1e-3  # on values up to 255; the sheet measured 3e-5 for a larger net at its first weights


@torch.no_grad()
def test_resblock_is_one_convolution_up_to_the_border() -> None:
    block = lively(ResBlock(6))
    assert isinstance(block, ResBlock)
    x = torch.rand(2, 6, 9, 7)
    torch.testing.assert_close(block(x), functional.conv2d(x, *merged_resblock(block), padding=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("forget", [False, True])
@torch.no_grad()
def test_rt4ksr_is_its_base_form(forget: bool) -> None:
    training, base = (
        RT4KSR(2, 8, 2, Options(forget=forget)).eval(),
        RT4KSR(2, 8, 2, Options(forget=forget, kind="base")),
    )
    nn.init.ones_(training.gamma)
    blocks = {name: part for name, part in training.named_modules() if isinstance(part, ResBlock)}
    state = {name: value for name, value in training.state_dict().items() if not name.startswith(tuple(blocks))}
    for name, block in blocks.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = merged_resblock(block)
    base.load_state_dict(state)
    x = torch.rand(1, 3, 10, 14)
    torch.testing.assert_close(training(x), base.eval()(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
@torch.no_grad()
def test_the_anchor_is_nearest_neighbour_enlargement(scale: int) -> None:
    x = torch.rand(2, 3, 5, 6)
    enlarged = functional.interpolate(x, scale_factor=scale, mode="nearest")
    for anchor in (repeat_colours(x, scale), NearestConv(scale)(x)):
        torch.testing.assert_close(functional.pixel_shuffle(anchor, scale), enlarged, rtol=0, atol=0)


@torch.no_grad()
def test_etds_starts_with_the_enlarged_picture() -> None:
    x = torch.rand(1, 3, 5, 6)
    for name in ("etds_m6c32", "etds_m6c32_only_residual", "etds_m6c32_advanced_residual"):
        _, low = dydca.models.create(name, 4)(x)
        torch.testing.assert_close(low, functional.interpolate(x, scale_factor=4, mode="nearest"), rtol=0, atol=0)


@torch.no_grad()
def test_blocks() -> None:
    x = torch.rand(2, 16, 6, 5)
    norm = PixelNorm(16, eps=1e-5)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(norm(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(NAFBlock(16)(x), x, rtol=0, atol=0)  # both gains start at zero
    assert sum(parameter.numel() for parameter in NAFBlock(16).parameters()) == 7 * 16**2 + 33 * 16
    assert [ECA(channels).mix.kernel_size for channels in (16, 24, 64, 512)] == [(3,), (3,), (3,), (5,)]
    before, split = x.clone(), PConv(16)
    slicing = PConv(16, slicing=True)
    slicing.load_state_dict(split.state_dict())
    torch.testing.assert_close(slicing(x), split(x), rtol=0, atol=0)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
    separable = BSConvS(16, 16)
    separable.reduce.weight.copy_(torch.eye(4, 16)[:, :, None, None])
    assert float(separable.orthogonality_loss()) == 0
