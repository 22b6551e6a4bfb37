"""Every network of the zoo against its record: parameters, multiply-adds, sizes, and that it can be exported."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.export import Dim
from torch.utils.flop_counter import FlopCounterMode

import dydca.models
from dydca.models import mvsr
from dydca.models.registry import Entry, Registry

EVERY = dydca.models.every()
COUNTED = [entry for entry in EVERY if entry.facts.gmacs is not None]
BY_VALUE = ("class_routed", "early_exit", "width_switching")
# One network of each kind that exports to a graph of its own.
EXPORTED = [
    ("etds_m4c32", 2),
    ("etds_m5c16_inference", 3),
    ("etds_m6c32_only_et", 4),
    ("etds_m6c32_advanced_residual", 4),
    ("ecbsr_m4c16", 2),
    ("ecbsr_y_m4c8", 2),
    ("ecbsr_m4c16_on_the_fly", 2),
    ("ecbsr_m4c16_merged", 2),
    ("ecbsr_m4c16_et", 3),
    ("abpn_m4c28_nearest", 2),
    ("abpn_m4c28_et", 3),
    ("abpn_tf", 3),
    ("plain_m6c32", 4),
    ("espcn", 2),
    ("fsrcnn", 3),
    ("bicubic", 2),
    ("elsr", 4),
    ("rt4ksr", 2),
    ("rt4ksr_eca", 2),
    ("rt4ksr_auxiliary", 2),
    ("rt4ksr_block_nafbase", 2),
    ("swrn", 4),
    ("swrn_mixer", 4),
    ("vapsr_s", 4),
    ("imdn_rtc", 2),
    ("imdn_rte", 2),
    ("imdn_as", 1),
    ("mvsr_c8", 4),
    ("unet_naf", 1),
    *((name, 2) for name in dydca.models.list() if name.startswith("block_")),
]


def name_of(entry: Entry) -> str:
    return f"{entry.facts.name}-x{entry.facts.scale}"


def on_meta(entry: Entry) -> nn.Module:
    with torch.device("meta"):
        return entry.build().eval()


@pytest.mark.parametrize("entry", EVERY, ids=name_of)
def test_parameters(entry: Entry) -> None:
    parameters = list(on_meta(entry).parameters())
    assert sum(parameter.numel() for parameter in parameters) == entry.facts.parameters
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    assert trained == (entry.facts.trainable or entry.facts.parameters)


@pytest.mark.parametrize("entry", COUNTED, ids=name_of)
def test_multiply_adds(entry: Entry) -> None:
    inputs = [torch.empty(shape, device="meta") for shape in entry.facts.shapes(*entry.facts.lr_size).values()]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        on_meta(entry)(*inputs)
    places = -int(Decimal(str(entry.facts.gmacs)).as_tuple().exponent)
    # Half a unit of the last place; the sheet rounded some numbers to four places before it rounded them to three.
    assert counter.get_total_flops() / 2e9 == pytest.approx(entry.facts.gmacs, abs=0.5 * 10**-places + 5e-5)


@pytest.mark.parametrize("entry", EVERY, ids=name_of)
def test_shapes_of_the_results(entry: Entry) -> None:
    facts = entry.facts
    height, width = (16, 16) if facts.square else (16, 20)
    device = "cpu" if facts.name.startswith(BY_VALUE) else "meta"  # a value decides, and meta tensors have none
    with torch.device(device), torch.no_grad():
        model = entry.build().eval()
        results = model(*(torch.ones(shape) for shape in facts.shapes(height, width, batch=2).values()))
    results = results if isinstance(results, tuple) else (results,)
    assert len(results) == len(facts.outputs)
    colours = 1 if facts.inputs[0][1] == 1 else 3
    assert results[0].shape == (2, colours, facts.scale * height, facts.scale * width)


@pytest.mark.parametrize(("name", "scale"), EXPORTED, ids=[f"{name}-x{scale}" for name, scale in EXPORTED])
def test_exports_with_free_height_and_width(name: str, scale: int) -> None:
    facts, model = dydca.models.facts(name, scale), randomised(dydca.models.create(name, scale)).eval()
    inputs = [torch.rand(shape) for shape in facts.shapes(12, 16).values()]
    free = tuple({2: Dim.AUTO, 3: Dim.AUTO} for _ in inputs)
    with torch.no_grad():
        program = torch.export.export(model, tuple(inputs), dynamic_shapes=free, strict=False)
        others = [torch.rand(shape) for shape in facts.shapes(20, 24).values()]
        torch.testing.assert_close(program.module()(*others), model(*others), rtol=1e-5, atol=1e-5)


def randomised(model: nn.Module) -> nn.Module:
    """Gains that start at zero would hide whole branches."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and not parameter.any():
                parameter.uniform_(-0.5, 0.5)
    return model


def test_mvsr_follows_the_formula_of_the_sheet() -> None:
    for half in range(1, 9):
        assert mvsr.count(mvsr.Options(part=2 * half)) == 2544 * half**2 + 56 * half + 27_229


def test_mvsr_rows_differ_as_the_sheet_says() -> None:
    counts = {row: mvsr.count(options) for row, options in mvsr.ROWS.items()}
    base = counts["c8"]
    assert counts["mixed_align"] - base == 12  # a 1x1 convolution of 3 colours
    assert base - counts["13_1"] == 6912 - 1296
    assert counts["14"] - base == 320 + 272 - 253 - 224
    assert base - counts["no_fc"] == 16 * 272
    assert base - counts["shared_tail"] == 4608
    assert base - counts["pointwise"] == 4 * (2320 - 544)


def test_swrn_options_differ_as_the_sheet_says() -> None:
    base, separable, none, mixer = (
        dydca.models.facts(name).parameters for name in ("swrn", "swrn_separable", "swrn_no_hidden", "swrn_mixer")
    )
    assert (base - separable, base - none, mixer - base) == (5312, 4608 + 32, 8320 + 128)


def test_unknown_names_are_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"there are: .*etds_m4c32"):
        dydca.models.create("etds_m4c33", 2)
    with pytest.raises(ValueError, match="no scale 3; there are: 2, 4"):
        dydca.models.create("elsr", 3)
    with pytest.raises(ValueError, match="no scale None"):
        dydca.models.create("elsr")
    assert dydca.models.facts("swrn").scale == 4


def test_own_names_are_read_too_and_a_prefix_is_taken_off(tmp_path: Path) -> None:
    for prefix in ("", "module."):
        model = dydca.models.create("rt4ksr", 2)
        save_file({prefix + name: value for name, value in model.state_dict().items()}, tmp_path / "own.safetensors")
        again = dydca.models.load("rt4ksr", tmp_path / "own.safetensors", 2)
        for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        Registry(EVERY[:1] * 2)


def test_records_say_which_sizes_are_accepted() -> None:
    rt4ksr, square = dydca.models.facts("rt4ksr", 2), dydca.models.facts("class_routed_square", 2)
    assert rt4ksr.accepts(54, 48)
    assert not rt4ksr.accepts(53, 48)
    assert not rt4ksr.accepts(2, 48)
    assert square.accepts(33, 33)
    assert not square.accepts(32, 33)
    assert dydca.models.facts("swrn").shapes(5, 6) == {"frames": (1, 9, 5, 6), "hidden": (1, 32, 5, 6)}
