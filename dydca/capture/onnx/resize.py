"""Resize, as far as torch has the same arithmetic."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional

from dydca.capture.onnx.numbers import Value
from dydca.capture.onnx.table import Node, operator

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


@operator("Resize")
def _resize(node: Node, x: Tensor, region: Value = None, scales: Value = None, sizes: Value = None) -> Tensor:
    """Of the axes behind the first two; ``region`` is for cropping, which torch does not do."""
    if node.opset < 11:
        region, scales = None, region
    given = node.numbers(scales, 2 if node.opset >= 11 else 1) or ()
    wanted = node.numbers(sizes, 3) or ()
    axes = [axis % x.dim() for axis in node.get("axes", range(x.dim()))]
    factors, size = dict(zip(axes, given, strict=False)), dict(zip(axes, wanted, strict=False))
    for axis in (0, 1):
        if factors.get(axis, 1) != 1 or (axis in size and size[axis] != x.shape[axis]):
            node.refuse(f"a change of axis {axis}")
    spatial = range(2, x.dim())
    factor = [float(factors.get(axis, 1.0)) for axis in spatial]
    target: dict[str, Any] = (
        {"size": [size.get(axis, x.shape[axis]) for axis in spatial]} if size else {"scale_factor": factor}
    )
    if node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        node.refuse("keep_aspect_ratio_policy")
    mode, aligned = _mode(node, len(spatial), None if size else factor)
    if aligned and not size:
        target = {"size": [int(x.shape[axis] * part) for axis, part in zip(spatial, factor, strict=True)]}
    antialias = bool(node.get("antialias", 0))
    return functional.interpolate(x, **target, mode=mode, align_corners=aligned, antialias=antialias)


def _mode(node: Node, axes: int, factor: list[float] | None) -> tuple[str, bool | None]:
    """Torch's name of the mode, and whether it aligns corners."""
    mode, where = node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel")
    if mode == "nearest":
        rounding = node.get("nearest_mode", "round_prefer_floor")
        if (where, rounding) == ("asymmetric", "floor"):
            return "nearest", None
        whole = factor is not None and all(part >= 1 and part == int(part) for part in factor)
        if where == "half_pixel" and (rounding == "round_prefer_ceil" or (rounding == "round_prefer_floor" and whole)):
            return "nearest-exact", None
        node.refuse(f"mode nearest, {where}, {rounding}")
    cubic = mode == "cubic" and axes == 2 and abs(node.get("cubic_coeff_a", -0.75) + 0.75) < 1e-6
    if not (cubic or mode == "linear") or node.get("exclude_outside", 0):
        node.refuse(f"mode {mode} in {axes} dimensions, a = {node.get('cubic_coeff_a', -0.75)}")
    if where not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        node.refuse(f"coordinate_transformation_mode {where}")
    return "bicubic" if cubic else _LINEAR[axes], where == "align_corners"


@operator("Upsample")
def _upsample(node: Node, x: Tensor, scales: Value = None) -> Tensor:
    """What Resize was before opset 10."""
    factor = [float(part) for part in (node.option("scales", 1, scales) or ())[2:]]
    if node.get("mode", "nearest") != "nearest":
        node.refuse(f"mode {node.get('mode')}")
    return functional.interpolate(x, scale_factor=factor, mode="nearest")
