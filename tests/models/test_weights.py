"""The published weights in our networks: they fit strictly, the forms of a network agree, and pictures get better."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import dydca.models
from dydca.models.etds import ETDS, ETDSInference, ETDSOnlyET

SHARED = Path(__file__).resolve().parents[3] / "shared"
WEIGHTS = SHARED / "weights"
# file -> network, class of the form it holds, published PSNR on Set5
FILES: dict[str, tuple[str, str, float | None]] = {
    "ETDS_M4C32_x2": ("etds_m4c32", "ETDSInference", 37.38),
    "ETDS_M5C16_x3": ("etds_m5c16", "ETDSInference", 33.14),
    "ETDS_M6C32_x4_normal_loss": ("etds_m6c32", "ETDS", 31.37),
    "ETDS_M6C32_x4_only_ET": ("etds_m6c32", "ETDSOnlyET", 31.37),
    "ECBSR_M4C16_x2": ("ecbsr_m4c16", "ECBSRMerged", 37.18),
    "ECBSR_M4C32_x4": ("ecbsr_m4c32", "ECBSRMerged", 31.24),
    "ECBSR_ET_M4C16_x2": ("ecbsr_m4c16", "ECBSREquivalent", 37.18),
    "ABPN_M4C28_x2": ("abpn_m4c28", "ABPN", 37.36),
    "ABPN_M4C28_x3": ("abpn_m4c28", "ABPN", 33.53),
    "ABPN_ET_M4C28_x3": ("abpn_m4c28", "ABPNEquivalent", 33.53),
    "ESPCN_x2": ("espcn", "ESPCN", 36.87),
    "FSRCNN_x3": ("fsrcnn", "FSRCNN", 33.01),
    "Plain_M6C32_x4": ("plain_m6c32", "Plain", None),
    "RT4KSR_x2": ("rt4ksr", "RT4KSR", 36.14),
}
UNIT = 1 / 255
pytestmark = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="no published weights beside the checkout")


def scale_of(file: str) -> int:
    return int(file.split("_x")[1][0])


def loaded(file: str) -> nn.Module:
    return dydca.models.load(FILES[file][0], WEIGHTS / f"{file}.safetensors", scale_of(file))


def run(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = model(x)
    picture: Tensor = y[0] if isinstance(y, tuple) else y
    return picture


@pytest.mark.parametrize("file", FILES)
def test_a_file_finds_its_form(file: str) -> None:
    model = loaded(file)
    assert type(model).__name__ == FILES[file][1]
    assert not model.training


def test_a_file_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"does not hold the weights of this ELSR: .* and \d+ more"):
        dydca.models.load("elsr", WEIGHTS / "ESPCN_x2.safetensors", 2)
    with pytest.raises(ValueError, match="nor does it fit etds_m4c32, etds_m4c32_inference"):
        dydca.models.load("etds_m4c32", WEIGHTS / "ETDS_M5C16_x3.safetensors", 3)


def test_a_damaged_or_missing_file_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((WEIGHTS / "ESPCN_x2.safetensors").read_bytes()[:5000])
    with pytest.raises(ValueError, match="is no safetensors file"):
        dydca.models.load_weights(dydca.models.create("espcn", 2), damaged)
    with pytest.raises(FileNotFoundError):
        dydca.models.load_weights(dydca.models.create("espcn", 2), tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("file", "transformed"), [("ABPN_M4C28_x3", "ABPN_ET_M4C28_x3"), ("ECBSR_M4C16_x2", "ECBSR_ET_M4C16_x2")]
)
def test_equivalent_transformation_keeps_the_picture(file: str, transformed: str) -> None:
    x = torch.rand(4, 3, 64, 64)
    before, after = run(loaded(file), x).clamp(0, 1), run(loaded(transformed), x)
    assert float((before - after).abs().max()) <= 2e-4 * UNIT  # the sheet measured up to 1.8e-4


def test_the_residual_stream_of_normal_loss_never_trained() -> None:
    trained, fresh = loaded("ETDS_M6C32_x4_normal_loss"), ETDS(4, 6, 32)
    assert isinstance(trained, ETDS)
    for ours, theirs in zip(fresh.residual_parameters(), trained.residual_parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_normal_loss_computes_what_its_backbone_alone_does() -> None:
    both, alone = loaded("ETDS_M6C32_x4_normal_loss"), ETDSOnlyET(4, 6, 32).eval()
    state = both.state_dict()
    alone.load_state_dict({name: state[name] for name in alone.state_dict()})
    x = torch.rand(2, 3, 40, 36)
    torch.testing.assert_close(run(both, x), run(alone, x), rtol=0, atol=1e-6)


def test_both_streams_become_one_chain() -> None:
    model = loaded("ETDS_M6C32_x4_normal_loss")
    assert isinstance(model, ETDS)
    randomised = ETDS(3, 2, 16, residual=4).eval()
    for parameter in randomised.parameters():
        nn.init.normal_(parameter, std=0.1)
    for network in (model, randomised):
        x = torch.rand(2, 3, 24, 20)
        error = (run(network, x).clamp(0, 1) - run(transformed_etds(network), x)).abs().max()
        assert float(error) <= 3e-4 * UNIT  # the sheet measured up to 2.3e-4


@torch.no_grad()
def transformed_etds(model: ETDS) -> ETDSInference:
    """The authors' equations: rows of both streams stacked, and ``clip(y) = relu(1 - relu(1 - y))`` at the end."""
    main, rest = model.first.out_channels, model.residual_first.out_channels
    scale = model.shuffle.upscale_factor
    chain = ETDSInference(scale, len(model.layers), main + rest).eval()
    for parameter in chain.parameters():
        parameter.zero_()
    put(chain.first, 0, 0, model.first)
    put(chain.first, main, 0, model.residual_first)
    for index, layer in enumerate(chain.layers):
        put(layer, 0, 0, model.layers[index])
        put(layer, 0, main, model.to_backbone[index])
        put(layer, main, main, model.residual_layers[index])
    put(chain.last, 0, 0, model.last, sign=-1)
    put(chain.last, 0, main, model.residual_last, sign=-1)
    assert chain.last.bias is not None
    assert chain.clip.bias is not None
    chain.last.bias += 1
    chain.clip.weight.copy_(-torch.eye(chain.clip.out_channels)[:, :, None, None])
    chain.clip.bias.fill_(1)
    return chain


def put(target: nn.Module, row: int, column: int, source: nn.Module, sign: int = 1) -> None:
    assert isinstance(target, nn.Conv2d)
    assert isinstance(source, nn.Conv2d)
    assert target.bias is not None
    assert source.bias is not None
    rows, columns = source.weight.shape[:2]
    target.weight[row : row + rows, column : column + columns] = sign * source.weight
    target.bias[row : row + rows] += sign * source.bias


def luma(picture: Tensor) -> Tensor:
    rounded = (picture.clamp(0, 1) * 255).round()
    return 16 + (rounded * torch.tensor([65.481, 128.553, 24.966])[:, None, None] / 255).sum(1)


def psnr(picture: Tensor, truth: Tensor, border: int) -> float:
    """On luma of BT.601, after rounding to 8 bits, without `border` pixels at each side: as the papers measure."""
    difference = (luma(picture) - luma(truth))[:, border:-border, border:-border]
    return 10 * math.log10(255**2 / float(difference.square().mean()))


def test_pictures_get_better_in_the_published_order(capsys: pytest.CaptureFixture[str]) -> None:
    # Halved, because the photo's own JPEG noise would otherwise decide; then made small by Pillow's bicubic filter.
    photo = Image.open(SHARED / "data" / "china.jpg").convert("RGB")
    photo = photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS).crop((0, 0, 312, 204))
    truth = as_tensor(photo)
    for scale in (2, 3, 4):
        small = as_tensor(photo.resize((photo.width // scale, photo.height // scale), Image.Resampling.BICUBIC))
        lowest = psnr(run(dydca.models.create("bicubic", scale), small), truth, scale)
        files = [file for file in FILES if scale_of(file) == scale]
        scores = {file: psnr(run(loaded(file), small), truth, scale) for file in files}
        with capsys.disabled():
            print(
                f"\nx{scale}: bicubic {lowest:.2f}", *(f"{file} {score:.2f}" for file, score in scores.items()), end=""
            )
        assert min(scores.values()) > lowest + 0.7
        for better, worse in itertools.permutations(files, 2):
            if (FILES[better][2] or 0) - (FILES[worse][2] or math.inf) > 0.1:
                assert scores[better] > scores[worse]


def as_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255).permute(2, 0, 1)[None]
